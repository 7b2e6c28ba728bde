//! In what terms the loader's checks speak: refusals, addresses, what is loaded already.

use alloc::vec::Vec;

use crate::Errno;

/// Why the model can't say what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unforeseen {
    /// What a payload does once it is applied is more than the model can follow.
    Effect(&'static str),
    /// It depends on something that the model does not know.
    Unknown(&'static str),
}

/// How an upload ends before it has come to anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Xen says no.
    Errno(Errno),
    /// Nobody knows.
    Unforeseen(Unforeseen),
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Unforeseen> for Refusal {
    fn from(unforeseen: Unforeseen) -> Self {
        Self::Unforeseen(unforeseen)
    }
}

pub type Result<T> = core::result::Result<T, Refusal>;

/// `Err(EINVAL)` and the like, if a check fails.
pub fn check(holds: bool, errno: Errno) -> Result<()> {
    if holds { Ok(()) } else { Err(errno.into()) }
}

pub fn unknown<T>(why: &'static str) -> Result<T> {
    Err(Unforeseen::Unknown(why).into())
}

/// A function of Xen's that payloads name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum XenSymbol {
    /// `xen_extra_version`
    Extra,
    /// `xen_minor_version`
    Minor,
    /// `xen_major_version`
    Major,
    /// `xen_deny`
    Deny,
}

impl XenSymbol {
    /// Only these are known to the model: no other name that a program can spell is in Xen.
    pub fn find(name: &[u8]) -> Option<Self> {
        match name {
            b"xen_extra_version" => Some(Self::Extra),
            b"xen_minor_version" => Some(Self::Minor),
            b"xen_major_version" => Some(Self::Major),
            b"xen_deny" => Some(Self::Deny),
            _ => None,
        }
    }
}

/// What an address is relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Base {
    /// Nothing.
    Absolute,
    /// The start of the payload's own memory.
    Own,
    /// A function of Xen's.
    Xen(XenSymbol),
    /// A symbol of another payload.
    Other,
}

/// An address, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    pub base: Base,
    pub offset: u64,
}

impl Address {
    pub const NULL: Self = Self { base: Base::Absolute, offset: 0 };

    pub fn is_null(self) -> bool {
        self == Self::NULL
    }
}

/// What is loaded already, as far as a new payload meets it.
pub trait Neighbours {
    /// Whether one of them has this symbol to offer.
    fn has_symbol(&self, name: &[u8]) -> bool;
    /// Whether one of them has this build-id.
    fn has_build_id(&self, id: &[u8]) -> bool;
}

/// Reads a little-endian number; the caller has checked that it is there.
pub fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&bytes[at..at + N]);
    value
}

/// The bytes up to the first NUL.
pub fn until_nul(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().take_while(|&byte| byte != 0).collect()
}

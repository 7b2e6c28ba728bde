//! What Xen makes of a payload's bytes: the checks of its loader, in their order.
//!
//! The functions of Xen that are followed here are in `xen/common/livepatch_elf.c` and, from
//! `load_payload_data` on, in `xen/common/livepatch.c`. Where the real ones work with addresses,
//! these work with a base (the payload itself, a symbol of Xen, another payload) and an offset, so
//! that nothing depends on where Xen puts things. What can't be told then is [`Unforeseen`].

mod contents;
mod memory;
mod sections;

use alloc::vec::Vec;

use super::rules::Rules;
use crate::Errno;

pub use contents::{Function, HookCode, Image, Returns};

/// Why the model can't say what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unforeseen {
    /// Some Xens die of it.
    Lethal(&'static str),
    /// It depends on something that the model does not know.
    Unknown(&'static str),
}

/// How an upload ends before it has come to anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
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

pub(super) type Result<T> = core::result::Result<T, Refusal>;

/// `Err(EINVAL)` and the like, if a check fails.
fn check(holds: bool, errno: Errno) -> Result<()> {
    if holds { Ok(()) } else { Err(errno.into()) }
}

fn lethal<T>(why: &'static str) -> Result<T> {
    Err(Unforeseen::Lethal(why).into())
}

fn unknown<T>(why: &'static str) -> Result<T> {
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
    fn find(name: &[u8]) -> Option<Self> {
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
pub(super) enum Base {
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
pub(super) struct Address {
    pub base: Base,
    pub offset: u64,
}

impl Address {
    const NULL: Self = Self { base: Base::Absolute, offset: 0 };

    fn is_null(self) -> bool {
        self == Self::NULL
    }
}

/// What is loaded already, as far as a new payload meets it.
pub(super) trait Neighbours {
    /// Whether one of them has this symbol to offer.
    fn has_symbol(&self, name: &[u8]) -> bool;
    /// Whether one of them has this build-id.
    fn has_build_id(&self, id: &[u8]) -> bool;
}

/// Loads a payload.
pub(super) fn load(
    file: &[u8],
    rules: &Rules,
    endbr: Option<bool>,
    xen_build_id: &[u8],
    neighbours: &dyn Neighbours,
) -> Result<Image> {
    let elf = sections::Sections::read(file)?;
    if rules.v2 && rules.early_xen_depends {
        contents::check_xen_early(&elf, xen_build_id)?;
    }
    let mut memory = memory::Memory::new(&elf, rules)?;
    memory.resolve_symbols(&elf, rules, neighbours)?;
    memory.relocate(&elf)?;
    contents::Contents { elf: &elf, memory: &memory, rules, endbr }.read(xen_build_id, neighbours)
}

/// Reads a little-endian number; the caller has checked that it is there.
fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&bytes[at..at + N]);
    value
}

/// The bytes up to the first NUL.
fn until_nul(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().take_while(|&byte| byte != 0).collect()
}

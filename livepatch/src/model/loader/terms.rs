//! In what terms the loader's checks speak: refusals, addresses, what is loaded already.

use alloc::vec::Vec;

use super::checks::Check;
use crate::Errno;

/// Why the model can't say what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unforeseen {
    /// What a payload does once it is applied is more than the model can follow.
    Effect(&'static str),
    /// It depends on something that the model does not know.
    Unknown(&'static str),
}

/// What of a file a check is about; numbers count from 0, as in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// A section.
    Section(usize),
    /// A symbol.
    Symbol(usize),
    /// A relocation of a section of relocations.
    Relocation(usize, usize),
    /// An element of `.livepatch.funcs`.
    Function(usize),
    /// An element of a section of alternatives or of sites of calls.
    Element(usize, usize),
    /// A section that is not there.
    Absent(&'static str),
}

/// A payload that Xen does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The first check that it does not pass.
    pub check: Check,
    /// How Xen answers.
    pub errno: Errno,
    /// What does not pass, unless it is the file as a whole.
    pub item: Option<Item>,
}

impl From<Check> for Refused {
    fn from(check: Check) -> Self {
        Self { check, errno: check.errno(), item: None }
    }
}

impl Check {
    /// Not passed by this.
    pub(super) fn on(self, item: Item) -> Refused {
        Refused { item: Some(item), ..self.into() }
    }
}

/// How an upload ends before it has come to anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Xen says no.
    Refused(Refused),
    /// Nobody knows.
    Unforeseen(Unforeseen),
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Check> for Refusal {
    fn from(check: Check) -> Self {
        Self::Refused(check.into())
    }
}

impl From<Unforeseen> for Refusal {
    fn from(unforeseen: Unforeseen) -> Self {
        Self::Unforeseen(unforeseen)
    }
}

pub type Result<T> = core::result::Result<T, Refusal>;

/// Refused unless it `holds`.
pub fn check(holds: bool, or: impl Into<Refused>) -> Result<()> {
    if holds { Ok(()) } else { Err(or.into().into()) }
}

pub fn unknown<T>(why: &'static str) -> Result<T> {
    Err(Unforeseen::Unknown(why).into())
}

/// A symbol of Xen's.
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
    /// Another one, by its address.
    Other(u64),
}

/// What is known of the Xen at hand, as far as a payload meets it.
pub trait KnownXen {
    /// Whether it is built with live patching.
    fn takes_payloads(&self) -> bool;

    /// The symbol of that name, if Xen has it.
    fn find(&self, name: &[u8]) -> Option<XenSymbol>;

    /// The symbol at or before an address, and how far behind it the address is.
    fn around(&self, address: u64) -> Option<(XenSymbol, u64)>;

    /// Bytes of Xen from so far behind a symbol on, if they are known.
    fn bytes(&self, symbol: XenSymbol, offset: u64, len: usize) -> Option<&[u8]>;

    /// Whether a function begins with an ENDBR64, if known.
    fn begins_with_endbr(&self, symbol: XenSymbol) -> Option<bool>;

    /// How many CPU features it knows, if that is known: an alternative may be for any of them.
    fn features(&self) -> Option<u16>;
}

/// The functions of Xen that programs name: no other name that a program can spell is in Xen.
pub struct FourFunctions {
    /// Whether they begin with an ENDBR64, if known.
    pub endbr: Option<bool>,
}

impl KnownXen for FourFunctions {
    fn takes_payloads(&self) -> bool {
        true
    }

    fn find(&self, name: &[u8]) -> Option<XenSymbol> {
        XenSymbol::of_four(name)
    }

    fn around(&self, _: u64) -> Option<(XenSymbol, u64)> {
        None
    }

    fn bytes(&self, _: XenSymbol, _: u64, _: usize) -> Option<&[u8]> {
        None
    }

    fn begins_with_endbr(&self, _: XenSymbol) -> Option<bool> {
        self.endbr
    }

    fn features(&self) -> Option<u16> {
        None
    }
}

impl XenSymbol {
    /// Those with a meaning of their own, and their names.
    const FOUR: [(Self, &str); 4] = [
        (Self::Extra, "xen_extra_version"),
        (Self::Minor, "xen_minor_version"),
        (Self::Major, "xen_major_version"),
        (Self::Deny, "xen_deny"),
    ];

    /// One of the four with a meaning of their own.
    pub fn of_four(name: &[u8]) -> Option<Self> {
        Self::FOUR.iter().find(|(_, other)| other.as_bytes() == name).map(|(symbol, _)| *symbol)
    }

    /// Its name, if it is one of the four.
    pub fn name(self) -> Option<&'static str> {
        Self::FOUR.iter().find(|(symbol, _)| *symbol == self).map(|(_, name)| *name)
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

/// Where a payload is loaded.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// What is known of Xen.
    pub xen: &'a dyn KnownXen,
    /// Xen's own build-id.
    pub build_id: &'a [u8],
    /// What is loaded already.
    pub others: &'a dyn Neighbours,
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

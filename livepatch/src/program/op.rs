//! One call of the livepatch sysctl, in which every argument may be wrong on purpose.

use alloc::vec::Vec;

use super::spec::PayloadSpec;
use super::words::words;
use crate::abi::{ActionCmd, LIVEPATCH_ACTION, LIVEPATCH_GET, LIVEPATCH_LIST, LIVEPATCH_UPLOAD};

words! {
    /// Where something lies that Xen reads.
    Source {
        /// In memory, with readable bytes behind it.
        Ample = "ample",
        /// In memory, up to the last mapped byte.
        Tight = "tight",
        /// In memory that can't be written.
        ReadOnly = "read-only",
        /// Where nothing is mapped.
        Unmapped = "unmapped",
        /// At address 0, where nothing is mapped either.
        Null = "null",
        /// At what is no address on x86-64.
        NonCanonical = "non-canonical",
        /// In the range that Xen keeps for itself under PV; unmapped otherwise.
        XenRange = "xen-range",
    }
}

words! {
    /// Where the structure of the call lies, which Xen reads and writes back.
    Placement {
        /// In memory.
        Ample = "ample",
        /// In memory, up to the last mapped byte.
        Tight = "tight",
        /// Without its last byte.
        Short = "short",
        /// In memory that can't be written.
        ReadOnly = "read-only",
        /// Where nothing is mapped.
        Unmapped = "unmapped",
        /// At address 0, where nothing is mapped either.
        Null = "null",
        /// At what is no address on x86-64.
        NonCanonical = "non-canonical",
        /// In the range that Xen keeps for itself under PV; unmapped otherwise.
        XenRange = "xen-range",
    }
}

/// Where something lies that Xen writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sink {
    /// In memory, with more room than Xen may need.
    Ample,
    /// So many bytes before the first unmapped one.
    Tight(u16),
    /// In memory that can't be written.
    ReadOnly,
    /// Where nothing is mapped.
    Unmapped,
    /// At address 0, where nothing is mapped either.
    Null,
    /// At what is no address on x86-64.
    NonCanonical,
    /// In the range that Xen keeps for itself under PV; unmapped otherwise.
    XenRange,
}

impl Sink {
    /// Those without a number, with their words.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("ample", Self::Ample),
        ("read-only", Self::ReadOnly),
        ("unmapped", Self::Unmapped),
        ("null", Self::Null),
        ("non-canonical", Self::NonCanonical),
        ("xen-range", Self::XenRange),
    ];
}

/// A payload's name as the caller passes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NameArg {
    /// The bytes in memory; a correct name ends in its only NUL. At most [`NameArg::BYTES_MAX`].
    ///
    /// Behind them, where [`Source::Ample`], are bytes 0xa5.
    pub bytes: Vec<u8>,
    /// Where they lie.
    pub at: Source,
    /// Bytes stated; `None` for as many as there are.
    pub size: Option<u16>,
    /// Must be 0.
    pub pad: [u16; 3],
}

impl NameArg {
    /// The most bytes that a program holds. More may be stated, Xen reads none above 128.
    pub const BYTES_MAX: usize = 255;

    /// The correct name; `text` is given without a NUL.
    pub fn new(text: &str) -> Self {
        let mut bytes = Vec::with_capacity(text.len() + 1);
        bytes.extend(text.as_bytes());
        bytes.push(0);
        Self::from_bytes(bytes)
    }

    /// The name of exactly these bytes, NUL or not.
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes, at: Source::Ample, size: None, pad: [0; 3] }
    }

    /// Bytes stated.
    pub fn stated_size(&self) -> u16 {
        self.size.unwrap_or(self.bytes.len() as u16)
    }
}

/// Hand over a payload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadArg {
    /// The new payload's name.
    pub name: NameArg,
    /// What it is made of.
    pub payload: PayloadSpec,
    /// Bytes stated; `None` for as many as there are. Behind those, where [`Source::Ample`], are
    /// zeroes up to 2 MiB.
    pub size: Option<u64>,
    /// Where the payload lies.
    pub at: Source,
}

/// Ask for one payload's status.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GetArg {
    /// Which payload.
    pub name: NameArg,
    /// What is in the structure's `state` before the call.
    pub state: u32,
    /// What is in its `rc`.
    pub rc: i32,
}

/// List payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListArg {
    /// Ignored as input.
    pub version: u32,
    /// First payload wanted.
    pub idx: u32,
    /// Payloads wanted; 0 asks for the totals alone.
    pub nr: u32,
    /// Must be 0.
    pub pad: u32,
    /// Stated bytes of the name buffer: a limit since 4.21.
    pub name_total: u32,
    /// Stated bytes of the metadata buffer, likewise.
    pub metadata_total: u32,
    /// The five arrays, in the order of [`ListArray::WORDS`](super::Word::WORDS).
    pub arrays: [Sink; 5],
}

impl ListArg {
    /// Bytes of names, and of metadata, for which [`Sink::Ample`] has room at least; what is
    /// stated if nothing else is asked for.
    pub const ROOM: u32 = 1 << 14;

    /// Asks for nothing but the totals; the base for struct update syntax.
    pub const EMPTY: Self = Self {
        version: 0,
        idx: 0,
        nr: 0,
        pad: 0,
        name_total: Self::ROOM,
        metadata_total: Self::ROOM,
        arrays: [Sink::Ample; 5],
    };
}

words! {
    /// An array that LIST fills; the order is that in the structure.
    ListArray {
        /// State and rc.
        Status = "status",
        /// Names.
        Name = "name",
        /// Their lengths.
        Len = "len",
        /// Metadata.
        Metadata = "metadata",
        /// Its lengths.
        MetadataLen = "metadata-len",
    }
}

/// Unload, revert, apply or replace a payload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ActionArg {
    /// Which payload.
    pub name: NameArg,
    /// What to do.
    pub cmd: ActionCmd,
    /// Nanoseconds; 0 means Xen's default.
    pub timeout: u32,
    /// `LIVEPATCH_ACTION_APPLY_*`.
    pub flags: u32,
    /// Must be 0.
    pub pad: u32,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Hand over a payload.
    Upload(UploadArg),
    /// Ask for one payload's status.
    Get(GetArg),
    /// List payloads.
    List(ListArg),
    /// Unload, revert, apply or replace.
    Action(ActionArg),
    /// A sub-op of this number with a union of zeroes.
    Bare(u32),
    /// No livepatch call: looks at what the patched functions return (XENVER_extraversion and
    /// XENVER_version).
    Look,
}

impl Op {
    /// The number of the sub-op that belongs to it.
    pub const fn sub_op(&self) -> u32 {
        match self {
            Self::Upload(_) => LIVEPATCH_UPLOAD,
            Self::Get(_) => LIVEPATCH_GET,
            Self::List(_) => LIVEPATCH_LIST,
            Self::Action(_) => LIVEPATCH_ACTION,
            Self::Bare(sub_op) => *sub_op,
            Self::Look => 0,
        }
    }

    /// The name that it passes.
    pub const fn name(&self) -> Option<&NameArg> {
        match self {
            Self::Upload(UploadArg { name, .. })
            | Self::Get(GetArg { name, .. })
            | Self::Action(ActionArg { name, .. }) => Some(name),
            Self::List(_) | Self::Bare(_) | Self::Look => None,
        }
    }

    /// The name that it passes, to change.
    pub const fn name_mut(&mut self) -> Option<&mut NameArg> {
        match self {
            Self::Upload(UploadArg { name, .. })
            | Self::Get(GetArg { name, .. })
            | Self::Action(ActionArg { name, .. }) => Some(name),
            Self::List(_) | Self::Bare(_) | Self::Look => None,
        }
    }
}

/// What surrounds each livepatch call; [`Op::Look`] has none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outer {
    /// The interface version stated; `None` for the one that the Xen at hand speaks.
    pub version: Option<u32>,
    /// Flags (4.19+), padding before.
    pub flags: u32,
    /// Where the structure lies.
    pub at: Placement,
}

impl Outer {
    /// What a correct call has.
    pub const PLAIN: Self = Self { version: None, flags: 0, at: Placement::Ample };
}

/// One operation of a program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// What it does.
    pub op: Op,
    /// What surrounds it.
    pub outer: Outer,
}

impl From<Op> for Step {
    fn from(op: Op) -> Self {
        Self { op, outer: Outer::PLAIN }
    }
}

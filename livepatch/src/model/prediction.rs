//! What is predicted of a call, and how that is compared with what came.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::ops::Range;

use super::loaded::Loaded;
use crate::Errno;
use crate::abi::{LivepatchStatus, NAME_SIZE_MAX, Revision, SYSCTL_SIZE};
use crate::program::{ListArray, Placement};

/// Where in the call's structure GET's status is.
const STATUS: usize = 32;
/// Where LIST's fields are.
const LIST_VERSION: usize = 16;
const LIST_NR: usize = 24;
const LIST_NAME_TOTAL: usize = 32;
const LIST_METADATA_TOTAL: usize = 36;

/// What memory is filled with before a call, so that untouched bytes can be told.
pub const FILL: u8 = 0xa5;

/// What a call came to.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// Xen's return value.
    pub answer: i64,
    /// The structure before the call.
    pub before: &'a [u8; SYSCTL_SIZE],
    /// The structure after it; `None` if it is where nothing can be read.
    pub after: Option<&'a [u8; SYSCTL_SIZE]>,
    /// LIST's arrays, filled with `0xa5` before: all that could be written, or nothing where
    /// nothing can be.
    pub arrays: [&'a [u8]; 5],
}

/// How what came differs from what was predicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// What was compared.
    pub what: String,
    /// What the model says.
    pub expected: String,
    /// What came.
    pub got: String,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, got {}", self.what, self.expected, self.got)
    }
}

impl Divergence {
    /// A difference between two values.
    pub fn new(what: &str, expected: impl fmt::Display, got: impl fmt::Display) -> Self {
        Self { what: what.into(), expected: format!("{expected}"), got: format!("{got}") }
    }
}

/// What the patched functions return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looks {
    /// XENVER_extraversion.
    pub extra: String,
    /// What `xen_major_version` returns.
    pub major: u32,
    /// What `xen_minor_version` returns.
    pub minor: u32,
}

impl Looks {
    /// What XENVER_version returns.
    pub const fn packed(&self) -> u32 {
        self.major << 16 | self.minor
    }

    /// Compares with what the two return.
    ///
    /// # Errors
    /// The difference.
    pub fn check(&self, extra: &str, packed: u32) -> Result<(), Divergence> {
        if extra != self.extra {
            return Err(Divergence::new("extra version", &self.extra, extra));
        }
        if packed != self.packed() {
            let [expected, got] = [self.packed(), packed].map(|number| format!("{number:#x}"));
            return Err(Divergence::new("version", expected, got));
        }
        Ok(())
    }
}

/// What happens to the structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fields {
    /// It comes back as it was.
    Same,
    /// GET's answer.
    Status(LivepatchStatus),
    /// LIST's answer.
    List {
        version: u32,
        nr: u32,
        /// Absent in [`Revision::V1`].
        totals: Option<(u32, u32)>,
    },
}

/// What is predicted of a call.
#[derive(Clone, Debug)]
pub struct Prediction<'m> {
    pub(super) kind: Kind<'m>,
    /// Where the structure lies: writing it back may fail.
    pub(super) place: Placement,
}

#[derive(Clone, Debug)]
pub(super) enum Kind<'m> {
    /// Nothing is known.
    Anything,
    /// Exactly this.
    Call { answer: i64, fields: Fields },
    /// A LIST that begins to write.
    List(Listing<'m>),
}

/// A LIST that begins to write entries.
#[derive(Clone, Debug)]
pub(super) struct Listing<'m> {
    pub revision: Revision,
    /// What may be written at most: as much as was asked for.
    pub entries: &'m [Loaded],
    /// Payloads from the first of `entries` on.
    pub left: u32,
    pub stamp: u32,
    /// How many entries can be written, and what is wrong with the next one.
    pub failure: Option<Failure>,
}

/// An entry that LIST can't write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// Entries before it.
    pub entry: usize,
    pub errno: Errno,
    /// The array at which writing failed, if it had begun.
    pub array: Option<ListArray>,
}

/// In which order an entry's parts are written.
pub(super) const WRITE_ORDER: [ListArray; 5] = [
    ListArray::Name,
    ListArray::Len,
    ListArray::Status,
    ListArray::Metadata,
    ListArray::MetadataLen,
];

impl Prediction<'_> {
    /// Of which nothing is known.
    pub(super) const fn anything() -> Self {
        Self { kind: Kind::Anything, place: Placement::Ample }
    }

    /// The answer, if there is only one.
    pub fn answer(&self) -> Option<i64> {
        match &self.kind {
            Kind::Anything => None,
            Kind::Call { answer, .. } => Some(self.written_back(*answer)),
            Kind::List(listing) => match (listing.failure, listing.entries.len()) {
                (None, 0..=1) => Some(self.written_back(listing.entries.len() as i64)),
                (Some(Failure { entry: 0, errno, .. }), _) => {
                    Some(self.written_back(-i64::from(errno.0)))
                }
                _ => None,
            },
        }
    }

    /// Whether an answer is among the possible ones.
    pub fn allows(&self, answer: i64) -> bool {
        match &self.kind {
            Kind::Anything => true,
            _ if answer == efault() && self.place == Placement::ReadOnly => true,
            Kind::Call { answer: predicted, .. } => self.written_back(*predicted) == answer,
            Kind::List(listing) => listing.allows(answer) && self.written_back(answer) == answer,
        }
    }

    /// Bytes that LIST should write at most into each of its arrays.
    pub fn list_room(&self) -> [usize; 5] {
        let Kind::List(listing) = &self.kind else { return [0; 5] };
        let mut room = [0; 5];
        for (index, entry) in listing.entries.iter().enumerate() {
            for array in WRITE_ORDER {
                room[array as usize] = listing.span(array, index, entry, room[array as usize]).1;
            }
        }
        room
    }

    /// What an answer becomes when the structure can't be written back.
    fn written_back(&self, answer: i64) -> i64 {
        let is_written = !matches!(
            Errno(u16::try_from(-answer).unwrap_or(0)),
            Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EACCES | Errno::EPERM
        );
        if self.place == Placement::ReadOnly && is_written { efault() } else { answer }
    }

    /// Compares with what came.
    ///
    /// # Errors
    /// The first difference.
    pub fn check(&self, observed: &Observed<'_>) -> Result<(), Divergence> {
        let (answer, fields) = match &self.kind {
            Kind::Anything => return Ok(()),
            Kind::Call { answer, fields } => (*answer, *fields),
            Kind::List(listing) => {
                // With a structure that can't be written back, the entries tell how far it came.
                let masked = self.place == Placement::ReadOnly && observed.answer == efault();
                let real = if masked { listing.found(observed) } else { observed.answer };
                if !listing.allows(real) {
                    let expected = listing.describe();
                    return Err(Divergence::new("answer", expected, Shown(observed.answer)));
                }
                listing.check(real, observed)?;
                (real, listing.fields(real))
            }
        };
        let expected = self.written_back(answer);
        if expected != observed.answer {
            return Err(Divergence::new("answer", Shown(expected), Shown(observed.answer)));
        }
        if matches!(self.kind, Kind::Call { .. }) {
            untouched(observed, 0..5)?;
        }
        let Some(after) = observed.after else { return Ok(()) };
        let mut image = *observed.before;
        if self.place != Placement::ReadOnly {
            fields.apply(&mut image);
        }
        if image == *after {
            return Ok(());
        }
        match (0..SYSCTL_SIZE).find(|&at| image[at] != after[at]) {
            None => Ok(()),
            Some(at) => {
                let at = at & !3;
                Err(Divergence {
                    what: format!("structure at byte {at}"),
                    expected: format!("{}", Word32(&image[at..])),
                    got: format!("{}", Word32(&after[at..])),
                })
            }
        }
    }
}

const fn efault() -> i64 {
    -(Errno::EFAULT.0 as i64)
}

/// The first byte that is not as it was before.
fn first_written(bytes: &[u8]) -> Option<usize> {
    const WORD: [u8; 8] = [FILL; 8];
    let same = bytes.chunks_exact(WORD.len()).take_while(|&chunk| chunk == WORD).count();
    let from = same * WORD.len();
    bytes[from..].iter().position(|&byte| byte != FILL).map(|at| from + at)
}

/// Nothing may have been written to these arrays.
fn untouched(observed: &Observed<'_>, arrays: Range<usize>) -> Result<(), Divergence> {
    for array in arrays {
        let bytes = observed.arrays[array];
        if let Some(at) = first_written(bytes) {
            return Err(Divergence {
                what: format!("LIST's array {array} at byte {at}"),
                expected: "untouched".into(),
                got: format!("{:#04x}", bytes[at]),
            });
        }
    }
    Ok(())
}

/// A number of 32 bits in the structure.
struct Word32<'a>(&'a [u8]);

impl fmt::Display for Word32<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.0[..4]);
        write!(f, "{:#x}", u32::from_le_bytes(bytes))
    }
}

/// A return value.
struct Shown(i64);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match u16::try_from(-self.0) {
            Ok(number @ 1..) => Errno(number).fmt(f),
            _ if self.0 == 0 => f.write_str("success"),
            _ => self.0.fmt(f),
        }
    }
}

impl Fields {
    fn apply(self, image: &mut [u8; SYSCTL_SIZE]) {
        let mut put = |at: usize, value: u32| {
            image[at..at + 4].copy_from_slice(&value.to_le_bytes());
        };
        match self {
            Self::Same => {}
            Self::Status(status) => {
                put(STATUS, status.state);
                put(STATUS + 4, status.rc.cast_unsigned());
            }
            Self::List { version, nr, totals } => {
                put(LIST_VERSION, version);
                put(LIST_NR, nr);
                if let Some((names, metadata)) = totals {
                    put(LIST_NAME_TOTAL, names);
                    put(LIST_METADATA_TOTAL, metadata);
                }
            }
        }
    }
}

/// An answer that leaves the structure as it is.
pub(super) fn refused(errno: Errno) -> Kind<'static> {
    Kind::Call { answer: -i64::from(errno.0), fields: Fields::Same }
}

pub(super) const SUCCESS: Kind<'static> = Kind::Call { answer: 0, fields: Fields::Same };

/// Bytes of names and metadata of some entries.
pub(super) fn totals(entries: &[Loaded]) -> (u32, u32) {
    entries.iter().fold((0, 0), |(names, metadata), entry| {
        (names + entry.name.len() as u32 + 1, metadata + entry.image.metadata.len() as u32)
    })
}

impl Listing<'_> {
    /// Entries that can be written.
    fn writable(&self) -> usize {
        self.failure.map_or(self.entries.len(), |failure| failure.entry)
    }

    fn allows(&self, answer: i64) -> bool {
        match (usize::try_from(answer), self.failure) {
            // What fails first leaves no entry to stop after.
            (Ok(0), None) => self.entries.is_empty(),
            (Ok(0), Some(_)) => false,
            (Ok(entries), _) => entries <= self.writable(),
            (Err(_), Some(failure)) => answer == -i64::from(failure.errno.0),
            (Err(_), None) => false,
        }
    }

    fn describe(&self) -> String {
        match (self.failure, self.writable()) {
            (None, 0..=1) => format!("{}", Shown(self.entries.len() as i64)),
            (None, most) => format!("1 to {most}"),
            (Some(failure), 0) => format!("{}", failure.errno),
            (Some(failure), most) => format!("{} or 1 to {most}", failure.errno),
        }
    }

    /// How many entries were written, judging by the last array in the order of writing.
    fn found(&self, observed: &Observed<'_>) -> i64 {
        let last = match self.revision {
            Revision::V1 => ListArray::Status,
            Revision::V2 | Revision::V2Sized => ListArray::MetadataLen,
        };
        let width = if last == ListArray::Status { 8 } else { 4 };
        let words = observed.arrays[last as usize].chunks_exact(width);
        let found = words.take_while(|word| word.iter().any(|&byte| byte != FILL)).count();
        match self.failure {
            // That it came to the entry that fails can't be told from what it wrote.
            Some(failure) if found >= failure.entry => -i64::from(failure.errno.0),
            _ => found as i64,
        }
    }

    /// The structure's fields after that answer.
    fn fields(&self, answer: i64) -> Fields {
        let sums = |entries: &[Loaded]| match self.revision {
            Revision::V1 => None,
            Revision::V2 | Revision::V2Sized => Some(totals(entries)),
        };
        let Ok(entries) = usize::try_from(answer) else {
            let failed = self.writable();
            let counted = match self.revision {
                Revision::V2Sized => failed,
                Revision::V1 | Revision::V2 => failed + 1,
            };
            return Fields::List {
                version: self.stamp,
                nr: self.left - (failed as u32 + 1),
                totals: sums(&self.entries[..counted]),
            };
        };
        let totals = sums(&self.entries[..entries]);
        Fields::List { version: self.stamp, nr: self.left - entries as u32, totals }
    }

    /// The arrays after that answer.
    fn check(&self, answer: i64, observed: &Observed<'_>) -> Result<(), Divergence> {
        let complete = usize::try_from(answer).unwrap_or(self.writable());
        let failed = if answer < 0 { self.failure.and_then(|failure| failure.array) } else { None };
        let mut ends = [0; 5];
        for (index, entry) in self.entries[..complete].iter().enumerate() {
            for array in WRITE_ORDER {
                let (at, end) = self.span(array, index, entry, ends[array as usize]);
                ends[array as usize] = end;
                self.compare(array, at, entry, observed, false)?;
            }
        }
        if let Some(failing) = failed {
            let entry = &self.entries[complete];
            for array in WRITE_ORDER {
                let (at, end) = self.span(array, complete, entry, ends[array as usize]);
                ends[array as usize] = end;
                self.compare(array, at, entry, observed, array == failing)?;
                if array == failing {
                    break;
                }
            }
        }
        // Nothing behind what was written, and in the slots of 1 nothing between.
        for array in WRITE_ORDER {
            let bytes = observed.arrays[array as usize];
            let from = ends[array as usize].min(bytes.len());
            if let Some(at) = first_written(&bytes[from..]) {
                return Err(Divergence {
                    what: format!("LIST's array {} at byte {}", array.name(), from + at),
                    expected: "untouched".into(),
                    got: format!("{:#04x}", bytes[from + at]),
                });
            }
        }
        Ok(())
    }

    /// Where an entry's part begins and ends, behind the end of the entry before.
    pub(super) fn span(
        &self,
        array: ListArray,
        index: usize,
        entry: &Loaded,
        end: usize,
    ) -> (usize, usize) {
        let at = match (array, self.revision) {
            (ListArray::Name, Revision::V1) => index * NAME_SIZE_MAX,
            _ => end,
        };
        let v1 = self.revision == Revision::V1;
        let len = match array {
            ListArray::Metadata | ListArray::MetadataLen if v1 => 0,
            ListArray::Status => size_of::<LivepatchStatus>(),
            ListArray::Len | ListArray::MetadataLen => size_of::<u32>(),
            ListArray::Name => entry.name.len() + 1,
            ListArray::Metadata => entry.image.metadata.len(),
        };
        (at, at + len)
    }

    /// Compares an entry's part with what is in the array; with `or_untouched`, each byte may
    /// also be as it was before.
    fn compare(
        &self,
        array: ListArray,
        at: usize,
        entry: &Loaded,
        observed: &Observed<'_>,
        or_untouched: bool,
    ) -> Result<(), Divergence> {
        let status = entry.status();
        let mut number = [0; 8];
        let expected: &[u8] = match array {
            _ if self.revision == Revision::V1
                && matches!(array, ListArray::Metadata | ListArray::MetadataLen) =>
            {
                &[]
            }
            ListArray::Name => &entry.name,
            ListArray::Metadata => &entry.image.metadata,
            ListArray::Status => {
                number[..4].copy_from_slice(&status.state.to_le_bytes());
                number[4..].copy_from_slice(&status.rc.to_le_bytes());
                &number
            }
            ListArray::Len => {
                number[..4].copy_from_slice(&(entry.name.len() as u32 + 1).to_le_bytes());
                &number[..4]
            }
            ListArray::MetadataLen => {
                let len = entry.image.metadata.len() as u32;
                number[..4].copy_from_slice(&len.to_le_bytes());
                &number[..4]
            }
        };
        let nul = if array == ListArray::Name { &[0][..] } else { &[] };
        let bytes = observed.arrays[array as usize];
        let (body, end) = (at + expected.len(), at + expected.len() + nul.len());
        if bytes.get(at..body) == Some(expected) && bytes.get(body..end) == Some(nul) {
            return Ok(());
        }
        for (offset, &byte) in expected.iter().chain(nul).enumerate() {
            let got = bytes.get(at + offset).copied();
            let fine = match got {
                Some(got) => got == byte || or_untouched && got == FILL,
                // Behind the end of what can be written.
                None => or_untouched,
            };
            if !fine {
                return Err(Divergence {
                    what: format!("LIST's array {} at byte {}", array.name(), at + offset),
                    expected: format!("{byte:#04x}"),
                    got: got.map_or("nothing".into(), |got| format!("{got:#04x}")),
                });
            }
        }
        Ok(())
    }
}

impl ListArray {
    fn name(self) -> &'static str {
        crate::program::Word::word(self)
    }
}

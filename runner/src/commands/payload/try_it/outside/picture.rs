//! What of Xen is compared, where it is in a machine's memory, and how two states differ.
//!
//! Xen's text and its read-only data follow each other: from `_stext` to `__2M_rodata_end`, which
//! includes the space between functions and `.data.ro_after_init`. Xen changes all of it while it
//! boots (alternatives, `ro_after_init`), and none of it once dom0 runs, as was seen on every
//! release from 4.8.5 to master.
//!
//! Xen is linked into the GiB that begins at XEN_VIRT_START (asm/config.h), and moves to high
//! memory when it boots. Whatever its address, it is contiguous, and aligned to 2 MiB. Its variable
//! `xen_phys_start` then holds the physical address of XEN_VIRT_START.

use std::io;

use livepatch::model::KnownXen;

use crate::base::plural::count;
use crate::machine::lookout::Memory;
use crate::xen::symbols::KnownSymbols;

/// XEN_VIRT_START is a multiple of it, and everything of Xen's is below the next.
const LINKED_WITHIN: u64 = 1 << 30;
/// Xen's physical address is a multiple of it.
const ALIGNMENT: u64 = 2 << 20;
/// Xen stays below that.
const HIGHEST: u64 = 4 << 30;
/// More than that are Xen's code and constants nowhere.
const SIZE_MAX: u64 = 64 << 20;

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ground {
    /// From here on, in Xen's virtual addresses.
    start: u64,
    size: u64,
    /// The variable with the physical address of XEN_VIRT_START.
    phys_start: u64,
    /// The build-id's note, and what is in it.
    note: (u64, Vec<u8>),
}

impl Ground {
    /// That of the Xen with these symbols; or which of them it lacks.
    pub fn of(symbols: &KnownSymbols) -> Result<Ground, String> {
        let address = |name: &str| {
            let symbol = symbols.find(name.as_bytes());
            let address = symbol.and_then(|symbol| symbols.address(symbol));
            address.ok_or_else(|| format!("the symbols of this Xen lack {name}"))
        };
        let (start, end) = (address("_stext")?, address("__2M_rodata_end")?);
        let [from, to] =
            ["start", "end"].map(|edge| address(&format!("__note_gnu_build_id_{edge}")));
        let (from, to) = (from?, to?);
        let note = symbols.find(b"__note_gnu_build_id_start").and_then(|symbol| {
            symbols.bytes(symbol, 0, usize::try_from(to.checked_sub(from)?).ok()?)
        });
        let note = note.ok_or("the symbols of this Xen lack its build-id")?;
        let size = end.checked_sub(start).filter(|size| *size <= SIZE_MAX);
        let size = size.ok_or("the symbols of this Xen give no order of code and constants")?;
        let phys_start = address("xen_phys_start")?;
        Ok(Ground { start, size, phys_start, note: (from, note.to_vec()) })
    }

    /// Finds Xen in `memory`: the physical address of XEN_VIRT_START.
    pub fn find(&self, memory: &mut Memory<'_>) -> io::Result<u64> {
        let last = memory.size()?.min(HIGHEST) / ALIGNMENT;
        // It moves to the highest place that there is.
        for base in (0..last).rev().map(|number| number * ALIGNMENT) {
            let pointer = memory.read(base + linked(self.phys_start), 8)?;
            if pointer != base.to_le_bytes() {
                continue;
            }
            let (address, note) = &self.note;
            if memory.read(base + linked(*address), note.len() as u64)? == *note {
                return Ok(base);
            }
        }
        Err(io::Error::other("this build of Xen is not in the machine's memory"))
    }

    /// How it is in `memory`, where XEN_VIRT_START is at `base`.
    pub fn picture(&self, memory: &mut Memory<'_>, base: u64) -> io::Result<Picture> {
        let bytes = memory.read(base + linked(self.start), self.size)?;
        Ok(Picture { start: self.start, bytes })
    }
}

/// The distance of a virtual address of Xen's from XEN_VIRT_START.
fn linked(address: u64) -> u64 {
    address % LINKED_WITHIN
}

/// How it was at some time.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    start: u64,
    bytes: Vec<u8>,
}

impl Picture {
    /// One for tests.
    #[cfg(test)]
    pub fn sample(start: u64, bytes: &[u8]) -> Picture {
        Picture { start, bytes: bytes.to_vec() }
    }

    /// Bytes of it.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The `size` bytes at `address`, if it shows them.
    pub fn at(&self, address: u64, size: u64) -> Option<&[u8]> {
        let from = usize::try_from(address.checked_sub(self.start)?).ok()?;
        self.bytes.get(from..from.checked_add(usize::try_from(size).ok()?)?)
    }

    /// The byte at an address, as people write it.
    fn byte(&self, address: u64) -> String {
        self.at(address, 1).map_or_else(|| "nothing".into(), |byte| format!("{:02x}", byte[0]))
    }

    /// The addresses of bytes that are others in `now`.
    pub fn differences<'p>(&'p self, now: &'p Picture) -> impl Iterator<Item = u64> + 'p {
        /// Most of it is the same.
        const STRIDE: usize = 4096;
        let pages = self.bytes.chunks(STRIDE).zip(now.bytes.chunks(STRIDE)).enumerate();
        pages.filter(|(_, (old, new))| old != new).flat_map(|(page, (old, new))| {
            let start = self.start + (page * STRIDE) as u64;
            let bytes = (start..).zip(old.iter().zip(new));
            bytes.filter(|(_, (old, new))| old != new).map(|(address, _)| address)
        })
    }
}

/// Tells of differences, of which there is at least one: how many, and of the first of them where it
/// is and what was there.
pub fn told(all: &[u64], before: &Picture, now: &Picture, symbols: &KnownSymbols) -> String {
    let first = all.first().copied().unwrap_or_default();
    format!(
        "in {}: {} was {} and is {}",
        count(all.len(), "byte"),
        place(first, symbols),
        before.byte(first),
        now.byte(first)
    )
}

/// An address for people.
pub fn place(address: u64, symbols: &KnownSymbols) -> String {
    match symbols.describe(address) {
        Some(name) => format!("{name} ({address:#x})"),
        None => format!("{address:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_addresses() {
        let mut bytes = vec![7; 10_000];
        let before = Picture::sample(0x1000, &bytes);
        for at in [0, 4095, 4096, 9999] {
            bytes[at] = 8;
        }
        let now = Picture::sample(0x1000, &bytes);
        let found: Vec<u64> = before.differences(&now).collect();
        assert_eq!(found, [0, 4095, 4096, 9999].map(|at| 0x1000 + at));
        assert_eq!(before.differences(&before).count(), 0);
        assert_eq!(now.at(0x1fff, 2), Some(&[8, 8][..]));
        assert_eq!((now.at(0xfff, 1), now.at(0x1000 + 9999, 2)), (None, None));
    }

    #[test]
    fn addresses_within_what_is_linked() {
        for start in [0xffff_82d0_4000_0000, 0xffff_82d0_8000_0000] {
            assert_eq!(linked(start + 0x20_1234), 0x20_1234);
        }
    }
}

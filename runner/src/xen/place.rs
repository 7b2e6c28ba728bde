//! Where a Xen is in a machine's memory.
//!
//! Xen is linked into the GiB that begins at XEN_VIRT_START (asm/config.h), and moves to high
//! memory when it boots. Whatever its address, it is contiguous, and aligned to 2 MiB. Its variable
//! `xen_phys_start` then holds the physical address of XEN_VIRT_START.

use std::io;

use livepatch::model::KnownXen;

use crate::xen::symbols::KnownSymbols;

/// XEN_VIRT_START is a multiple of it, and everything of Xen's is below the next.
const LINKED_WITHIN: u64 = 1 << 30;
/// Xen's physical address is a multiple of it.
const ALIGNMENT: u64 = 2 << 20;
/// Xen stays below that.
const HIGHEST: u64 = 4 << 30;

/// By what a Xen is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The variable with the physical address of XEN_VIRT_START.
    phys_start: u64,
    /// The build-id's note, and what is in it.
    note: (u64, Vec<u8>),
}

impl Place {
    /// That of the Xen with these symbols; or which of them it lacks.
    pub fn of(symbols: &KnownSymbols) -> Result<Place, String> {
        let [from, to] =
            ["start", "end"].map(|edge| address(symbols, &format!("__note_gnu_build_id_{edge}")));
        let (from, to) = (from?, to?);
        let note = symbols.find(b"__note_gnu_build_id_start").and_then(|symbol| {
            symbols.bytes(symbol, 0, usize::try_from(to.checked_sub(from)?).ok()?)
        });
        let note = note.ok_or("the symbols of this Xen lack its build-id")?;
        Ok(Place { phys_start: address(symbols, "xen_phys_start")?, note: (from, note.to_vec()) })
    }

    /// Finds Xen in a memory of `size` bytes, of which `read` returns some at a physical address:
    /// the physical address of XEN_VIRT_START.
    pub fn find(
        &self,
        size: u64,
        mut read: impl FnMut(u64, u64) -> io::Result<Vec<u8>>,
    ) -> io::Result<u64> {
        let last = size.min(HIGHEST) / ALIGNMENT;
        // It moves to the highest place that there is.
        for base in (0..last).rev().map(|number| number * ALIGNMENT) {
            let (address, note) = &self.note;
            // Where the memory ends before, it is not.
            let ends = linked(self.phys_start).max(linked(*address)) + note.len().max(8) as u64;
            if base + ends <= size
                && read(base + linked(self.phys_start), 8)? == base.to_le_bytes()
                && read(base + linked(*address), note.len() as u64)? == *note
            {
                return Ok(base);
            }
        }
        Err(io::Error::other("this build of Xen is not in the machine's memory"))
    }
}

/// Where a symbol of that name is; or that there is none.
pub fn address(symbols: &KnownSymbols, name: &str) -> Result<u64, String> {
    let symbol = symbols.find(name.as_bytes());
    let address = symbol.and_then(|symbol| symbols.address(symbol));
    address.ok_or_else(|| format!("the symbols of this Xen lack {name}"))
}

/// The distance of a virtual address of Xen's from XEN_VIRT_START.
pub fn linked(address: u64) -> u64 {
    address % LINKED_WITHIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_within_what_is_linked() {
        for start in [0xffff_82d0_4000_0000, 0xffff_82d0_8000_0000] {
            assert_eq!(linked(start + 0x20_1234), 0x20_1234);
        }
    }

    #[test]
    fn xen_is_where_its_note_and_its_own_word_are() {
        let xen = 0xffff_82d0_4000_0000;
        let place = Place { phys_start: xen + 0x3000, note: (xen + 0x1000, vec![7; 5]) };
        let mut memory = vec![0; 9 << 20];
        let read =
            |memory: &[u8], at: u64, size: u64| Ok(memory[at as usize..][..size as usize].to_vec());
        let find =
            |memory: &[u8]| place.find(memory.len() as u64, |at, size| read(memory, at, size)).ok();
        assert_eq!(find(&memory), None);
        // The note alone, as in the file that was loaded.
        memory[0x60_1000..][..5].fill(7);
        assert_eq!(find(&memory), None);
        memory[0x40_1000..][..5].fill(7);
        memory[0x40_3000..][..8].copy_from_slice(&(4_u64 << 20).to_le_bytes());
        assert_eq!(find(&memory), Some(4 << 20));
    }
}

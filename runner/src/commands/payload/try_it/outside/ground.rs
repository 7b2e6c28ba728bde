//! What of Xen is compared, and where it is in a machine's memory.
//!
//! Xen's text and its read-only data follow each other: from `_stext` to `__2M_rodata_end`, which
//! includes the space between functions and `.data.ro_after_init`. Xen changes them while it boots
//! (alternatives, `ro_after_init`), and not once dom0 runs: on no release from 4.8.5 to master was a
//! byte seen to differ that no payload had changed. So nothing in between is left out.

use std::io;

use super::picture::Picture;
use crate::machine::lookout::Memory;
use crate::xen::place::{Place, address, linked};
use crate::xen::symbols::KnownSymbols;

const PAGE: u64 = 4096;

/// More than that are Xen's code and constants nowhere.
const SIZE_MAX: u64 = 64 << 20;

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ground {
    /// From this virtual address on.
    start: u64,
    size: u64,
    /// The page table that maps all of Xen.
    tables: u64,
    /// Where Xen is.
    place: Place,
}

impl Ground {
    /// That of the Xen with these symbols; or which of them it lacks.
    pub fn of(symbols: &KnownSymbols) -> Result<Ground, String> {
        let address = |name| address(symbols, name);
        let (start, end) = (address("_stext")?, address("__2M_rodata_end")?);
        let size = end.checked_sub(start).filter(|size| *size <= SIZE_MAX);
        let size = size.ok_or("the symbols of this Xen give no order of code and constants")?;
        let tables = address("idle_pg_table")?;
        Ok(Ground { start, size, tables, place: Place::of(symbols)? })
    }

    /// Finds Xen in `memory`: the physical address of XEN_VIRT_START.
    pub fn find(&self, memory: &mut Memory<'_>) -> io::Result<u64> {
        let size = memory.size()?;
        self.place.find(size, |at, size| memory.read(at, size))
    }

    /// How it is in `memory`, where XEN_VIRT_START is at `base`.
    pub fn picture(&self, memory: &mut Memory<'_>, base: u64) -> io::Result<Picture> {
        let bytes = memory.read(base + linked(self.start), self.size)?;
        Ok(Picture::new(self.start, bytes))
    }

    /// The `size` bytes at a virtual address of Xen's, if they are mapped.
    pub fn mapped(
        &self,
        memory: &mut Memory<'_>,
        base: u64,
        address: u64,
        size: u64,
    ) -> io::Result<Option<Vec<u8>>> {
        let (mut bytes, mut from) = (Vec::new(), address);
        while from < address + size {
            let read = |place| memory.read(place, 8);
            let Some(physical) = translate(base + linked(self.tables), from, read)? else {
                return Ok(None);
            };
            let next = (from + 1).next_multiple_of(PAGE).min(address + size);
            bytes.extend(memory.read(physical, next - from)?);
            from = next;
        }
        Ok(Some(bytes))
    }
}

/// Where a virtual address is in memory, by the four levels of page tables whose root is at `table`;
/// `read` returns the entry at a physical address.
fn translate(
    mut table: u64,
    address: u64,
    mut read: impl FnMut(u64) -> io::Result<Vec<u8>>,
) -> io::Result<Option<u64>> {
    const PRESENT: u64 = 1 << 0;
    const LARGE: u64 = 1 << 7;
    const FRAME: u64 = 0x000f_ffff_ffff_f000;
    for shift in [39, 30, 21, 12] {
        let entry = read(table + (address >> shift) % 512 * 8)?;
        let entry = entry.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        if entry & PRESENT == 0 {
            return Ok(None);
        }
        if shift == 12 || entry & LARGE != 0 {
            let within = (1 << shift) - 1;
            return Ok(Some(entry & FRAME & !within | address & within));
        }
        table = entry & FRAME;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xen::symbols::{BootXen, xen_build};

    #[test]
    fn page_tables_of_four_levels() {
        let entries = [
            (0x1000 + 8 * 261, 0x2000 | 0x8000_0000_0000_0063_u64),
            (0x2000 + 8 * 321, 0x3063),
            (0x3000, 0x0060_00e3),
            (0x3000 + 8, 0x4063),
            (0x4000 + 8 * 2, 0x8000_0000_0000_7063),
        ];
        let read = |place| {
            let found = entries.iter().find(|(at, _)| *at == place);
            Ok(found.map_or(0, |(_, entry)| *entry).to_le_bytes().to_vec())
        };
        let of = |address| translate(0x1000, address, read).unwrap();
        assert_eq!(of(0xffff_82d0_4012_3456), Some(0x0072_3456));
        assert_eq!(of(0xffff_82d0_4020_2345), Some(0x7345));
        assert_eq!(of(0xffff_82d0_4020_3345), None);
        assert_eq!(of(0), None);
    }

    #[test]
    fn symbols_that_are_needed() {
        let xen = BootXen::parse(xen_build::boot(7, &[("_stext", None, &[0xc3])]));
        let why = Ground::of(&xen.and_then(KnownSymbols::of).unwrap()).unwrap_err();
        assert_eq!(why, "the symbols of this Xen lack __2M_rodata_end");
    }
}

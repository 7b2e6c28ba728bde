//! Memory that nobody uses yet.

use super::start_info::StartInfo;
use crate::hypercall::{hypercall, nr};
use crate::layout;
use crate::page::{HEAP_LIMIT, IDENTITY_END, Region};

const RAM: u32 = 1;
const XENMEM_MEMORY_MAP: u64 = 9;

/// The largest piece of RAM behind the image that is not the `module`'s, up to [`HEAP_LIMIT`]. Where
/// UEFI booted the machine, what the firmware keeps for itself divides the RAM into many.
pub fn find_heap(info: &StartInfo, module: Option<Region>) -> Region {
    let image_end = layout::end_of_image();
    let mut largest = Region { start: image_end, len: 0 };
    let consider = |ram: Region| {
        let end = ram.end().min(IDENTITY_END);
        let start = if ram.contains(image_end) { image_end } else { ram.start };
        if start < image_end || end <= start {
            return;
        }
        let behind = Region { start, len: end - start };
        // Xen puts a module behind the image or elsewhere, depending on its release.
        let free = module.map_or(behind, |module| behind.without(module));
        let len = free.len.min(HEAP_LIMIT);
        if len > largest.len {
            largest = Region { len, ..free };
        }
    };
    match info.memory_map() {
        Some(map) => map
            .iter()
            .filter(|entry| entry.kind == RAM)
            .map(|entry| Region { start: entry.address, len: entry.size })
            .for_each(consider),
        None => memory_map_from_xen(consider),
    }
    assert!(largest.len > 0, "there is RAM behind the image");
    largest
}

/// Asks Xen for the map, for loaders whose start_info has none (4.10 and before), and shows each
/// piece of RAM in it to `consider`.
fn memory_map_from_xen(consider: impl FnMut(Region)) {
    const MAX: usize = 32;
    /// `struct e820entry`, packed as the BIOS has it.
    #[derive(Clone, Copy)]
    #[repr(C, packed)]
    struct Entry {
        address: u64,
        size: u64,
        kind: u32,
    }
    /// `struct xen_memory_map`, xen/include/public/memory.h.
    #[repr(C)]
    struct MemoryMap {
        nr_entries: u32,
        buffer: *mut Entry,
    }
    let mut entries = [Entry { address: 0, size: 0, kind: 0 }; MAX];
    let mut request = MemoryMap { nr_entries: MAX as u32, buffer: entries.as_mut_ptr() };
    // SAFETY: Xen writes at most `nr_entries` entries and the request itself.
    let result = unsafe {
        hypercall(nr::MEMORY_OP, [XENMEM_MEMORY_MAP, (&raw mut request) as u64, 0, 0, 0])
    };
    if result != 0 {
        return;
    }
    entries[..MAX.min(request.nr_entries as usize)]
        .iter()
        .filter(|entry| entry.kind == RAM)
        .map(|entry| Region { start: entry.address, len: entry.size })
        .for_each(consider);
}

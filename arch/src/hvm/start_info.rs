//! What the domain builder tells a PVH or HVM guest.

use core::ptr;

use crate::page::Region;

/// The domain may use privileged hypercalls (`SIF_PRIVILEGED`, the same as for PV).
pub const SIF_PRIVILEGED: u32 = 1 << 0;

/// `struct hvm_start_info` (xen/include/public/arch-x86/hvm/start_info.h).
#[repr(C)]
pub struct StartInfo {
    _magic: u32,
    version: u32,
    pub flags: u32,
    nr_modules: u32,
    modlist: u64,
    pub cmdline: u64,
    _rsdp: u64,
    // From version 1 on:
    memmap: u64,
    memmap_entries: u32,
    _reserved: u32,
}

/// `struct hvm_modlist_entry`: a module.
#[repr(C)]
struct Module {
    address: u64,
    size: u64,
    _cmdline: u64,
    _reserved: u64,
}

/// `struct hvm_memmap_table_entry`: one range of the memory map.
#[repr(C)]
pub struct MemmapEntry {
    pub address: u64,
    pub size: u64,
    pub kind: u32,
    _reserved: u32,
}

const _: () = {
    assert!(core::mem::offset_of!(StartInfo, memmap) == 40);
    assert!(core::mem::offset_of!(StartInfo, modlist) == 16);
    assert!(size_of::<Module>() == 32);
    assert!(size_of::<MemmapEntry>() == 24);
};

impl StartInfo {
    /// The first module, if there is one.
    pub fn module(&self) -> Option<Region> {
        if self.nr_modules == 0 {
            return None;
        }
        let list: *const Module = ptr::with_exposed_provenance(self.modlist as usize);
        // SAFETY: Xen describes an array that it wrote below 4 GiB, hence mapped.
        let first = unsafe { list.read() };
        Some(Region { start: first.address, len: first.size })
    }

    /// The memory map, where the structure is new enough to have one.
    pub fn memory_map(&self) -> Option<&[MemmapEntry]> {
        if self.version < 1 || self.memmap_entries == 0 {
            return None;
        }
        let map = ptr::with_exposed_provenance(self.memmap as usize);
        // SAFETY: Xen describes an array that it wrote below 4 GiB, hence mapped.
        Some(unsafe { core::slice::from_raw_parts(map, self.memmap_entries as usize) })
    }
}

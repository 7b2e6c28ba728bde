//! Pages and ranges of addresses: the words in which everybody speaks of memory.

use core::cell::UnsafeCell;

/// Size of a page in bytes.
pub const PAGE_SIZE: u64 = 4096;

/// The most memory that the heap claims, in bytes. The largest thing that a test needs is a few
/// payloads of 2 MiB; mapping all of a big dom0 would only make the boot slow.
pub const HEAP_LIMIT: u64 = 64 << 20;

/// A range of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    /// First address.
    pub start: u64,
    /// Length in bytes.
    pub len: u64,
}

impl Region {
    /// First address after the range.
    pub const fn end(&self) -> u64 {
        self.start + self.len
    }

    /// Whether `address` lies in the range.
    pub const fn contains(&self, address: u64) -> bool {
        address >= self.start && address < self.end()
    }

    /// The larger of the two parts that `hole` leaves of the range, in whole pages.
    pub fn without(self, hole: Region) -> Region {
        let hole_start = hole.start / PAGE_SIZE * PAGE_SIZE;
        let hole_end = hole.end().next_multiple_of(PAGE_SIZE);
        if hole_end <= self.start || hole_start >= self.end() {
            return self;
        }
        let below = hole_start.saturating_sub(self.start);
        let above = self.end().saturating_sub(hole_end);
        if below >= above {
            Region { start: self.start, len: below }
        } else {
            Region { start: hole_end, len: above }
        }
    }
}

/// What an access to a page does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protection {
    /// Reads and writes succeed.
    ReadWrite,
    /// Writes fault, Xen's on our behalf included.
    ReadOnly,
    /// Every access faults.
    None,
}

/// Why a page's protection could not be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProtectError {
    /// The address is outside the identity-mapped memory of this guest.
    NotOurs,
    /// No page table is left to split a large page with (PVH, HVM).
    NoPageTable,
    /// Without paging a page is there or it is not.
    NoPaging,
    /// Xen refused the update (PV, and without paging): its negative errno.
    Xen(i64),
}

/// An address that no page table maps and no guest can map: in the middle of the canonical hole.
pub const NON_CANONICAL: u64 = 0x8000_0000_0000_0000;

/// The first address of the range that Xen keeps for itself in every 64-bit PV guest
/// (`HYPERVISOR_VIRT_START`), and above what a 32-bit one can name; in a PVH or HVM guest merely
/// unmapped.
pub const XEN_RANGE: u64 = 0xffff_8000_0000_0000;

/// End of the identity map of a PVH or HVM guest. Xen places everything that it gives one below.
pub(crate) const IDENTITY_END: u64 = 4 << 30;

/// A static page, for what Xen or the CPU accesses by address only.
#[repr(C, align(4096))]
pub(crate) struct Page(UnsafeCell<[u64; 512]>);

// SAFETY: contents are only reached through raw pointers made from `address`, under the rules
// of whoever does it.
unsafe impl Sync for Page {}

impl Page {
    pub(crate) const fn zeroed() -> Self {
        Self(UnsafeCell::new([0; 512]))
    }

    pub(crate) fn address(&self) -> u64 {
        self.0.get().expose_provenance() as u64
    }
}

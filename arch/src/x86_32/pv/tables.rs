//! What the page tables of a 32-bit PV guest have of their own: three levels, of which the top one has
//! four entries.

use crate::hypercall::{hypercall, nr};

/// The machine-to-physical table, which every PV guest may read: the first thing in the range that Xen
/// keeps for itself in the last gigabyte (`HYPERVISOR_VIRT_START`), where no note asks for another.
pub const M2P: u64 = 0xf580_0000;

/// For each level above the lowest two: where an address has its index.
pub const UPPER_LEVELS: &[u32] = &[30];

/// `update_va_mapping`, whose entry takes two registers.
///
/// # Safety
/// The page at `address` is the caller's.
pub unsafe fn update_va_mapping(address: u64, entry: u64, flags: u64) -> i64 {
    // SAFETY: the caller's promise.
    unsafe { hypercall(nr::UPDATE_VA_MAPPING, [address, entry, entry >> 32, flags, 0]) }
}

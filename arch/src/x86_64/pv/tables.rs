//! What the page tables of a 64-bit PV guest have of their own.

use crate::hypercall::{hypercall, nr};
use crate::page::XEN_RANGE;

/// The machine-to-physical table, which every PV guest may read: the first thing in Xen's range.
pub const M2P: u64 = XEN_RANGE;

/// For each level above the lowest two: where an address has its index.
pub const UPPER_LEVELS: &[u32] = &[39, 30];

/// `update_va_mapping`.
///
/// # Safety
/// The page at `address` is the caller's.
pub unsafe fn update_va_mapping(address: u64, entry: u64, flags: u64) -> i64 {
    // SAFETY: the caller's promise.
    unsafe { hypercall(nr::UPDATE_VA_MAPPING, [address, entry, flags, 0, 0]) }
}

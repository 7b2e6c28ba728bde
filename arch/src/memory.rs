//! The protection of pages, for tests that need memory which Xen cannot read or write.

use crate::boot::boot;

pub use crate::page::{
    HEAP_LIMIT, NON_CANONICAL, PAGE_SIZE, ProtectError, Protection, Region, XEN_RANGE,
};

/// Changes the protection of the page at `address`.
///
/// # Safety
/// While the page is not [`Protection::ReadWrite`] nobody but the caller may own memory in it;
/// an access through a reference would fault (which is reported, and ends the run).
pub unsafe fn protect(address: u64, protection: Protection) -> Result<(), ProtectError> {
    debug_assert!(address.is_multiple_of(PAGE_SIZE));
    boot().platform.protect(address, protection)
}

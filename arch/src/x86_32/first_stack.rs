//! Where a CPU that comes up finds its number.

use core::ptr;

/// The stack pointer with which a function begins whose one argument is `argument`, on the stack that
/// ends at `stack`: of a CPU that does not run yet.
pub fn pointer(stack: u64, argument: usize) -> u32 {
    let place: *mut [u32; 4] = ptr::with_exposed_provenance_mut((stack - 16) as usize);
    // SAFETY: the stack is that CPU's, which does not run yet. A function finds its first argument there,
    // behind a return address that nobody uses.
    unsafe { place.write([argument as u32, 0, 0, 0]) };
    stack as u32 - 20
}

//! `vcpu_op` (xen/include/public/vcpu.h), as far as CPUs are brought up by it.

use crate::hypercall::{hypercall, nr};

const VCPUOP_INITIALISE: u64 = 0;
const VCPUOP_UP: u64 = 1;
const VCPUOP_IS_UP: u64 = 3;

/// Tells Xen how a CPU begins: by the structure at `context`, whose form depends on the
/// environment.
///
/// # Errors
/// Xen's negative errno: ENOENT where the domain has no such vCPU, EEXIST where it is up already.
///
/// # Safety
/// Xen can read the structure there; the stack in it belongs to that CPU alone.
pub unsafe fn initialise(cpu: usize, context: u64) -> Result<(), i64> {
    // SAFETY: Xen reads the context, for which the caller vouches.
    unsafe { vcpu_op(VCPUOP_INITIALISE, cpu, context) }
}

/// Lets a CPU run that was initialised.
///
/// # Errors
/// Xen's negative errno.
pub fn up(cpu: usize) -> Result<(), i64> {
    // SAFETY: takes no argument.
    unsafe { vcpu_op(VCPUOP_UP, cpu, 0) }
}

/// Whether the domain has such a CPU, up or not.
#[must_use]
pub fn exists(cpu: usize) -> bool {
    const IS_UP: Result<(), i64> = Err(1);
    // SAFETY: takes no argument.
    matches!(unsafe { vcpu_op(VCPUOP_IS_UP, cpu, 0) }, Ok(()) | IS_UP)
}

/// # Safety
/// Xen may read what the argument points at.
unsafe fn vcpu_op(op: u64, cpu: usize, argument: u64) -> Result<(), i64> {
    // SAFETY: neither operation writes to this guest's memory; the caller vouches for what is read.
    match unsafe { hypercall(nr::VCPU_OP, [op, cpu as u64, argument, 0, 0]) } {
        0 => Ok(()),
        error => Err(error),
    }
}

//! What the rest of the image needs of a PV guest.

use super::{memory, traps, vcpu};
use crate::boot::Platform;
use crate::hypercall::{hypercall, nr};
use crate::page::{ProtectError, Protection};
use crate::shared_info;

/// A PV guest.
#[derive(Debug)]
pub struct Pv;

impl Platform for Pv {
    fn protect(&self, address: u64, protection: Protection) -> Result<(), ProtectError> {
        memory::protect(address, protection)
    }

    fn fault_address(&self) -> u64 {
        shared_info::pv_cr2()
    }

    fn forget_traps(&self) {
        traps::forget();
    }

    fn allow_ports(&self, allow: bool) {
        const PHYSDEVOP_SET_IOPL: u64 = 6;
        let level = u32::from(allow);
        // SAFETY: Xen reads four bytes of `level`. What ports do to memory is the affair of whoever
        // uses them.
        unsafe {
            hypercall(nr::PHYSDEV_OP, [PHYSDEVOP_SET_IOPL, (&raw const level) as u64, 0, 0, 0])
        };
    }

    /// There is none: a PV guest has no I/O privilege.
    fn debug_console(&self, _bytes: &[u8]) {}

    fn initialise_cpu(&self, cpu: usize, stack: u64) -> Result<(), i64> {
        vcpu::initialise(cpu, stack)
    }
}

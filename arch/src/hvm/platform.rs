//! What the rest of the image needs of a PVH or HVM guest.

use crate::boot::Platform;
use crate::page::{ProtectError, Protection};
use crate::port;
use crate::width;
use crate::width::hvm::{descriptors, memory, vcpu};

/// A PVH or HVM guest.
#[derive(Debug)]
pub struct Hvm;

impl Platform for Hvm {
    fn protect(&self, address: u64, protection: Protection) -> Result<(), ProtectError> {
        memory::protect(address, protection)
    }

    fn fault_address(&self) -> u64 {
        width::fault_address()
    }

    fn forget_traps(&self) {
        descriptors::forget();
    }

    /// Always allowed.
    fn allow_ports(&self, _allow: bool) {}

    fn debug_console(&self, bytes: &[u8]) {
        port::debug_console(bytes);
    }

    fn initialise_cpu(&self, cpu: usize, stack: u64) -> Result<(), i64> {
        vcpu::initialise(cpu, stack)
    }
}

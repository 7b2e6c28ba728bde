//! The end of the domain.

use crate::hypercall::{hypercall, nr};

/// `SCHEDOP_yield`, xen/include/public/sched.h.
pub(crate) const SCHEDOP_YIELD: u64 = 0;
const SCHEDOP_SHUTDOWN: u64 = 2;

/// Why a domain ends (`SHUTDOWN_*`, xen/include/public/sched.h).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Reason {
    /// Clean end. As dom0, Xen halts the machine.
    Poweroff = 0,
    /// As dom0, Xen resets the machine, which ends a QEMU started with `-no-reboot` at once.
    Reboot = 1,
    /// The guest considers itself broken.
    Crash = 3,
}

/// Ends this domain.
pub fn shutdown(reason: Reason) -> ! {
    let argument = reason as u32;
    loop {
        // SAFETY: Xen reads four bytes of `argument` and, if it returns at all, writes nothing.
        unsafe {
            hypercall(nr::SCHED_OP, [SCHEDOP_SHUTDOWN, (&raw const argument) as u64, 0, 0, 0])
        };
    }
}

/// Gives the physical CPU to somebody else for a moment (`SCHEDOP_yield`).
pub fn yield_cpu() {
    // SAFETY: takes no argument and touches no memory of ours.
    unsafe { hypercall(nr::SCHED_OP, [SCHEDOP_YIELD, 0, 0, 0, 0]) };
}

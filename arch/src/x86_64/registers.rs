//! Copies of registers.

use core::arch::asm;
use core::arch::x86_64::_rdtsc;

use x86_64::registers::control::Cr2;

use crate::stacks::MAX_CPUS;

/// The current frame pointer, from which a backtrace starts.
#[inline(always)]
pub fn frame_pointer() -> u64 {
    let rbp;
    // SAFETY: copies a register.
    unsafe { asm!("mov {}, rbp", out(reg) rbp, options(nomem, nostack, preserves_flags)) };
    rbp
}

/// The current stack pointer.
#[inline(always)]
pub fn stack_pointer() -> u64 {
    let rsp;
    // SAFETY: copies a register.
    unsafe { asm!("mov {}, rsp", out(reg) rsp, options(nomem, nostack, preserves_flags)) };
    rsp
}

/// CR2. PVH and HVM only.
pub fn fault_address() -> u64 {
    Cr2::read_raw()
}

/// The time stamp counter.
pub fn read_tsc() -> u64 {
    // SAFETY: every x86-64 CPU has RDTSC, and Xen lets (or makes) it succeed for guests.
    unsafe { _rdtsc() }
}

/// CPUs that the image has a use for.
pub fn usable_cpus() -> usize {
    MAX_CPUS
}

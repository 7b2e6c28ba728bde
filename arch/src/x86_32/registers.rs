//! Copies of registers.

use core::arch::asm;

use super::hvm::accessed::emulated;

/// The current frame pointer, from which a backtrace starts.
#[inline(always)]
pub fn frame_pointer() -> u64 {
    let ebp: u32;
    // SAFETY: copies a register.
    unsafe { asm!("mov {}, ebp", out(reg) ebp, options(nomem, nostack, preserves_flags)) };
    ebp.into()
}

/// The current stack pointer.
#[inline(always)]
pub fn stack_pointer() -> u64 {
    let esp: u32;
    // SAFETY: copies a register.
    unsafe { asm!("mov {}, esp", out(reg) esp, options(nomem, nostack, preserves_flags)) };
    esp.into()
}

/// CR2. PVH and HVM only.
pub fn fault_address() -> u64 {
    let cr2: u32;
    // SAFETY: copies a register, at ring 0. QEMU 9.1 and later may intercept that (see `trap`).
    unsafe { emulated!("mov {cr2}, cr2", cr2 = out(reg) cr2) };
    cr2.into()
}

/// The time stamp counter.
pub fn read_tsc() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: every CPU that Xen runs on has RDTSC, and Xen lets (or makes) it succeed for guests.
    unsafe { emulated!("rdtsc", out("eax") low, out("edx") high) };
    u64::from(high) << 32 | u64::from(low)
}

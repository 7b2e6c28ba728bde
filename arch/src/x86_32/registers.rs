//! Copies of registers.

use core::arch::asm;

use super::hvm::accessed;
use super::hvm::paging::top_entry;

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
    // SAFETY: copies a register, at ring 0. QEMU 9.1 and later may intercept that (see `trap`); for the
    // other instruction see `accessed`.
    unsafe {
        asm!(
            "and dword ptr [{entry}], {clear}",
            "mov {cr2}, cr2",
            entry = in(reg) top_entry(0) as u32,
            clear = const accessed::CLEAR,
            cr2 = out(reg) cr2,
            options(nostack),
        );
    }
    cr2.into()
}

/// The time stamp counter.
pub fn read_tsc() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: every CPU that Xen runs on has RDTSC, and Xen lets (or makes) it succeed for guests.
    // For the other instruction see `accessed`.
    unsafe {
        asm!(
            "and dword ptr [{entry}], {clear}",
            "rdtsc",
            entry = in(reg) top_entry(0) as u32,
            clear = const accessed::CLEAR,
            out("eax") low,
            out("edx") high,
            options(nostack),
        );
    }
    u64::from(high) << 32 | u64::from(low)
}

//! Instructions that are the same at every width.

use core::arch::asm;
#[cfg(target_arch = "x86")]
use core::arch::x86 as intrinsics;
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64 as intrinsics;

pub use intrinsics::__cpuid as cpuid;

/// Writes a model specific register. PVH and HVM only.
///
/// # Safety
/// What that does to memory, or to the code that runs, is the caller's affair.
pub unsafe fn write_msr(msr: u32, value: u64) {
    let (low, high) = (value as u32, (value >> 32) as u32);
    // SAFETY: the caller's promise.
    unsafe { asm!("wrmsr", in("ecx") msr, in("eax") low, in("edx") high, options(nostack)) };
}

/// Reads a byte from an I/O port.
///
/// # Safety
/// The device there does nothing to this guest's memory, or the caller knows what.
pub unsafe fn read_port(port: u16) -> u8 {
    let value;
    // SAFETY: the caller's promise.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nostack)) };
    value
}

/// Writes a byte to an I/O port.
///
/// # Safety
/// As for [`read_port`].
pub unsafe fn write_port(port: u16, value: u8) {
    // SAFETY: the caller's promise.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nostack)) };
}

/// Writes two bytes to an I/O port.
///
/// # Safety
/// As for [`read_port`].
pub unsafe fn write_port_word(port: u16, value: u16) {
    // SAFETY: the caller's promise.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nostack)) };
}

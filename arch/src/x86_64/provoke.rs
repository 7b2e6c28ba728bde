//! Faults on purpose, most of them caught by the exception table: what the self-test is made of.

use core::arch::asm;

use super::guarded::{guarded, read_byte};
use crate::boot::boot;
use crate::layout;
use crate::page::{NON_CANONICAL, PAGE_SIZE};
use crate::trap::Fault;

/// UD2.
pub fn invalid_opcode() -> Result<(), Fault> {
    // SAFETY: faults or does nothing.
    unsafe { guarded!("2: ud2", "3:";) }
}

/// INT3: a trap, so the saved address is that of the next instruction.
pub fn breakpoint() -> Result<(), Fault> {
    // SAFETY: traps and goes on where it would have gone on anyway.
    unsafe { guarded!("int3", "2:", "3:";) }
}

/// A division by zero.
pub fn divide_error() -> Result<(), Fault> {
    // SAFETY: faults before a register is written.
    unsafe { guarded!("xor ecx, ecx", "2: div ecx", "3:"; out("rcx") _) }
}

/// A read from a non-canonical address: #GP without a page fault.
pub fn general_protection() -> Result<(), Fault> {
    read_byte(NON_CANONICAL).map(drop)
}

/// A double fault: the stack pointer is in the middle of the guard page.
///
/// Neither the push nor the frame of its page fault fits there, so the CPU escalates to #DF, which
/// has a stack of its own. PVH and HVM only: Xen kills a PV guest whose stack is bad.
pub fn double_fault() -> Result<(), Fault> {
    assert!(boot().environment.is_hvm(), "a PV guest is never given #DF");
    // SAFETY: the stack pointer is restored at 3, whether or not the push faulted, and
    // nothing in between touches the stack.
    unsafe {
        guarded!(
            "mov rcx, rsp", "mov rsp, rsi", "2: push rsi", "3: mov rsp, rcx";
            in("rsi") layout::stack_guard() + PAGE_SIZE / 2, out("rcx") _
        )
    }
}

/// A read from the unmapped page 0 that no exception table entry expects: ends the run.
pub fn unexpected() {
    // SAFETY: the read faults, and nothing ever continues behind it.
    unsafe { asm!("mov al, [{}]", in(reg) 0u64, out("al") _) };
}

/// Faults with an interrupt descriptor table that is empty: the CPU shuts down.
/// Does not return. PVH and HVM; a PV guest gets the same end from having no handler.
pub fn triple_fault() -> ! {
    boot().platform.forget_traps();
    let _ = invalid_opcode();
    unreachable!("a fault without a handler was survived");
}

//! Faults on purpose, most of them caught by the exception table: what the self-test is made of.

use core::arch::asm;

use super::guarded::guarded;
use super::hvm::descriptors;
use crate::boot::boot;
use crate::layout;
use crate::page::PAGE_SIZE;
use crate::trap::Fault;

const DIVIDE_ERROR: usize = 0;

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
    unsafe { guarded!("xor ecx, ecx", "2: div ecx", "3:"; out("ecx") _) }
}

/// A selector beyond every descriptor table: there is no other address that a 32-bit guest cannot
/// name.
pub fn general_protection() -> Result<(), Fault> {
    // SAFETY: faults before the register, which nobody uses, is written.
    unsafe { guarded!("mov ecx, 0xfff8", "2: mov fs, cx", "3:"; out("ecx") _) }
}

/// A double fault. PVH and HVM only: Xen kills a PV guest whose stack is bad.
pub fn double_fault() -> Result<(), Fault> {
    assert!(boot().environment.is_hvm(), "a PV guest is never given #DF");
    if boot().environment.has_paging() {
        return bad_stack();
    }
    // Without paging no stack is bad. But there may be no way to a handler: #DE and the #NP that
    // comes of it are a double fault, too.
    descriptors::without_gate(DIVIDE_ERROR, divide_error)
}

/// The stack pointer is in the middle of the guard page. Neither the push nor the frame of its page
/// fault fits there, so the CPU escalates to #DF, which is a task of its own.
fn bad_stack() -> Result<(), Fault> {
    // SAFETY: the stack pointer is restored at 3, whether or not the push faulted, and
    // nothing in between touches the stack.
    unsafe {
        guarded!(
            "mov ecx, esp", "mov esp, edi", "2: push edi", "3: mov esp, ecx";
            in("edi") (layout::stack_guard() + PAGE_SIZE / 2) as u32, out("ecx") _
        )
    }
}

/// An instruction that faults everywhere, which no exception table entry expects: ends the run.
pub fn unexpected() {
    // SAFETY: a fault, and nothing ever continues behind it.
    unsafe { asm!("mov al, [{}]", "ud2", in(reg) 0u32, out("al") _) };
}

/// Faults with an interrupt descriptor table that is empty: the CPU shuts down.
/// Does not return. PVH and HVM; a PV guest gets the same end from having no handler.
pub fn triple_fault() -> ! {
    boot().platform.forget_traps();
    let _ = invalid_opcode();
    unreachable!("a fault without a handler was survived");
}

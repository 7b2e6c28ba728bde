//! The task that a double fault switches to, and its stacks.
//!
//! The CPU saves the registers of the task that it leaves in that one's TSS, whatever its stack is
//! like. They become a trap frame here, and go back from it when the exception table knows the fault.

use core::arch::global_asm;

use super::super::frame::{TrapFrame, WORDS};
use super::task::Tss;
use crate::page::{PAGE_SIZE, Page};
use crate::stacks::MAX_CPUS;
use crate::trap::dispatch;

const DOUBLE_FAULT: u32 = 8;

const STACK_PAGES: usize = 4;
static STACKS: [[Page; STACK_PAGES]; MAX_CPUS] =
    [const { [const { Page::zeroed() }; STACK_PAGES] }; MAX_CPUS];

/// The end of a CPU's stack for double faults.
pub fn stack_top(cpu: usize) -> u32 {
    (STACKS[cpu][0].address() + STACK_PAGES as u64 * PAGE_SIZE) as u32
}

// The CPU has pushed an error code, which is always 0. ebx, from this task's TSS, is the address of
// that of the task in which the CPU runs otherwise. IRET goes back to the task that faulted, and the
// next double fault begins behind it.
global_asm!(
    ".pushsection .text",
    ".global double_fault_task",
    "double_fault_task:",
    "    cld",
    "    sub esp, 8",
    "    push ebx",
    "    call {handle}",
    "    add esp, 16",
    "    iretd",
    "    jmp double_fault_task",
    ".popsection",
    handle = sym handle,
);

unsafe extern "C" {
    static double_fault_task: u8;
}

/// Where the task begins.
pub fn entry() -> u32 {
    (&raw const double_fault_task) as u32
}

extern "C" fn handle(task: *mut Tss) {
    // SAFETY: the CPU has written it, and does not look at it before the IRET.
    let mut tss = unsafe { task.read_volatile() };
    let mut frame = TrapFrame {
        edi: tss.edi,
        esi: tss.esi,
        ebp: tss.ebp,
        esp: tss.esp.wrapping_sub(WORDS),
        ebx: tss.ebx,
        edx: tss.edx,
        ecx: tss.ecx,
        eax: tss.eax,
        vector: DOUBLE_FAULT,
        error: 0,
        eip: tss.eip,
        cs: tss.cs,
        eflags: tss.eflags,
    };
    dispatch(&mut frame);
    (tss.eip, tss.eax, tss.edx) = (frame.eip, frame.eax, frame.edx);
    // SAFETY: as above.
    unsafe { task.write_volatile(tss) };
}

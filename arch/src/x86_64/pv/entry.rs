//! The first instructions of a 64-bit PV guest.

use core::arch::global_asm;

use crate::pv::entry::pv_start;

global_asm!(
    ".pushsection .text",
    ".global pv_entry",
    "pv_entry:",
    "    cld",
    "    mov rdi, rsi",
    "    lea rsp, [rip + boot_stack_top]",
    "    xor ebp, ebp",
    "    call {start}",
    "    ud2",
    ".popsection",
    start = sym pv_start,
);

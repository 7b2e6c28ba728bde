//! The first instructions of a 32-bit PV guest.

use core::arch::global_asm;

use crate::pv::entry::pv_start;

global_asm!(
    ".pushsection .text",
    ".global pv_entry",
    "pv_entry:",
    "    cld",
    "    lea esp, [boot_stack_top]",
    "    xor ebp, ebp",
    // A function expects its arguments on an aligned stack.
    "    sub esp, 12",
    "    push esi",
    "    call {start}",
    "    ud2",
    ".popsection",
    start = sym pv_start,
);

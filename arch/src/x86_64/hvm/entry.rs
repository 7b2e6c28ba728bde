//! From the 32-bit entry point to `xtf_main`.

use core::arch::global_asm;
use core::ptr;

use protocol::metadata::Environment;

use super::vcpu::{CR0, CR4};
use super::{descriptors, devices, memory};
use crate::boot::{Boot, LoaderLine};
use crate::hvm::platform::Hvm;
use crate::hvm::start_info::{SIF_PRIVILEGED, StartInfo};
use crate::hvm::{ram, xen};
use crate::layout;
use crate::page::Protection;
use crate::start::start;

// Xen enters with paging off, flat segments and ebx = start_info; everything else is undefined. The
// control registers are written, never read: what a read of them gives is not certain everywhere
// (see `trap`).
global_asm!(
    ".pushsection .text",
    ".code32",
    ".global pvh_entry",
    "pvh_entry:",
    "    cld",
    "    mov eax, offset boot_pml4",
    "    mov cr3, eax",
    "    mov eax, {cr4}",
    "    mov cr4, eax",
    "    mov ecx, 0xc0000080", // EFER
    "    rdmsr",
    "    or eax, 1 << 8", // LME
    "    wrmsr",
    "    mov eax, {cr0}",
    "    mov cr0, eax",
    "    lgdt [pvh_gdt_pointer]",
    "    .byte 0xea", // far jump, which LLVM cannot spell in this syntax
    "    .long pvh_entry64",
    "    .word 8",
    ".code64",
    "pvh_entry64:",
    "    lea rsp, [rip + boot_stack_top]",
    "    xor ebp, ebp",
    "    mov edi, ebx",
    "    call {start}",
    "    ud2",
    ".popsection",
    // Only to get into 64-bit mode; `descriptors` has the real one.
    ".pushsection .rodata, \"a\", @progbits",
    ".balign 8",
    "pvh_gdt: .quad 0, 0x00af9b000000ffff",
    "pvh_gdt_pointer: .word 15",
    "    .long pvh_gdt",
    ".popsection",
    cr0 = const CR0,
    cr4 = const CR4,
    start = sym pvh_start,
);

/// First Rust code of a PVH or HVM guest.
extern "C" fn pvh_start(info: &'static StartInfo) -> ! {
    descriptors::install(0);
    xen::install_hypercall_page();
    xen::map_shared_info();
    let privileged = info.flags & SIF_PRIVILEGED != 0;
    if !privileged {
        xen::attach_console();
    }
    // What a toolstack or a firmware passes to a domain is nothing that a test has asked for.
    let module = info.module().filter(|_| privileged);
    let heap = ram::find_heap(info, module);
    let cmdline = ptr::with_exposed_provenance(info.cmdline as usize);
    // SAFETY: null or a NUL-terminated string that Xen wrote below 4 GiB. It is copied before
    // the heap, which may overlap it, comes to life.
    let cmdline = unsafe { LoaderLine::copy(cmdline) };
    for page in [0, layout::stack_guard()] {
        memory::protect(page, Protection::None).expect("the image lies below 4 GiB");
    }
    let environment = if !privileged && devices::has_interrupt_controller() {
        Environment::Hvm64
    } else {
        Environment::Pvh64
    };
    start(Boot { environment, privileged, heap, module, platform: &Hvm, cmdline })
}

//! From the domain builder's jump to `xtf_main`.

use core::arch::global_asm;

use protocol::metadata::Environment;

use super::{memory, traps};
use crate::boot::{Boot, LoaderLine};
use crate::page::Protection;
use crate::pv::platform::Pv;
use crate::pv::start_info::{SIF_PRIVILEGED, StartInfo};
use crate::start::start;
use crate::{console, layout, shared_info};

// The builder's notes (xen/include/public/elfnote.h). VIRT_BASE 0 makes virtual addresses
// equal to pseudo-physical ones, which is what the PVH page tables do as well.
global_asm!(
    ".macro XEN_NOTE type, bytes:vararg",
    ".pushsection .note.Xen, \"a\", @note",
    ".balign 4",
    ".long 4, 2f - 1f, \\type",
    ".asciz \"Xen\"",
    "1: \\bytes",
    "2: .balign 4",
    ".popsection",
    ".endm",
    "XEN_NOTE 6, .asciz \"xtf-rs\"",          // GUEST_OS
    "XEN_NOTE 5, .asciz \"xen-3.0\"",         // XEN_VERSION
    "XEN_NOTE 8, .asciz \"generic\"",         // LOADER
    "XEN_NOTE 1, .quad pv_entry",             // ENTRY
    "XEN_NOTE 2, .quad hypercall_page",       // HYPERCALL_PAGE
    "XEN_NOTE 3, .quad 0",                    // VIRT_BASE
    "XEN_NOTE 18, .long pvh_entry",           // PHYS32_ENTRY
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

/// First Rust code of a PV guest.
extern "C" fn pv_start(info: &'static StartInfo) -> ! {
    traps::install();
    memory::map_machine_page(shared_info::window(), info.shared_info.get());
    shared_info::set_mapped();

    let privileged = info.flags & SIF_PRIVILEGED != 0;
    if !privileged {
        // The builder has mapped the ring along with everything else it allocated.
        console::attach_ring(memory::address_of_frame(info.console_mfn.get()), info.console_evtchn);
    }
    let heap = memory::init(info);
    for page in [0, layout::stack_guard()] {
        memory::protect(page, Protection::None).expect("bootstrap pages can be unmapped");
    }
    // Page tables, behind which the heap begins, come after it.
    let module = info.module();
    start(Boot {
        environment: Environment::Pv64,
        privileged,
        heap,
        module,
        platform: &Pv,
        // SAFETY: the field is an array of CMDLINE_MAX bytes.
        cmdline: unsafe { LoaderLine::copy(info.cmd_line.as_ptr()) },
    })
}

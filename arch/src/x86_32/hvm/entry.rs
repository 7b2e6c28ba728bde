//! From the entry point to `xtf_main`, in the paging mode that the command line names.

use core::arch::global_asm;
use core::ptr;

use protocol::cmdline::ENV;
use protocol::metadata::Environment;

use super::paging::{self, Paging};
use super::{accessed, descriptors, memory};
use crate::boot::{Boot, LoaderLine};
use crate::hvm::platform::Hvm;
use crate::hvm::start_info::{SIF_PRIVILEGED, StartInfo};
use crate::hvm::{ram, xen};
use crate::layout;
use crate::page::Protection;
use crate::start::start;

// Xen enters with paging off, flat segments and ebx = start_info; everything else is undefined.
global_asm!(
    ".pushsection .text",
    ".global pvh_entry",
    "pvh_entry:",
    "    cld",
    "    lea esp, [boot_stack_top]",
    "    xor ebp, ebp",
    "    mov eax, {cr4}",
    "    mov cr4, eax",
    "    mov eax, {cr0}",
    "    mov cr0, eax",
    "    sub esp, 12",
    "    push ebx",
    "    call {start}",
    "    ud2",
    ".popsection",
    cr0 = const Paging::None.cr0(),
    cr4 = const Paging::None.cr4(),
    start = sym pvh_start,
);

/// First Rust code of a PVH or HVM guest.
extern "C" fn pvh_start(info: &'static StartInfo) -> ! {
    descriptors::install(0);
    let cmdline = ptr::with_exposed_provenance(info.cmdline as usize);
    // SAFETY: null or a NUL-terminated string that Xen wrote below 4 GiB. It is copied before
    // the heap, which may overlap it, comes to life.
    let cmdline = unsafe { LoaderLine::copy(cmdline) };
    let environment = environment(&cmdline);
    // With CPUID and WRMSR, which Xen emulates: see `accessed`.
    xen::install_hypercall_page();
    paging::enable(Paging::of(environment));
    descriptors::set_root(0, paging::mode().root());
    if paging::mode() == Paging::Pae {
        accessed::keep_from_hypercalls();
    }
    xen::map_shared_info();
    let privileged = info.flags & SIF_PRIVILEGED != 0;
    if !privileged {
        xen::attach_console();
    }
    // What a toolstack or a firmware passes to a domain is nothing that a test has asked for.
    let module = info.module().filter(|_| privileged);
    let heap = ram::find_heap(info, module);
    for page in [0, layout::stack_guard()] {
        memory::protect(page, Protection::None).expect("the image lies below 4 GiB");
    }
    start(Boot { environment, privileged, heap, module, platform: &Hvm, cmdline })
}

/// What the last word about it in the stamp or the loader's line asks for.
fn environment(line: &LoaderLine) -> Environment {
    // SAFETY: the link script names the first byte of as many as a stamp has.
    let stamp = unsafe { LoaderLine::copy(&raw const cmdline_start) };
    let words = [&stamp, line].into_iter().flat_map(|line| line.text().split_ascii_whitespace());
    let name = words.filter_map(|word| word.split_once('=')).rfind(|(key, _)| *key == ENV);
    let modes = [Environment::Hvm32, Environment::Hvm32pse, Environment::Hvm32pae];
    modes.into_iter().find(|mode| name == Some((ENV, mode.name()))).unwrap_or(modes[0])
}

unsafe extern "C" {
    /// Where the command line is that was written into the image after it was linked, if it was.
    static cmdline_start: u8;
}

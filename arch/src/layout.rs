//! The symbols of `linker.ld` and the boot stack.

use core::arch::global_asm;

use protocol::image::BASE;

use crate::page::{PAGE_SIZE, Region};

/// Size of the boot stack in bytes; the page below it is unmapped once paging is set up.
const STACK_SIZE: usize = 64 * 1024;

// Zeroed by the loader like all of .bss. The guard page comes first: stacks grow down onto it.
global_asm!(
    ".pushsection .bss, \"aw\", @nobits",
    ".balign 4096",
    ".global boot_stack_guard",
    "boot_stack_guard:",
    ".skip 4096",
    ".skip {size}",
    ".global boot_stack_top",
    "boot_stack_top:",
    ".popsection",
    size = const STACK_SIZE,
);

// For linker.ld, which holds the number once more and compares.
global_asm!(".global image_base", ".set image_base, {base}", base = const BASE);

unsafe extern "C" {
    static image_start: u8;
    static text_end: u8;
    static image_end: u8;
    static boot_stack_guard: u8;
}

/// The address of the page below the boot stack.
pub fn stack_guard() -> u64 {
    (&raw const boot_stack_guard) as u64
}

/// First address after the image, page-aligned.
pub fn end_of_image() -> u64 {
    (&raw const image_end) as u64
}

/// The image's code, where return addresses may point.
pub fn text() -> Region {
    let start = (&raw const image_start) as u64;
    Region { start, len: (&raw const text_end) as u64 - start }
}

const _: () = assert!(STACK_SIZE.is_multiple_of(PAGE_SIZE as usize));

//! The ELF notes by which Xen's domain builders know the image (xen/include/public/elfnote.h).
//!
//! VIRT_BASE 0 makes a PV guest's virtual addresses equal to pseudo-physical ones, which is what the
//! page tables of a PVH guest do as well. An address takes 32 bits of a note, whatever the width of
//! the guest: the image lies at 1 MiB.

/// A note: its type, and the directive for its value.
macro_rules! note {
    ($kind:literal, $value:literal) => {
        core::arch::global_asm!(
            ".pushsection .note.Xen, \"a\", @note",
            ".balign 4",
            concat!(".long 4, 3f - 2f, ", $kind),
            ".asciz \"Xen\"",
            concat!("2: ", $value),
            "3: .balign 4",
            ".popsection",
        );
    };
}

note!("6", ".asciz \"xtf-rs\""); // GUEST_OS
note!("5", ".asciz \"xen-3.0\""); // XEN_VERSION
note!("8", ".asciz \"generic\""); // LOADER
note!("1", ".long pv_entry"); // ENTRY
note!("2", ".long hypercall_page"); // HYPERCALL_PAGE
note!("3", ".long 0"); // VIRT_BASE
note!("18", ".long pvh_entry"); // PHYS32_ENTRY

// Three levels, with page tables below 4 GiB, where CR3 has its usual form.
#[cfg(target_arch = "x86")]
note!("9", ".asciz \"yes\""); // PAE_MODE

// For linker.ld, which asks for it: nothing else refers to the notes.
core::arch::global_asm!(
    ".pushsection .note.Xen, \"a\", @note",
    ".global xen_notes",
    "xen_notes:",
    ".popsection",
);

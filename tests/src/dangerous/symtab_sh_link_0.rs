//! # danger-symtab-sh-link-0
//!
//! A symbol table whose names are in section 0, which has no header in Xen's own table
//! (`elf_verify_strtab`).
//!
//! All three die, with a PV and with a PVH control domain: a fatal page fault at UPLOAD.

use kernel::{Case, Context, Outcome, Test};

use super::{DANGEROUS, base, survives_upload};

/// The test.
pub const TEST: Test = Test {
    name: "danger-symtab-sh-link-0",
    title: "A payload whose symbols have their names in section 0",
    kills: &["4.14", "4.17", "4.20"],
    cases: &[Case::new("xen_survives", xen_survives)],
    ..DANGEROUS
};

fn xen_survives(c: &Context) -> Outcome {
    let mut elf = base(c)?.elf();
    elf.section_mut(".symtab").shdr.sh_link = 0;
    survives_upload(c, &elf)
}

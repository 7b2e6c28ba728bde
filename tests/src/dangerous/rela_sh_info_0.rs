//! # danger-rela-sh-info-0
//!
//! Relocations for section 0, which has no header in Xen's own table
//! (`livepatch_elf_perform_relocs`).
//!
//! All three die, with a PV and with a PVH control domain: a fatal page fault at UPLOAD.

use kernel::{Case, Context, Outcome, Test};

use super::{DANGEROUS, base, survives_upload};

/// The test.
pub const TEST: Test = Test {
    name: "danger-rela-sh-info-0",
    title: "A payload with relocations for section 0",
    kills: &["4.14", "4.17", "4.20"],
    cases: &[Case::new("xen_survives", xen_survives)],
    ..DANGEROUS
};

fn xen_survives(c: &Context) -> Outcome {
    let mut elf = base(c)?.elf();
    elf.section_mut(".rela.livepatch.funcs").shdr.sh_info = 0;
    survives_upload(c, &elf)
}

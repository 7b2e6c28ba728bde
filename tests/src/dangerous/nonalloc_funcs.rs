//! # danger-nonalloc-funcs
//!
//! A payload whose `.livepatch.funcs` is not loaded: Xen reads its elements (`prepare_payload`).
//!
//! 4.14.6 and 4.17.7 die of a page fault at UPLOAD, with a PV and with a PVH control domain.
//! 4.20.4 reads the file instead and answers EINVAL, as the element here is wrong.

use kernel::{Case, Context, Outcome, Test};
use livepatch::payload::wire::SHF_ALLOC;

use super::{DANGEROUS, base, survives_upload};

/// The test.
pub const TEST: Test = Test {
    name: "danger-nonalloc-funcs",
    title: "A payload whose functions are not loaded",
    kills: &["4.14", "4.17"],
    cases: &[Case::new("xen_survives", xen_survives)],
    ..DANGEROUS
};

fn xen_survives(c: &Context) -> Outcome {
    let mut elf = base(c)?.elf();
    // Nothing relocates the element now: a Xen that reads it in the file must not look for the
    // name, which `danger-name-null` does.
    elf.funcs_mut()[0].old_size = 0;
    elf.section_mut(".livepatch.funcs").shdr.sh_flags &= !SHF_ALLOC;
    survives_upload(c, &elf)
}

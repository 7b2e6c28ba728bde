//! # danger-nonalloc-xen-depends
//!
//! A payload whose `.livepatch.xen_depends` is not loaded: Xen reads the note (`prepare_payload`,
//! since 4.20 and 4.19.1, 4.18.4 `check_xen_buildid`).
//!
//! 4.14.6 and 4.17.7 die of a page fault at UPLOAD, with a PV and with a PVH control domain.
//! 4.20.4 accepts the payload.

use kernel::{Case, Context, Outcome, Test};
use livepatch::payload::wire::SHF_ALLOC;

use super::{DANGEROUS, base, survives_upload};

/// The test.
pub const TEST: Test = Test {
    name: "danger-nonalloc-xen-depends",
    title: "A payload whose note about Xen is not loaded",
    kills: &["4.14", "4.17"],
    cases: &[Case::new("xen_survives", xen_survives)],
    ..DANGEROUS
};

fn xen_survives(c: &Context) -> Outcome {
    let mut elf = base(c)?.elf();
    elf.section_mut(".livepatch.xen_depends").shdr.sh_flags &= !SHF_ALLOC;
    survives_upload(c, &elf)
}

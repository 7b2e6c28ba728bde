//! # danger-nothing-loaded
//!
//! A payload none of whose sections is loaded: Xen allocates no page for it (`move_payload`).
//!
//! All three die, with a PV and with a PVH control domain: a fatal page fault at UPLOAD.

use kernel::{Case, Context, Outcome, Test};
use livepatch::payload::wire::SHF_ALLOC;

use super::{DANGEROUS, base, survives_upload};

/// The test.
pub const TEST: Test = Test {
    name: "danger-nothing-loaded",
    title: "A payload without a section that is loaded",
    kills: &["4.14", "4.17", "4.20"],
    cases: &[Case::new("xen_survives", xen_survives)],
    ..DANGEROUS
};

fn xen_survives(c: &Context) -> Outcome {
    let mut elf = base(c)?.elf();
    for section in &mut elf.sections {
        section.shdr.sh_flags &= !SHF_ALLOC;
    }
    survives_upload(c, &elf)
}

//! # danger-nonalloc-note
//!
//! A payload whose `.note.gnu.build-id` is not loaded: Xen reads the note (`prepare_payload`).
//!
//! 4.14.6 and 4.17.7 die of a page fault at UPLOAD, with a PV and with a PVH control domain.
//! 4.20.4 reads the file instead and accepts the payload; the id that it keeps lies in memory
//! that it has given back by then.

use kernel::{Case, Context, Outcome, Test};
use livepatch::payload::wire::SHF_ALLOC;

use super::{DANGEROUS, base, survives_upload};

/// The test.
pub const TEST: Test = Test {
    name: "danger-nonalloc-note",
    title: "A payload whose build-id is not loaded",
    kills: &["4.14", "4.17"],
    cases: &[Case::new("xen_survives", xen_survives)],
    ..DANGEROUS
};

fn xen_survives(c: &Context) -> Outcome {
    let mut elf = base(c)?.elf();
    elf.section_mut(".note.gnu.build-id").shdr.sh_flags &= !SHF_ALLOC;
    survives_upload(c, &elf)
}

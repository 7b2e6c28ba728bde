//! # danger-alternative-too-long
//!
//! An alternative for code that is shorter than it: an error since 4.20 (4.19.1, 4.18.4), a BUG()
//! before (`apply_alternatives`, xen/arch/x86/alternative.c).
//!
//! 4.14.6 and 4.17.7 die of the BUG() at UPLOAD, with a PV and with a PVH control domain. 4.20.4
//! answers ENOSPC.

use kernel::{Case, Context, Outcome, Test};
use livepatch::payload::wire::R_X86_64_PC32;
use livepatch::payload::{Area, Chunk};

use super::{DANGEROUS, base, survives_upload};

/// The test.
pub const TEST: Test = Test {
    name: "danger-alternative-too-long",
    title: "A payload with an alternative that does not fit",
    kills: &["4.14", "4.17"],
    cases: &[Case::new("xen_survives", xen_survives)],
    ..DANGEROUS
};

fn xen_survives(c: &Context) -> Outcome {
    // Distances to the original and to its replacement, a feature, their lengths 1 and 2, no
    // padding, and Xen's own mark.
    let alternative = Chunk::new([0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 1, 2, 0, 0])
        .reloc(0, R_X86_64_PC32, "original", 0)
        .reloc(4, R_X86_64_PC32, "replacement", 0);
    let payload = base(c)?
        .text("original", [0x90; 2])
        .section(Area::loaded(".altinstr_replacement", 0, 1), "replacement", [0x90; 2])
        .section(Area::loaded(".altinstructions", 0, 1), "alternative", alternative);
    survives_upload(c, &payload.elf())
}

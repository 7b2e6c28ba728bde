//! # danger-empty-modinfo
//!
//! Metadata of no bytes: Xen looks for the NUL in the last one, which lies 4 GiB behind
//! (`prepare_payload`, 4.14+).
//!
//! All three die, with a PV and with a PVH control domain: a fatal page fault at UPLOAD.

use kernel::{Case, Context, Outcome, Test};
use livepatch::payload::wire::{SHF_ALLOC, SHT_PROGBITS};
use livepatch::payload::{Data, Section};

use super::{DANGEROUS, base, survives_upload};

/// The test.
pub const TEST: Test = Test {
    name: "danger-empty-modinfo",
    title: "A payload with empty metadata",
    kills: &["4.14", "4.17", "4.20"],
    cases: &[Case::new("xen_survives", xen_survives)],
    ..DANGEROUS
};

fn xen_survives(c: &Context) -> Outcome {
    let mut elf = base(c)?.elf();
    elf.push(Section::new(".modinfo", SHT_PROGBITS, SHF_ALLOC, 1, Data::NoBits(0)));
    survives_upload(c, &elf)
}

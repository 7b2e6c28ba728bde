//! # danger-old-addr-unmapped
//!
//! A function to replace at an address where nothing is mapped. Xen looks for an ENDBR64 there
//! before it compares the distance (`arch_livepatch_verify_func`, 4.14.5+).
//!
//! All three die, with a PV and with a PVH control domain: a fatal page fault at UPLOAD.

use kernel::{Case, Context, Outcome, Test};
use livepatch::payload::{Function, Payload, code};

use super::{DANGEROUS, survives_upload};
use crate::support;

/// The test.
pub const TEST: Test = Test {
    name: "danger-old-addr-unmapped",
    title: "A payload that replaces a function where nothing is mapped",
    kills: &["4.14", "4.17", "4.20"],
    cases: &[Case::new("xen_survives", xen_survives)],
    ..DANGEROUS
};

fn xen_survives(c: &Context) -> Outcome {
    // Page 0 is never Xen's.
    let function = Function::at(0x10, code::return_u32(0));
    survives_upload(c, &Payload::new(&support::target(c)?, "danger").function(function).elf())
}

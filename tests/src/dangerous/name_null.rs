//! # danger-name-null
//!
//! A function to replace that has neither an address nor a name: Xen compares the string at
//! address 0 with its symbols (`resolve_old_address`).
//!
//! All three die, with a PV and with a PVH control domain: a fatal page fault at UPLOAD.

use kernel::{Case, Context, Outcome, Test};
use livepatch::payload::{Function, Old, Payload, code};

use super::{DANGEROUS, survives_upload};
use crate::support;

/// The test.
pub const TEST: Test = Test {
    name: "danger-name-null",
    title: "A payload that replaces a function with neither address nor name",
    kills: &["4.14", "4.17", "4.20"],
    cases: &[Case::new("xen_survives", xen_survives)],
    ..DANGEROUS
};

fn xen_survives(c: &Context) -> Outcome {
    let function = Function { old: Old::ByName, ..Function::at(0, code::return_u32(0)) };
    survives_upload(c, &Payload::new(&support::target(c)?, "danger").function(function).elf())
}

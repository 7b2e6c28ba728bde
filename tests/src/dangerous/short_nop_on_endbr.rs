//! # danger-short-nop-on-endbr
//!
//! NOPs over less than the ENDBR64 that a function begins with, and that they have to leave alone:
//! the number of bytes to write wraps (`livepatch_insn_len`, 4.14.5+, 4.15.3+, 4.16.1+, 4.17+).
//! The function is the payload's own.
//!
//! All three die, with a PV and with a PVH control domain: a fatal page fault at APPLY.

use kernel::{Case, Context, Outcome, Test};
use livepatch::payload::{Function, Old, Payload, Replacement, code};

use super::{DANGEROUS, survives_apply};
use crate::support;

/// The test.
pub const TEST: Test = Test {
    name: "danger-short-nop-on-endbr",
    title: "A payload with a NOP shorter than the ENDBR64 in its way",
    kills: &["4.14", "4.17", "4.20"],
    cases: &[Case::new("xen_survives", xen_survives)],
    ..DANGEROUS
};

fn xen_survives(c: &Context) -> Outcome {
    let function =
        Function { old: Old::Symbol("function".into()), ..Function::at(0, Replacement::Nop(3)) };
    let payload = Payload::new(&support::target(c)?, "danger")
        .text("function", code::endbr64().then(code::ret()))
        .function(function);
    survives_apply(c, &payload.elf())
}

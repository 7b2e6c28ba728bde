//! # danger-idle-hook-of-replaced
//!
//! A revert hook that restores nothing, of a payload that another one replaces: REPLACE looks after
//! each payload that it reverts as REVERT does (`was_action_consistent`, xen/common/livepatch.c).
//!
//! All three die, with a PV and with a PVH control domain: a panic at REPLACE.
#![forbid(unsafe_code)]

use kernel::{Answer, Case, Context, Outcome, Test};
use livepatch::abi::ActionCmd;
use livepatch::payload::{Hook, code};

use super::{DANGEROUS, NAME, base, step};
use crate::support;

/// The test.
pub const TEST: Test = Test {
    name: "danger-idle-hook-of-replaced",
    title: "A payload with a revert hook that does nothing is replaced",
    kills: &["4.14", "4.17", "4.20"],
    cases: &[Case::new("xen_survives", xen_survives)],
    ..DANGEROUS
};

fn xen_survives(c: &Context) -> Outcome {
    let idle = base(c)?.hook(Hook::Revert, code::return_u32(0)).elf();
    let idle = c.livepatch().load(NAME, &idle.to_bytes())?;
    idle.action(ActionCmd::Apply).must_be(Answer::SUCCESS)?;
    let next = support::marker(c, "-next")?.to_bytes();
    let next = c.livepatch().load(b"next\0", &next)?;
    step(c, "replace", || next.action(ActionCmd::Replace)).map(drop)
}

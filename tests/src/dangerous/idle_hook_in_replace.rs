//! # danger-idle-hook-in-replace
//!
//! An apply hook that patches nothing, of a payload that is to replace all others: REPLACE looks
//! afterwards as APPLY does (`was_action_consistent`, xen/common/livepatch.c). Found by
//! livepatch-fuzz.
//!
//! All three die, with a PV and with a PVH control domain: a panic at REPLACE.
#![forbid(unsafe_code)]

use kernel::{Case, Context, Outcome, Test};
use livepatch::abi::ActionCmd;
use livepatch::payload::{Hook, code};

use super::{DANGEROUS, NAME, base, step};

/// The test.
pub const TEST: Test = Test {
    name: "danger-idle-hook-in-replace",
    title: "A payload with an apply hook that does nothing replaces others",
    kills: &["4.14", "4.17", "4.20"],
    cases: &[Case::new("xen_survives", xen_survives)],
    ..DANGEROUS
};

fn xen_survives(c: &Context) -> Outcome {
    let idle = base(c)?.hook(Hook::Apply, code::return_u32(0)).elf();
    let loaded = c.livepatch().load(NAME, &idle.to_bytes())?;
    step(c, "replace", || loaded.action(ActionCmd::Replace)).map(drop)
}

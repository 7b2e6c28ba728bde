//! # danger-idle-action-hook
//!
//! An apply hook in place of the patching that agrees and patches nothing: Xen finds a function
//! that is neither as before nor as it should be, and gives up (`was_action_consistent`,
//! xen/common/livepatch.c). Found by livepatch-fuzz.
//!
//! All three die, with a PV and with a PVH control domain: a panic at APPLY.
#![forbid(unsafe_code)]

use kernel::{Case, Context, Outcome, Test};
use livepatch::payload::{Hook, code};

use super::{DANGEROUS, base, survives_apply};

/// The test.
pub const TEST: Test = Test {
    name: "danger-idle-action-hook",
    title: "A payload with an apply hook that does nothing",
    kills: &["4.14", "4.17", "4.20"],
    cases: &[Case::new("xen_survives", xen_survives)],
    ..DANGEROUS
};

fn xen_survives(c: &Context) -> Outcome {
    survives_apply(c, &base(c)?.hook(Hook::Apply, code::return_u32(0)).elf())
}

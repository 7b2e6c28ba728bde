//! # danger-idle-revert-hook
//!
//! A revert hook in place of the unpatching that agrees and restores nothing: Xen finds a function
//! that is still patched, and gives up (`was_action_consistent`, xen/common/livepatch.c). Found by
//! livepatch-fuzz.
//!
//! All three die, with a PV and with a PVH control domain: a panic at REVERT.
#![forbid(unsafe_code)]

use kernel::{Case, Context, Outcome, Test};
use livepatch::payload::{Hook, code};

use super::{DANGEROUS, base, survives_apply};

/// The test.
pub const TEST: Test = Test {
    name: "danger-idle-revert-hook",
    title: "A payload with a revert hook that does nothing",
    kills: &["4.14", "4.17", "4.20"],
    cases: &[Case::new("xen_survives", xen_survives)],
    ..DANGEROUS
};

fn xen_survives(c: &Context) -> Outcome {
    survives_apply(c, &base(c)?.hook(Hook::Revert, code::return_u32(0)).elf())
}

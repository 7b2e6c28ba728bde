//! # danger-null-load-hook
//!
//! A null pointer among the load hooks: unlike the single hooks, these are called without looking
//! (`apply_payload`).
//!
//! All three die, with a PV and with a PVH control domain: a fatal page fault at APPLY.

use kernel::{Case, Context, Outcome, Test};
use livepatch::payload::{Hook, HookBody};

use super::{DANGEROUS, base, survives_apply};

/// The test.
pub const TEST: Test = Test {
    name: "danger-null-load-hook",
    title: "A payload with a load hook that is a null pointer",
    kills: &["4.14", "4.17", "4.20"],
    cases: &[Case::new("xen_survives", xen_survives)],
    ..DANGEROUS
};

fn xen_survives(c: &Context) -> Outcome {
    survives_apply(c, &base(c)?.hook(Hook::Load, HookBody::Null).elf())
}

//! # danger-function-twice
//!
//! A payload that replaces the same function twice, applied, reverted and unloaded; then the
//! function is called. Functions are undone in the order in which they were done, and the second
//! one has saved what it found: the jump that the first one had put there. So this jump stays, and
//! leads into memory that is not the payload's any more (`revert_payload`,
//! xen/common/livepatch.c). Found by livepatch-fuzz.
//!
//! All three die, with a PV and with a PVH control domain: a double fault at the call.
#![forbid(unsafe_code)]

use kernel::{Answer, Case, Context, Outcome, Test, println};

use super::DANGEROUS;
use crate::program;

/// The test.
pub const TEST: Test = Test {
    name: "danger-function-twice",
    title: "One function twice in a payload",
    kills: &["4.14", "4.17", "4.20"],
    cases: &[Case::new("xen_survives", xen_survives)],
    ..DANGEROUS
};

fn xen_survives(context: &Context) -> Outcome {
    println!("  # step: apply, revert, unload, call");
    program::answers(
        context,
        &[
            ("upload \"twice\" id=1 func=extra func=extra", Answer::SUCCESS),
            ("action apply \"twice\"", Answer::SUCCESS),
            ("action revert \"twice\"", Answer::SUCCESS),
            ("action unload \"twice\"", Answer::SUCCESS),
            ("look", Answer::SUCCESS),
        ],
    )
}

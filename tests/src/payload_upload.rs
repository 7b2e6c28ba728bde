//! # payload-upload
//!
//! Which of the live patches that `xtf-runner payload try --upload-only` hands over Xen takes. Each is
//! uploaded alone, and unloaded at once if it is taken; none is applied (`livepatch_upload`,
//! xen/common/livepatch.c). Xen's answers are compared with those that the runner foretold.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use kernel::payloads::Step;
use kernel::{Case, Context, Outcome, Test};
use protocol::programs::{FORETOLD, PAYLOAD_UPLOAD};
use spin::Mutex;

use crate::payload_try;

/// The test.
pub const TEST: Test = Test {
    name: PAYLOAD_UPLOAD,
    title: "Given live patches, each uploaded alone",
    parameters: &[FORETOLD],
    cases: &[Case::new("upload", upload), Case::new("as_foretold", as_foretold)],
    ..payload_try::TEST
};

/// What Xen answered, for the second case.
static ANSWERS: Mutex<Vec<Step>> = Mutex::new(Vec::new());

fn upload(context: &Context) -> Outcome {
    let stack = context.payloads()?;
    let outcome = stack.upload_each_alone();
    *ANSWERS.lock() = stack.take_answers();
    outcome
}

fn as_foretold(context: &Context) -> Outcome {
    payload_try::compare(context, &ANSWERS.lock())
}

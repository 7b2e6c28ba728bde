//! # payload-try-smp
//!
//! The cases of `payload-try` with two CPUs. The second one is busy all the time: it calls Xen, and
//! computes in between. Xen must have it stop for each APPLY, REPLACE and REVERT
//! (`schedule_work` and `check_for_livepatch_work`, xen/common/livepatch.c). An action whose time was
//! up before it came (rc EBUSY) is tried again, as careful clients do.
#![forbid(unsafe_code)]

use kernel::{Case, Test};
use protocol::programs::PAYLOAD_TRY_SMP;

use crate::payload_try::{self, cases};

/// The test.
pub const TEST: Test = Test {
    name: PAYLOAD_TRY_SMP,
    title: "Given live patches, from their upload to the last trace of them, with two CPUs",
    vcpus: 2,
    timeout_s: 120,
    cases: &ON_TWO_CPUS,
    ..payload_try::TEST
};

const ON_TWO_CPUS: [Case; payload_try::TEST.cases.len()] = cases::<2>();

//! # bad-triple-fault
//!
//! Faults without a handler: the CPU shuts down (PVH, HVM), or Xen kills the domain (PV).
//! Expected verdict: CRASH.

use kernel::{Case, Test};

/// The test.
pub const TEST: Test = Test {
    name: "bad-triple-fault",
    title: "A guest that triple-faults",
    cases: &[Case::new("triple_faults", |_| kernel::trap::provoke::triple_fault())],
    ..super::BAD
};

//! # bad-trap
//!
//! Faults where nobody expects it. Expected verdict: ERROR, with registers and a backtrace.

use kernel::{Case, Test};

/// The test.
pub const TEST: Test = Test {
    name: "bad-trap",
    title: "A guest that faults",
    cases: &[Case::new("faults", |_| {
        kernel::trap::provoke::unexpected();
        Ok(())
    })],
    ..super::BAD
};

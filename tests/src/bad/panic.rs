//! # bad-panic
//!
//! Panics in a case. Expected verdict: ERROR, with the panic's place and a backtrace.

use kernel::{Case, Test};

/// The test.
pub const TEST: Test = Test {
    name: "bad-panic",
    title: "A guest that panics",
    cases: &[
        Case::new("fine", |_| Ok(())),
        Case::new("panics", |_| panic!("on purpose")),
        Case::new("never_reached", |_| Ok(())),
    ],
    ..super::BAD
};

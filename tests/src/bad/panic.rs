//! # bad-panic
//!
//! Panics in two of its cases. Expected verdict: ERROR for each of them, with the panic's place and
//! a backtrace; the cases behind succeed in further boots.

use kernel::{Case, Test};

/// The test.
pub const TEST: Test = Test {
    name: "bad-panic",
    title: "A guest that panics",
    cases: &[
        Case::new("fine", |_| Ok(())),
        Case::new("panics", |_| panic!("on purpose")),
        Case::new("fine_behind", |_| Ok(())),
        Case::new("panics_again", |_| panic!("on purpose, too")),
        Case::new("fine_at_last", |_| Ok(())),
    ],
    ..super::BAD
};

//! # bad-error
//!
//! A case cannot do its work. Expected verdict: ERROR.

use kernel::{Case, Stop, Test};

/// The test.
pub const TEST: Test = Test {
    name: "bad-error",
    title: "A guest whose test cannot do its work",
    cases: &[
        Case::new("fine", |_| Ok(())),
        Case::new("unable", |_| Err(Stop::error("this was to be expected"))),
    ],
    ..super::BAD
};

//! # bad-failure
//!
//! A claim does not hold. Expected verdict: FAILURE, naming both errnos.

use kernel::{Answer, Case, Errno, Test};

/// The test.
pub const TEST: Test = Test {
    name: "bad-failure",
    title: "A guest whose claim does not hold",
    cases: &[
        Case::new("fine", |_| Ok(())),
        Case::new("wrong", |_| Answer::from(Errno::ENOENT).must_be(Errno::EINVAL)),
    ],
    ..super::BAD
};

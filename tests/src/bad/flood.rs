//! # bad-flood
//!
//! Prints without end. Expected verdict: CRASH, by the runner's limit on output.

use kernel::{Case, Test, println};

/// The test.
pub const TEST: Test = Test {
    name: "bad-flood",
    title: "A guest that floods the console",
    cases: &[Case::new("prints_for_ever", |_| {
        loop {
            println!("{}", "flood ".repeat(80));
        }
    })],
    ..super::BAD
};

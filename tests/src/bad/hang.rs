//! # bad-hang
//!
//! Does nothing, for ever. Expected verdict: TIMEOUT.

use kernel::{Case, Test};

/// The test.
pub const TEST: Test = Test {
    name: "bad-hang",
    title: "A guest that hangs",
    timeout_s: 5,
    cases: &[
        Case::new("fine", |_| Ok(())),
        Case::new("spins_for_ever", |_| {
            loop {
                core::hint::spin_loop();
            }
        }),
    ],
    ..super::BAD
};

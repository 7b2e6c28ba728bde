//! What counts as a success.

use super::expect::Expectations;
use crate::image::Image;

/// What counts as a success.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// What is known of the tests' outcomes.
    pub expectations: Expectations,
    /// How often a test that fails is booted again.
    pub retries: usize,
    /// A pass after a failure counts as a failure.
    pub flaky_fails: bool,
}

impl Policy {
    /// Only what the tests declare of themselves is known; nothing is tried twice.
    pub fn declared(image: &Image) -> Policy {
        let expectations = Expectations::declared(&image.tests);
        Policy { expectations, ..Policy::default() }
    }
}

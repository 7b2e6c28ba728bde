//! What counts as a success.

use super::expect::Expectations;

/// What counts as a success; by default nothing is known, and nothing is tried twice.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// What is known of the tests' outcomes.
    pub expectations: Expectations,
    /// How often a test that fails is booted again.
    pub retries: usize,
    /// A pass after a failure counts as a failure.
    pub flaky_fails: bool,
}

//! How many tests and cases of a document went which way.

use std::fmt;

use serde::Serialize;

use super::document::{Attempt, Document};
use super::verdict::VerdictKind;
use crate::base::plural::count;
use crate::base::status::Status;

/// How many of each kind there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Successes, flaky ones and tolerated outcomes among them.
    pub passed: usize,
    /// Whatever counts against the run.
    pub failed: usize,
    /// Skipped.
    pub skipped: usize,
}

/// How many cases there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CaseCounts {
    /// The claim holds.
    pub passed: usize,
    /// It does not.
    pub failed: usize,
    /// Xen or the guest died of it, or nothing came in time.
    pub ended: usize,
    /// It could not be decided.
    pub errors: usize,
    /// It was not tried.
    pub skipped: usize,
    /// A named deviation.
    pub deviations: usize,
    /// Bad, but expected.
    pub known: usize,
    /// Selected, and without a result.
    pub not_run: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

impl fmt::Display for CaseCounts {
    /// The rare kinds only where there are any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CaseCounts { passed, failed, errors, skipped, .. } = self;
        let deviations = count(self.deviations, "deviation");
        write!(
            f,
            "{passed} passed, {failed} failed, {errors} in error, {skipped} skipped, {deviations}"
        )?;
        for (number, word) in
            [(self.ended, "crashed or timed out"), (self.known, "known"), (self.not_run, "not run")]
        {
            if number > 0 {
                write!(f, ", {number} {word}")?;
            }
        }
        Ok(())
    }
}

impl CaseCounts {
    /// Counts the cases of `attempts`.
    pub fn of<'a>(attempts: impl IntoIterator<Item = &'a Attempt>) -> CaseCounts {
        let mut counts = CaseCounts::default();
        for attempt in attempts {
            counts.add(attempt);
        }
        counts
    }

    fn add(&mut self, attempt: &Attempt) {
        self.not_run += attempt.not_run.len();
        for case in &attempt.cases {
            *match case.verdict {
                _ if case.is_tolerated() => &mut self.known,
                VerdictKind::Success => &mut self.passed,
                VerdictKind::Skip => &mut self.skipped,
                VerdictKind::Deviation => &mut self.deviations,
                VerdictKind::Error => &mut self.errors,
                VerdictKind::Failure => &mut self.failed,
                VerdictKind::Crash | VerdictKind::Timeout => &mut self.ended,
            } += 1;
        }
    }
}

impl Document {
    /// How the tests count.
    pub fn counts(&self) -> Counts {
        let of = |wanted: fn(Status) -> bool| {
            self.tests.iter().filter(|test| wanted(test.last.status)).count()
        };
        Counts {
            passed: of(|status| status == Status::Success),
            failed: of(Status::is_bad),
            skipped: of(|status| status == Status::Skip),
        }
    }

    /// How the cases of each test's last attempt count.
    pub fn case_counts(&self) -> CaseCounts {
        CaseCounts::of(self.tests.iter().map(|test| &test.last))
    }
}

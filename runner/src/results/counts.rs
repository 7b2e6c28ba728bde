//! How many tests and cases of a document went which way.

use super::document::{Case, Document, VerdictKind};
use crate::base::status::Status;

/// How many of each kind there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Successes, flaky ones and tolerated outcomes among them.
    pub passed: usize,
    /// Whatever counts against the run.
    pub failed: usize,
    /// Skipped.
    pub skipped: usize,
}

/// How many cases there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaseCounts {
    /// The claim holds.
    pub passed: usize,
    /// It does not.
    pub failed: usize,
    /// It could not be decided.
    pub errors: usize,
    /// It was not tried.
    pub skipped: usize,
    /// A named deviation.
    pub deviations: usize,
    /// Bad, but expected.
    pub known: usize,
}

impl CaseCounts {
    /// Counts `cases`.
    pub fn of<'a>(cases: impl IntoIterator<Item = &'a Case>) -> CaseCounts {
        let mut counts = CaseCounts::default();
        for case in cases {
            *match case.verdict {
                _ if case.is_tolerated() => &mut counts.known,
                VerdictKind::Success => &mut counts.passed,
                VerdictKind::Skip => &mut counts.skipped,
                VerdictKind::Deviation => &mut counts.deviations,
                VerdictKind::Error => &mut counts.errors,
                VerdictKind::Failure => &mut counts.failed,
            } += 1;
        }
        counts
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
        CaseCounts::of(self.tests.iter().flat_map(|test| &test.last.cases))
    }
}

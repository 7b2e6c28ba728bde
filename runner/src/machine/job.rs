//! A boot in the queue of a [session](super::session), and what becomes of it: the same boot again,
//! or one that goes on with a test behind the case in which this one ended.

use std::borrow::Cow;

use crate::judge::TestReport;
use crate::machine::Boot;
use crate::plan::select::Selected;

/// A boot in the queue.
pub(super) struct Job<'a> {
    /// Its number.
    pub(super) number: usize,
    pub(super) boot: Boot<'a>,
    /// From 1 on.
    pub(super) attempt: usize,
    /// Where the plan has the boot's first test,
    pub(super) first: usize,
    /// and all that the plan has from there on.
    pub(super) planned: Vec<String>,
    /// Its only test, if it goes on with one.
    pub(super) begun: Option<Begun<'a>>,
}

/// A test that another boot began.
pub(super) struct Begun<'a> {
    /// As it was selected.
    whole: Cow<'a, Selected>,
    /// The number of that boot.
    boot: usize,
    pub(super) so_far: SoFar,
}

/// How a test goes on.
pub(super) struct Rest {
    /// The cases behind the one that ended the boot.
    pub(super) selected: Selected,
    pub(super) so_far: SoFar,
}

/// What is known of a test in which a boot ended.
pub(super) struct SoFar {
    /// The case that ended it, behind which the test goes on.
    pub(super) behind: String,
    /// What Xen calls itself, if it came to that.
    pub(super) version: Option<String>,
    /// All that was said of the test.
    pub(super) report: TestReport,
}

impl<'a> Job<'a> {
    /// A boot for those of its tests that are `names`, each as a whole.
    pub(super) fn again(&self, number: usize, names: &[String], attempt: usize) -> Job<'a> {
        let tests = match &self.begun {
            Some(begun) => std::slice::from_ref(&begun.whole),
            None => &self.boot.tests,
        };
        let wanted = |test: &&Cow<'a, Selected>| names.iter().any(|name| name == test.name());
        let tests = tests.iter().filter(wanted).cloned().collect();
        self.with(number, tests, attempt, None)
    }

    /// A boot that goes on with one of its tests.
    pub(super) fn further(&self, number: usize, rest: Rest) -> Option<Job<'a>> {
        let (whole, boot) = match &self.begun {
            Some(begun) => (begun.whole.clone(), begun.boot),
            None => (self.selected(rest.selected.name())?.clone(), self.number),
        };
        let Rest { selected, so_far } = rest;
        let begun = Begun { whole, boot, so_far };
        Some(self.with(number, vec![Cow::Owned(selected)], self.attempt, Some(begun)))
    }

    fn with(
        &self,
        number: usize,
        tests: Vec<Cow<'a, Selected>>,
        attempt: usize,
        begun: Option<Begun<'a>>,
    ) -> Job<'a> {
        let (first, planned) = (self.first, self.planned.clone());
        Job { number, attempt, boot: self.boot.again_for(tests), first, planned, begun }
    }

    /// The test `name` as this boot is to run it.
    pub(super) fn selected(&self, name: &str) -> Option<&Cow<'a, Selected>> {
        self.boot.tests.iter().find(|selected| selected.name() == name)
    }

    /// The number of the boot in which its tests began.
    pub(super) fn began_in(&self) -> usize {
        self.begun.as_ref().map_or(self.number, |begun| begun.boot)
    }

    /// All that is known of a test, with what this boot's `report` says.
    pub(super) fn whole(&self, report: &TestReport) -> TestReport {
        let Some(begun) = &self.begun else { return report.clone() };
        let SoFar { behind, report: before, .. } = &begun.so_far;
        let mut whole = before.clone();
        whole.go_on(self.number, behind, report.clone());
        whole
    }

    pub(super) fn index_of(&self, test: &str) -> usize {
        let offset = self.planned.iter().position(|name| *name == test);
        self.first + offset.unwrap_or(self.planned.len())
    }
}

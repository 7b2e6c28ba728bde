//! What the judge is told and what it says: planned tests, verdicts, ends, events, reports.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::sights::Sights;
use super::splitter::Line;
use crate::base::status::Status;

/// A test that this boot shall report.
#[derive(Clone, Debug)]
pub struct PlannedTest {
    /// Its name.
    pub name: String,
    /// Its cases, in order.
    pub cases: Vec<String>,
}

/// What is known beforehand of the tests on a console that nobody planned.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// The tests of an image; none where no image is at hand.
    pub tests: Vec<PlannedTest>,
    /// Whether the image is certainly the one that ran: then what contradicts it is a violation.
    /// Otherwise it says that this is another image.
    pub is_certain: bool,
}

impl Catalogue {
    /// The cases of a test that it knows.
    pub(super) fn cases_of(&self, test: &str) -> Option<&[String]> {
        self.tests.iter().find(|known| known.name == test).map(|known| known.cases.as_slice())
    }
}

/// A case's verdict, or what a test's result line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `ok`
    Success,
    /// `ok .. # SKIP why`
    Skip(String),
    /// `not ok .. # ERROR why`, or what ended the boot in this case is nobody's claim.
    Error(String),
    /// `not ok`
    Failure,
    /// `not ok .. # XFAIL id: why`: a named deviation that is tolerated.
    Deviation(String),
    /// The judge's word: Xen or the guest died in this case.
    Crash(String),
    /// The judge's word: no result in time.
    Timeout(String),
}

impl Verdict {
    /// How this counts.
    pub fn status(&self) -> Status {
        match self {
            Verdict::Success | Verdict::Deviation(_) => Status::Success,
            Verdict::Skip(_) => Status::Skip,
            Verdict::Error(_) => Status::Error,
            Verdict::Failure => Status::Failure,
            Verdict::Crash(_) => Status::Crash,
            Verdict::Timeout(_) => Status::Timeout,
        }
    }

    /// The reason that stands beside it.
    pub fn why(&self) -> Option<&str> {
        match self {
            Verdict::Success | Verdict::Failure => None,
            Verdict::Skip(why)
            | Verdict::Error(why)
            | Verdict::Deviation(why)
            | Verdict::Crash(why)
            | Verdict::Timeout(why) => Some(why),
        }
    }

    /// The verdict on a case that was under way when the boot ended.
    pub(super) fn of_end(status: Status, why: String) -> Verdict {
        match status {
            Status::Crash => Verdict::Crash(why),
            Status::Timeout => Verdict::Timeout(why),
            _ => Verdict::Error(why),
        }
    }
}

/// A case's line, or a case that the boot ended in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseReport {
    /// Name, as printed, or as the image has it.
    pub name: String,
    /// What the guest said of it, or what ended the boot.
    pub verdict: Verdict,
    /// The diagnostics before it.
    pub diagnostics: Vec<String>,
    /// From the line of the case before it, or of the subtest, to its own.
    pub elapsed: Duration,
}

/// What ended a boot early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Xen said that it is dying.
    Xen,
    /// The guest panicked or trapped.
    Guest,
    /// The machine was reset without a word.
    Reset,
    /// Nothing came in time.
    Time,
    /// More came than anybody could want.
    Flood,
    /// QEMU itself failed.
    Qemu,
}

/// A boot that went on with a test behind the case in which the boot before had ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WentOn {
    /// Its number.
    pub boot: usize,
    /// That case.
    pub behind: String,
    /// As in the test's report, of this boot.
    pub diagnostics: Vec<String>,
    /// As in the test's report, of this boot.
    pub backtrace: Vec<u64>,
    /// As in the test's report, of this boot.
    pub xen_words: Vec<String>,
}

/// All about one test in one boot, and in those that went on with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestReport {
    /// Its name.
    pub name: String,
    /// The judge's status, not necessarily the guest's.
    pub status: Status,
    /// The cases that were reported, and those in which a boot ended.
    pub cases: Vec<CaseReport>,
    /// The cases that were selected and of which nothing is known, unless all were skipped.
    pub not_run: Vec<String>,
    /// Why the status is what it is, where the cases don't say it.
    pub reasons: Vec<String>,
    /// The boots that went on with it.
    pub went_on: Vec<WentOn>,
    /// Diagnostics that belong to no case; a panic's registers among them.
    pub diagnostics: Vec<String>,
    /// Code addresses in the image, innermost first.
    pub backtrace: Vec<u64>,
    /// Xen's last words, if the boot died.
    pub xen_words: Vec<String>,
    /// Whether its subtest line was seen.
    pub began: bool,
    /// What ended the boot early, if this test is blamed for it.
    pub cause: Option<Cause>,
    /// From its subtest line to its result, in all its boots.
    pub elapsed: Duration,
}

impl TestReport {
    /// A report of the test `name` that says nothing but its `status`.
    pub fn new(name: impl Into<String>, status: Status) -> Self {
        TestReport {
            name: name.into(),
            status,
            cases: Vec::new(),
            not_run: Vec::new(),
            reasons: Vec::new(),
            went_on: Vec::new(),
            diagnostics: Vec::new(),
            backtrace: Vec::new(),
            xen_words: Vec::new(),
            began: false,
            cause: None,
            elapsed: Duration::ZERO,
        }
    }

    /// All reasons: its own, and those of the cases that ended a boot or could not be decided.
    pub fn told(&self) -> Vec<String> {
        let bad = self.cases.iter().filter(|case| case.verdict.status().is_bad());
        let cases = bad.filter_map(|case| case.verdict.why());
        self.reasons.iter().map(String::as_str).chain(cases).map(str::to_owned).collect()
    }

    /// Takes in what the boot `number` reported of the cases `behind` the one that had ended the
    /// boot before.
    pub fn go_on(&mut self, number: usize, behind: &str, rest: TestReport) {
        let TestReport { status, cases, reasons, cause, elapsed, .. } = rest;
        // It was begun, and only becomes worse.
        self.status = self.status.max(status);
        self.not_run.retain(|name| cases.iter().all(|case| case.name != *name));
        self.cases.extend(cases);
        self.reasons.extend(reasons);
        // What a tool did is no claim about Xen, whatever Xen did before.
        if self.cause.is_none() || cause == Some(Cause::Qemu) {
            self.cause = cause;
        }
        self.elapsed += elapsed;
        self.went_on.push(WentOn {
            boot: number,
            behind: behind.to_owned(),
            diagnostics: rest.diagnostics,
            backtrace: rest.backtrace,
            xen_words: rest.xen_words,
        });
    }

    /// What was seen of the end of the boot that ended in `case`, if one did: the guest's last
    /// lines, and Xen's.
    pub fn last_words(&self, case: &CaseReport) -> impl Iterator<Item = &str> {
        let ends = self.went_on.iter().map(|further| further.behind.as_str());
        let last = self.cases.last().map(|case| case.name.as_str());
        let boot = ends.chain(last).position(|name| name == case.name);
        let seen = boot.and_then(|boot| self.seen().nth(boot));
        seen.into_iter().flat_map(|(guest, _, xen)| guest.iter().chain(xen)).map(String::as_str)
    }

    /// What was seen in each of its boots: the guest's diagnostics, its backtrace, and Xen's words.
    pub fn seen(&self) -> impl Iterator<Item = (&[String], &[u64], &[String])> {
        let first = (&self.diagnostics[..], &self.backtrace[..], &self.xen_words[..]);
        let further = self.went_on.iter().map(|further| {
            (&further.diagnostics[..], &further.backtrace[..], &further.xen_words[..])
        });
        std::iter::once(first).chain(further)
    }
}

/// What the boot's supervisor needs to know at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A clean line, for logs and screens.
    Line(Line),
    /// A subtest line of an expected test.
    TestStarted(String),
    /// The result line of a test.
    TestEnded,
    /// Xen's version.
    Xen(String),
    /// What else the guest found out about Xen.
    Sights(Box<Sights>),
    /// A test's result can't get worse any more, unless the whole boot turns out to be faulty.
    TestSettled(Box<TestReport>),
    /// `Test result:` was seen.
    Final,
}

/// Why the console ended.
#[derive(Clone, Debug)]
pub enum End {
    /// QEMU left by itself without complaint, or was stopped after the last line.
    Exited,
    /// What told of the boot, which is called so, ends; whether the boot does is not known.
    Over(String),
    /// Stopped because Xen said that it is dying.
    XenDied,
    /// Stopped because of [`Judge::not_booted`](super::Judge::not_booted).
    NotBooted,
    /// Stopped because time was up.
    TimedOut(String),
    /// Stopped because of [`Judge::is_flooded`](super::Judge::is_flooded).
    Flooded,
    /// QEMU itself failed.
    ToolDied(String),
    /// The user stopped the run.
    Interrupted,
    /// Stopped because of [`Judge::is_failing`](super::Judge::is_failing), which was all that one
    /// wanted to know.
    Enough,
}

/// The case that was under way when a boot ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedIn {
    /// Its test.
    pub test: String,
    /// Its name.
    pub case: String,
}

/// The outcome of a boot.
#[derive(Debug)]
pub struct Judgement {
    /// Tests that are settled.
    pub settled: Vec<TestReport>,
    /// What ended the boot early, if anything did,
    pub ended_by: Option<Cause>,
    /// and in which case, if it was in one.
    pub ended_in: Option<EndedIn>,
    /// The version of Xen, such as 4.17.7, as the guest found it.
    pub version: Option<String>,
    /// Names of tests that deserve another boot.
    pub rerun: Vec<String>,
}

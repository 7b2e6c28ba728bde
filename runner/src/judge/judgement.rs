//! What the judge is told and what it says: planned tests, ends, events, reports.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::grammar::Verdict;
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

/// A case's line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseReport {
    /// Name, as printed.
    pub name: String,
    /// What the guest said of it.
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

/// All about one test in one boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestReport {
    /// Its name.
    pub name: String,
    /// The judge's status, not necessarily the guest's.
    pub status: Status,
    /// The cases that were reported.
    pub cases: Vec<CaseReport>,
    /// Why the status is what it is, where the cases don't say it.
    pub reasons: Vec<String>,
    /// The case that was under way when the boot ended.
    pub at_case: Option<String>,
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
    /// From its subtest line to its result.
    pub elapsed: Duration,
}

impl TestReport {
    /// A report of the test `name` that says nothing but its `status`.
    pub fn new(name: impl Into<String>, status: Status) -> Self {
        TestReport {
            name: name.into(),
            status,
            cases: Vec::new(),
            reasons: Vec::new(),
            at_case: None,
            diagnostics: Vec::new(),
            backtrace: Vec::new(),
            xen_words: Vec::new(),
            began: false,
            cause: None,
            elapsed: Duration::ZERO,
        }
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
    /// Stopped because Xen said that it is dying.
    XenDied,
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

/// The outcome of a boot.
#[derive(Debug)]
pub struct Judgement {
    /// Tests that are settled.
    pub settled: Vec<TestReport>,
    /// What ended the boot early, if anything did.
    pub ended_by: Option<Cause>,
    /// The version of Xen, such as 4.17.7, as the guest found it.
    pub version: Option<String>,
    /// Names of tests that deserve another boot.
    pub rerun: Vec<String>,
}

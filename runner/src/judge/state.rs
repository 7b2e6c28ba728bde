//! What the judge knows of the boot that it listens to.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use protocol::console::Totals;

use super::command_line::CommandLineCheck;
use super::firmware::FirmwareWatch;
use super::judgement::{CaseReport, Catalogue, PlannedTest, TestReport};
use super::reason::Reason;
use super::sights::Sights;
use super::splitter::Splitter;
use super::xen::{Vitals, XenWatch};
use crate::base::status::Status;

/// A boot that prints more bytes than this without a result line has no end, and would fill the
/// disk.
///
/// It is far beyond the longest case: a debug build of Xen says 8 MiB about a few thousand refused
/// payloads. An emulated UART seldom gets so far before the test's time is up.
pub const FLOOD_LIMIT: u64 = 64 << 20;
/// The guest itself never has so many bytes to say without a result line. A boot that has said so
/// much when its time is up, whoever said it, did not hang.
pub const GUEST_FLOOD_LIMIT: u64 = 2 << 20;
/// Violations of the protocol kept for each test.
pub(super) const MAX_VIOLATIONS: usize = 8;

/// A test between its subtest line and its result line.
#[derive(Debug)]
pub(super) struct Running {
    /// Index into `expected`; `None` for a name that nobody selected.
    pub(super) slot: Option<usize>,
    pub(super) name: String,
    pub(super) since: Duration,
    /// When the last case was reported.
    pub(super) last_case: Duration,
    pub(super) began: bool,
    pub(super) plan: Option<usize>,
    /// The number that the next case should have,
    pub(super) next: usize,
    /// and those that are taken.
    pub(super) numbers: BTreeSet<usize>,
    /// Whether some cases of the test were selected, and not all that the image has;
    pub(super) is_part: bool,
    /// then how many of those are behind it.
    pub(super) matched: usize,
    /// What the lines of its cases come to,
    pub(super) totals: Totals,
    /// and what the guest says that they come to.
    pub(super) told_totals: Option<Totals>,
    pub(super) cases: Vec<CaseReport>,
    /// Their names.
    pub(super) reported: HashSet<String>,
    pub(super) violations: Vec<Reason>,
}

impl Running {
    /// A test that begins.
    pub(super) fn new(slot: Option<usize>, name: &str, now: Duration) -> Self {
        Running {
            slot,
            name: name.to_owned(),
            since: now,
            last_case: now,
            began: true,
            plan: None,
            next: 1,
            numbers: BTreeSet::new(),
            is_part: false,
            matched: 0,
            totals: Totals::default(),
            told_totals: None,
            cases: Vec::new(),
            reported: HashSet::new(),
            violations: Vec::new(),
        }
    }

    /// Takes in the result of a case.
    pub(super) fn report(&mut self, case: CaseReport) {
        self.reported.insert(case.name.clone());
        self.cases.push(case);
    }

    /// A test that has something to report without having begun.
    pub(super) fn unbegun(slot: usize, name: &str, now: Duration) -> Self {
        Running { began: false, ..Running::new(Some(slot), name, now) }
    }
}

/// What a guest said since it panicked or trapped.
#[derive(Debug, Default)]
pub(super) struct Panic {
    pub(super) lines: Vec<String>,
    pub(super) backtrace: Vec<u64>,
}

/// Judges one boot.
#[derive(Debug)]
pub struct Judge {
    /// What the guest must call itself, if that is known beforehand.
    pub(super) environment: Option<&'static str>,
    /// Where the list of tests grows: what is known of them all the same.
    pub(super) catalogue: Option<Catalogue>,
    /// How many of the expected tests have names; without a catalogue that does not matter.
    pub(super) named: usize,
    /// How many cases were called by their numbers.
    pub(super) listed: usize,
    pub(super) misfit: Option<String>,
    pub(super) expected: Vec<PlannedTest>,
    pub(super) reports: Vec<Option<TestReport>>,
    pub(super) last_reported: Option<usize>,
    /// The last one that [`Event::TestSettled`](super::Event::TestSettled) told of.
    pub(super) announced: Option<usize>,
    pub(super) splitter: Splitter,
    pub(super) firmware: FirmwareWatch,
    pub(super) xen: XenWatch,
    pub(super) command_line: CommandLineCheck,
    pub(super) sights: Sights,
    /// Whether anything at all was said.
    pub(super) heard: bool,
    /// Bytes since the last result line,
    pub(super) bytes: u64,
    /// and those of them in lines of the guest's.
    pub(super) guest_bytes: u64,
    pub(super) version: Option<String>,
    pub(super) build_id: Option<String>,
    /// What it must be.
    pub(super) demanded_build_id: Option<String>,
    pub(super) banner: bool,
    pub(super) environment_seen: bool,
    pub(super) ktap: bool,
    pub(super) plan: Option<usize>,
    pub(super) results: usize,
    /// The status of what the guest said of all tests so far.
    pub(super) guest_status: Option<Status>,
    pub(super) subtest_ktap: bool,
    /// Whether the guest tells the totals of each test.
    pub(super) tells_totals: bool,
    pub(super) running: Option<Running>,
    /// Whether the case that runs told of news.
    pub(super) news: bool,
    pub(super) diagnostics: Vec<String>,
    pub(super) panic: Option<Panic>,
    pub(super) result: Option<Status>,
    /// What is wrong with the boot as a whole.
    pub(super) reasons: Vec<Reason>,
}

impl Judge {
    /// A judge for a boot of `expected` tests; `environment` is what the guest must call itself.
    pub fn new(environment: &'static str, expected: Vec<PlannedTest>) -> Self {
        Judge {
            environment: Some(environment),
            catalogue: None,
            named: 0,
            listed: 0,
            misfit: None,
            reports: expected.iter().map(|_| None).collect(),
            expected,
            last_reported: None,
            announced: None,
            splitter: Splitter::default(),
            firmware: FirmwareWatch::default(),
            xen: XenWatch::new(),
            command_line: CommandLineCheck::default(),
            sights: Sights::default(),
            heard: false,
            bytes: 0,
            guest_bytes: 0,
            version: None,
            build_id: None,
            demanded_build_id: None,
            banner: false,
            environment_seen: false,
            ktap: false,
            plan: None,
            results: 0,
            guest_status: None,
            subtest_ktap: false,
            tells_totals: false,
            running: None,
            news: false,
            diagnostics: Vec::new(),
            panic: None,
            result: None,
            reasons: Vec::new(),
        }
    }

    /// Demands that Xen shows `cmdline` as its command line, and does not complain of it.
    pub fn demand_options(mut self, cmdline: &str) -> Self {
        self.command_line = CommandLineCheck::demanded(cmdline);
        self
    }

    /// Demands that the guest finds a Xen with this build-id in hexadecimal, if it is known.
    pub fn demand_build_id(mut self, id: Option<&str>) -> Self {
        self.demanded_build_id = id.map(str::to_owned);
        self
    }

    /// Whether the guest spoke its last line.
    pub fn has_result(&self) -> bool {
        self.result.is_some()
    }

    /// Whether the console is out of control.
    pub fn is_flooded(&self) -> bool {
        self.bytes > FLOOD_LIMIT || self.guest_bytes > GUEST_FLOOD_LIMIT
    }

    /// The version of Xen: as the guest found it, or as Xen said itself when it began.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref().or(self.xen.version())
    }

    /// The build-id of Xen in hexadecimal, as the guest found it.
    pub fn build_id(&self) -> Option<&str> {
        self.build_id.as_deref()
    }

    /// Why Xen was not even started, if firmware that was to boot it gave up.
    pub fn not_booted(&self) -> Option<String> {
        self.firmware.gave_up()
    }

    /// How far Xen is on its way out.
    pub fn vitals(&self) -> Vitals {
        self.xen.vitals()
    }

    /// Whether a failure is certain, whatever still comes: a test or a case was reported bad.
    pub fn is_failing(&self) -> bool {
        let running = self.running.iter().filter(|running| running.slot.is_some());
        let mut cases = running.flat_map(|running| &running.cases);
        self.reports.iter().flatten().any(|report| report.status.is_bad())
            || cases.any(|case| case.verdict.status().is_bad())
    }

    /// Notes a violation of the protocol: the running test's, else the whole boot's.
    pub(super) fn violation(&mut self, why: impl Into<String>) {
        let noted = match &mut self.running {
            Some(running) => &mut running.violations,
            None => &mut self.reasons,
        };
        if noted.len() < MAX_VIOLATIONS {
            noted.push(Reason::Violation(why.into()));
        }
    }

    /// Those of a test that nobody selected are the whole boot's.
    pub(super) fn adopt(&mut self, violations: Vec<Reason>) {
        let room = MAX_VIOLATIONS.saturating_sub(self.reasons.len());
        self.reasons.extend(violations.into_iter().take(room));
    }

    /// Takes in what is wrong with Xen's command line.
    pub(super) fn hear_of_command_line(&mut self) {
        let room = (2 * MAX_VIOLATIONS).saturating_sub(self.reasons.len());
        self.reasons.extend(self.command_line.take_reasons().into_iter().take(room));
    }
}

//! The judge: console bytes in, results out. No clock, no files, no processes.
//!
//! The judge checks everything that it can compute: plans, numbers and names against the image's
//! metadata, a test's result line against its cases, the last line against the tests. A
//! contradiction is an ERROR of that test, or of all tests of the boot where it concerns the whole.
//! It never improves a status.
//!
//! When a boot ends early, the judge blames one test, so that booting the rest again makes
//! progress: the test that was running; else the last one that reported; else, if the plan was
//! printed, the first expected one; else all of them.

pub mod console;
mod fault;
mod grammar;
mod options;
pub mod xen;

use std::time::Duration;

use protocol::console::{BACKTRACE, PANIC, TRAP, XEN};
use serde::{Deserialize, Serialize};

use crate::base::status::Status;
use crate::judge::console::{Line, Source, Splitter};
use fault::Fault;
pub use grammar::Verdict;
use grammar::{Depth, Token};
use options::Options;
pub use xen::Vitals;

/// A boot that prints more bytes than this without a result line has no end, and would fill the disk.
///
/// It is far beyond the longest case: a debug build of Xen says 8 MiB about a few thousand refused
/// payloads. An emulated UART seldom gets so far before the test's time is up.
pub const FLOOD_LIMIT: u64 = 64 << 20;
/// The guest itself never has so many bytes to say without a result line. A boot that has said so much
/// when its time is up, whoever said it, did not hang.
pub const GUEST_FLOOD_LIMIT: u64 = 2 << 20;
/// Diagnostics kept for each result.
const MAX_DIAGNOSTICS: usize = 100;
/// Protocol faults kept for each test.
const MAX_FAULTS: usize = 8;

/// A test that this boot shall report.
#[derive(Clone, Debug)]
pub struct Expected {
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
    /// Stopped because of [`Judge::is_flooded`].
    Flooded,
    /// QEMU itself failed.
    ToolDied(String),
    /// The user stopped the run.
    Interrupted,
    /// Stopped because [`Judge::is_failing`], which was all that one wanted to know.
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

#[derive(Debug)]
struct Running {
    /// Index into `expected`; `None` for a name that nobody selected.
    slot: Option<usize>,
    name: String,
    since: Duration,
    /// When the last case was reported.
    last_case: Duration,
    began: bool,
    plan: Option<usize>,
    cases: Vec<CaseReport>,
    faults: Vec<Fault>,
}

impl Running {
    /// A test that begins.
    fn new(slot: Option<usize>, name: &str, now: Duration) -> Self {
        Running {
            slot,
            name: name.to_owned(),
            since: now,
            last_case: now,
            began: true,
            plan: None,
            cases: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// A test that has something to report without having begun.
    fn unbegun(slot: usize, name: &str, now: Duration) -> Self {
        Running { began: false, ..Running::new(Some(slot), name, now) }
    }
}

#[derive(Debug, Default)]
struct Panic {
    lines: Vec<String>,
    backtrace: Vec<u64>,
}

/// Judges one boot.
#[derive(Debug)]
pub struct Judge {
    environment: &'static str,
    expected: Vec<Expected>,
    reports: Vec<Option<TestReport>>,
    last_reported: Option<usize>,
    /// The last one that [`Event::TestSettled`] told of.
    announced: Option<usize>,
    splitter: Splitter,
    xen: xen::Watch,
    options: Options,
    /// Bytes since the last result line,
    bytes: u64,
    /// and those of them in lines of the guest's.
    guest_bytes: u64,
    version: Option<String>,
    banner: bool,
    environment_seen: bool,
    ktap: bool,
    plan: Option<usize>,
    results: usize,
    guest_statuses: Vec<Status>,
    subtest_ktap: bool,
    running: Option<Running>,
    diagnostics: Vec<String>,
    panic: Option<Panic>,
    result: Option<Status>,
    /// Of the whole boot.
    faults: Vec<Fault>,
}

impl Judge {
    /// A judge for a boot of `expected` tests; `environment` is what the guest must call itself.
    pub fn new(environment: &'static str, expected: Vec<Expected>) -> Self {
        Judge {
            environment,
            reports: expected.iter().map(|_| None).collect(),
            expected,
            last_reported: None,
            announced: None,
            splitter: Splitter::default(),
            xen: xen::Watch::new(),
            options: Options::default(),
            bytes: 0,
            guest_bytes: 0,
            version: None,
            banner: false,
            environment_seen: false,
            ktap: false,
            plan: None,
            results: 0,
            guest_statuses: Vec::new(),
            subtest_ktap: false,
            running: None,
            diagnostics: Vec::new(),
            panic: None,
            result: None,
            faults: Vec::new(),
        }
    }

    /// Demands that Xen shows `cmdline` as its command line, and does not complain of it.
    pub fn demand_options(mut self, cmdline: &str) -> Self {
        self.options = Options::demanded(cmdline);
        self
    }

    /// Takes console bytes that arrived at `now` (since the start of the boot).
    pub fn feed(&mut self, bytes: &[u8], now: Duration, mut events: impl FnMut(Event)) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        let mut splitter = std::mem::take(&mut self.splitter);
        splitter.feed(bytes, |line| self.line(line, now, &mut events));
        self.splitter = splitter;
    }

    /// Whether the guest spoke its last line.
    pub fn has_result(&self) -> bool {
        self.result.is_some()
    }

    /// Whether the console is out of control.
    pub fn is_flooded(&self) -> bool {
        self.bytes > FLOOD_LIMIT || self.guest_bytes > GUEST_FLOOD_LIMIT
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

    fn line(&mut self, line: Line, now: Duration, events: &mut impl FnMut(Event)) {
        match line.source {
            Source::Xen => {
                self.options.xen_line(&line.text);
                self.xen.line(&line.text);
            }
            Source::Guest => {
                self.guest_bytes = self.guest_bytes.saturating_add(line.text.len() as u64 + 1);
                let settled = self.last_reported;
                let event = self.guest_line(&line.text, now);
                // Whatever happens from here on is the next test's aftermath.
                let next = matches!(event, Some(Event::TestStarted(_) | Event::TestEnded));
                if next
                    && settled != self.announced
                    && let Some(report) = settled.and_then(|slot| self.reports[slot].as_ref())
                {
                    self.announced = settled;
                    self.faults
                        .extend(self.options.take_faults().into_iter().map(Fault::CommandLine));
                    let mut report = report.clone();
                    taint(&mut report, &self.faults);
                    events(Event::TestSettled(Box::new(report)));
                }
                event.into_iter().for_each(&mut *events);
            }
        }
        events(Event::Line(line));
    }

    fn guest_line(&mut self, text: &str, now: Duration) -> Option<Event> {
        let token = grammar::parse(text);
        if self.result.is_some() {
            if !matches!(token, Token::Text | Token::Diagnostic(_)) {
                self.fault(format!("line after the last line: `{text}`"));
            }
            return None;
        }
        match token {
            Token::Text => {}
            Token::Malformed(why) => self.fault(format!("{why}: `{text}`")),
            Token::Banner if self.banner => self.fault("the guest started a second time"),
            Token::Banner => self.banner = true,
            Token::Environment(name) => self.environment(name),
            Token::Ktap(Depth::Test) if self.ktap => self.fault("a second KTAP header"),
            Token::Ktap(Depth::Test) => self.ktap = true,
            Token::Ktap(Depth::Case) => {
                if self.subtest_ktap || self.running.is_some() {
                    self.fault("KTAP header inside a subtest");
                }
                self.subtest_ktap = true;
            }
            Token::Plan(Depth::Test, count) => self.plan(count),
            Token::Plan(Depth::Case, count) => self.subtest_plan(count),
            Token::Subtest(name) => return self.subtest(name, now),
            Token::Diagnostic(text) => return self.diagnostic(text),
            Token::Result(Depth::Case, number, name, verdict) => {
                self.case(number, name, verdict, now);
            }
            Token::Result(Depth::Test, number, name, verdict) => {
                self.test(number, name, verdict, now);
                return Some(Event::TestEnded);
            }
            Token::Final(status) => {
                self.result = Some(status);
                return Some(Event::Final);
            }
        }
        None
    }

    /// Notes a breach of the protocol: the running test's, else the whole boot's.
    fn fault(&mut self, why: impl Into<String>) {
        let faults = match &mut self.running {
            Some(running) => &mut running.faults,
            None => &mut self.faults,
        };
        if faults.len() < MAX_FAULTS {
            faults.push(Fault::Protocol(why.into()));
        }
    }

    fn environment(&mut self, name: &str) {
        self.environment_seen = true;
        let wanted = self.environment;
        let same =
            name.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
        if !same {
            self.fault(format!("the guest runs in `{name}`, not in `{wanted}`"));
        }
    }

    fn plan(&mut self, count: usize) {
        if self.plan.is_some() {
            self.fault("a second plan");
        } else if count != self.expected.len() {
            let expected = self.expected.len();
            let tests = crate::base::plural::count(count, "test");
            self.fault(format!("the plan line says {tests}, but {expected} were selected"));
        }
        self.plan.get_or_insert(count);
    }

    fn subtest(&mut self, name: &str, now: Duration) -> Option<Event> {
        if let Some(open) = self.running.take() {
            let why = format!("subtest `{name}` began before the result line");
            self.close(open, Status::Error, vec![Fault::Protocol(why)], Vec::new(), now);
        }
        let slot = self.expected.iter().position(|test| test.name == name);
        match slot {
            None => self.fault(format!("subtest `{name}` was not selected")),
            Some(slot) if self.reports[slot].is_some() => {
                self.fault(format!("subtest `{name}` began a second time"));
            }
            Some(_) => {}
        }
        let slot = slot.filter(|&slot| self.reports[slot].is_none());
        let without_header = !std::mem::take(&mut self.subtest_ktap);
        let without_plan = self.plan.is_none();
        self.diagnostics.clear();
        self.xen.forget();
        self.running = Some(Running::new(slot, name, now));
        if without_header {
            self.fault("subtest without its KTAP header");
        }
        if without_plan {
            self.fault("subtest before the plan line of the run");
        }
        slot.map(|_| Event::TestStarted(name.to_owned()))
    }

    fn subtest_plan(&mut self, count: usize) {
        let Some(running) = &mut self.running else {
            return self.fault("a case plan outside a subtest");
        };
        let known = running.slot.map(|slot| self.expected[slot].cases.len());
        if running.plan.is_some() {
            self.fault("a second case plan");
        } else {
            running.plan = Some(count);
            if let Some(known) = known.filter(|&known| known != count) {
                let cases = crate::base::plural::count(count, "case");
                let why = "but the image's metadata says";
                self.fault(format!("the plan line says {cases}, {why} {known}"));
            }
        }
    }

    fn case(&mut self, number: usize, name: &str, verdict: Verdict, now: Duration) {
        let diagnostics = std::mem::take(&mut self.diagnostics);
        let Some(running) = &mut self.running else {
            return self.fault(format!("case `{name}` outside a subtest"));
        };
        let next = running.cases.len() + 1;
        let planned = running.plan;
        let known = running.slot.map(|slot| self.expected[slot].cases.get(next - 1).cloned());
        // A runaway guest must not grow the report: what exceeds the plan is only a fault.
        let surplus = planned.is_some_and(|planned| next > planned);
        let duplicate = running.cases.iter().any(|case| case.name == name);
        if !surplus {
            let elapsed = now.saturating_sub(std::mem::replace(&mut running.last_case, now));
            running.cases.push(CaseReport { name: name.to_owned(), verdict, diagnostics, elapsed });
        }
        if planned.is_some() && !surplus {
            self.bytes = 0;
            self.guest_bytes = 0;
        }
        if planned.is_none() {
            self.fault(format!("case `{name}` before the case plan"));
        }
        if surplus {
            self.fault(format!("case `{name}` exceeds the plan"));
        } else if duplicate {
            self.fault(format!("case `{name}` was reported twice"));
        } else if let Some(known) = known
            && known.as_deref() != Some(name)
        {
            let wanted = known.map_or("no further case".into(), |known| format!("`{known}`"));
            self.fault(format!("case {next} is `{name}`, the image's metadata says {wanted}"));
        }
        if number != next {
            self.fault(format!("case `{name}` has number {number} instead of {next}"));
        }
    }

    fn test(&mut self, number: usize, name: &str, verdict: Verdict, now: Duration) {
        self.results += 1;
        self.guest_statuses.push(verdict.status());
        let next = self.results;
        let mut faults = Vec::new();
        if number != next {
            let why = format!("test `{name}` has number {number} instead of {next}");
            faults.push(Fault::Protocol(why));
        }
        if self.plan.is_none() {
            faults.push(Fault::Protocol("result line before the plan line of the run".into()));
        }
        let diagnostics = std::mem::take(&mut self.diagnostics);
        match self.running.take() {
            Some(running) if running.name == name => {
                self.finish_test(running, verdict, faults, diagnostics, now);
            }
            open => {
                if let Some(open) = open {
                    let why = format!("closed by the result line of `{name}`");
                    self.close(open, Status::Error, vec![Fault::Protocol(why)], Vec::new(), now);
                }
                self.lone_result(name, verdict, faults, diagnostics, now);
            }
        }
    }

    /// A result line with its subtest before it.
    fn finish_test(
        &mut self,
        running: Running,
        verdict: Verdict,
        mut faults: Vec<Fault>,
        diagnostics: Vec<String>,
        now: Duration,
    ) {
        let reported = running.cases.len();
        match running.plan {
            None => faults.push(Fault::Protocol("subtest without a case plan".into())),
            Some(plan) if reported < plan => {
                let why = format!("{reported} of {plan} planned cases were reported");
                faults.push(Fault::Protocol(why));
            }
            Some(_) => {}
        }
        let computed = Status::of_parts(running.cases.iter().map(|case| case.verdict.status()));
        let computed = computed.unwrap_or_else(|| {
            faults.push(Fault::Told("no case was reported".into()));
            Status::Error
        });
        let mut status = computed;
        match verdict {
            // The framework's own checks after the last case end here.
            Verdict::Error(why) if computed <= Status::Error => {
                status = Status::Error;
                faults.push(Fault::Told(why));
            }
            Verdict::Deviation(_) => {
                faults.push(Fault::Protocol(
                    "the result line of a test cannot be a deviation".into(),
                ));
            }
            Verdict::Skip(why) if computed == Status::Skip => faults.push(Fault::Told(why)),
            verdict if verdict.status() != computed => {
                let said = verdict.status();
                let why = format!("the result line says {said}, but its cases give {computed}");
                faults.push(Fault::Protocol(why));
            }
            _ => {}
        }
        self.close(running, status, faults, diagnostics, now);
    }

    /// A result line without a subtest: right only for a test that could not begin.
    fn lone_result(
        &mut self,
        name: &str,
        verdict: Verdict,
        mut faults: Vec<Fault>,
        diagnostics: Vec<String>,
        now: Duration,
    ) {
        let slot = self.expected.iter().position(|test| test.name == name);
        let Some(slot) = slot.filter(|&slot| self.reports[slot].is_none()) else {
            let what = if slot.is_some() { "reported twice" } else { "reported but not selected" };
            return self.fault(format!("test `{name}` was {what}"));
        };
        let status = verdict.status();
        faults.push(match verdict {
            Verdict::Skip(why) | Verdict::Error(why) => Fault::Told(why),
            _ => Fault::Protocol("result line without a subtest".into()),
        });
        let running = Running::unbegun(slot, name, now);
        self.close(running, status, faults, diagnostics, now);
    }

    /// Turns a running test into its report. Its cases and its faults can only make `status` worse.
    fn close(
        &mut self,
        running: Running,
        status: Status,
        faults: Vec<Fault>,
        diagnostics: Vec<String>,
        now: Duration,
    ) -> Option<&mut TestReport> {
        let Some(slot) = running.slot else {
            self.faults.extend(running.faults);
            return None;
        };
        let seen = Status::of_parts(running.cases.iter().map(|case| case.verdict.status()));
        let mut status = seen.filter(|seen| seen.is_bad()).map_or(status, |seen| status.max(seen));
        let faults: Vec<Fault> = running.faults.into_iter().chain(faults).collect();
        if faults.iter().any(Fault::casts_doubt) {
            status = status.max(Status::Error);
        }
        self.last_reported = Some(slot);
        Some(self.reports[slot].insert(TestReport {
            cases: running.cases,
            reasons: faults.iter().map(Fault::to_string).collect(),
            diagnostics,
            began: running.began,
            elapsed: now.saturating_sub(running.since),
            ..TestReport::new(running.name, status)
        }))
    }

    fn diagnostic(&mut self, text: &str) -> Option<Event> {
        if self.plan.is_none() {
            self.options.guest_diagnostic(text);
        }
        if let Some(version) = text.strip_prefix(XEN)
            && self.plan.is_none()
        {
            self.version = version.split(' ').next().map(str::to_owned);
            return self.version.clone().map(Event::Xen);
        }
        if text.starts_with(PANIC) || text.starts_with(TRAP) {
            self.panic.get_or_insert_default();
        }
        let Some(panic) = &mut self.panic else {
            if self.diagnostics.len() < MAX_DIAGNOSTICS {
                self.diagnostics.push(text.to_owned());
            }
            return None;
        };
        if let Some(addresses) = text.strip_prefix(BACKTRACE) {
            let room = MAX_DIAGNOSTICS.saturating_sub(panic.backtrace.len());
            let addresses = addresses.split_whitespace().take(room).filter_map(|word| {
                u64::from_str_radix(word.strip_prefix("0x").unwrap_or(word), 16).ok()
            });
            panic.backtrace.extend(addresses);
        } else if panic.lines.len() < MAX_DIAGNOSTICS {
            panic.lines.push(text.to_owned());
        }
        None
    }

    /// The judgement of a boot that could not be, for the reason `why`: every test is skipped.
    pub fn skip(self, why: &str) -> Judgement {
        let settled = self.expected.into_iter().map(|test| TestReport {
            reasons: vec![why.to_owned()],
            ..TestReport::new(test.name, Status::Skip)
        });
        Judgement { settled: settled.collect(), ended_by: None, version: None, rerun: Vec::new() }
    }

    /// Closes the books at `now`, knowing why the console ended.
    pub fn finish(mut self, end: End, now: Duration, mut events: impl FnMut(Event)) -> Judgement {
        // Whoever has enough cut the line himself: its half says nothing about the guest.
        if let Some(line) = self.splitter.finish()
            && !matches!(end, End::Enough)
        {
            self.line(line, now, &mut events);
        }
        let cause = self.cause_of_death(&end);
        let ended_by = cause.as_ref().map(|(_, cause, _)| *cause);
        if let Some((status, cause, reason)) = cause {
            self.blame(status, cause, reason, now);
        } else {
            match (&end, self.running.take()) {
                (End::Interrupted, _) | (End::Enough, None) => {}
                (End::Enough, Some(running)) => {
                    self.close(running, Status::Error, Vec::new(), Vec::new(), now);
                }
                (_, running) => {
                    self.running = running;
                    self.check_whole(now);
                }
            }
        }
        self.faults.extend(self.options.take_faults().into_iter().map(Fault::CommandLine));
        for report in self.reports.iter_mut().flatten() {
            taint(report, &self.faults);
        }

        let interrupted = matches!(end, End::Interrupted | End::Enough);
        let rerun = self
            .expected
            .iter()
            .zip(&self.reports)
            .filter(|(_, report)| report.is_none() && !interrupted)
            .map(|(test, _)| test.name.clone())
            .collect();
        let settled = self.reports.into_iter().flatten().collect();
        Judgement { settled, ended_by, version: self.version, rerun }
    }

    /// Why the boot did not come to its regular end, if it did not.
    fn cause_of_death(&self, end: &End) -> Option<(Status, Cause, Fault)> {
        if let End::Interrupted | End::Enough = end {
            return None;
        }
        let xen = || self.xen.headline();
        if self.xen.vitals() > Vitals::Alive && self.result.is_none() || self.xen.has_panicked() {
            let words = xen().unwrap_or_else(|| "Xen died".into());
            return Some((Status::Crash, Cause::Xen, Fault::Told(words)));
        }
        if self.result.is_some() {
            if let Some(panic) = &self.panic {
                let line = panic.lines.first().cloned().unwrap_or_default();
                let why = format!("the guest stopped: {line}");
                return Some((Status::Error, Cause::Guest, Fault::Told(why)));
            }
            return self.running.as_ref().map(|_| {
                let why = "the last line came before the test ended";
                (Status::Error, Cause::Guest, Fault::Protocol(why.into()))
            });
        }
        if let Some(line) = self.panic.as_ref().and_then(|panic| panic.lines.first()) {
            let why = format!("the guest died: {line}");
            return Some((Status::Crash, Cause::Guest, Fault::Told(why)));
        }
        let (status, cause, why) = match end {
            End::Exited => match xen() {
                Some(words) => (Status::Crash, Cause::Xen, words),
                None => {
                    let words = "the machine was reset without a message from Xen (a triple fault, \
                                 or a shutdown without a result)";
                    (Status::Crash, Cause::Reset, words.into())
                }
            },
            End::XenDied => (Status::Crash, Cause::Xen, xen().unwrap_or_else(|| "Xen died".into())),
            End::TimedOut(what) if self.bytes <= GUEST_FLOOD_LIMIT => {
                (Status::Timeout, Cause::Time, what.clone())
            }
            End::TimedOut(what) => (Status::Crash, Cause::Flood, self.flood(what)),
            End::Flooded => {
                let what = "the console was cut off because its output did not end";
                (Status::Crash, Cause::Flood, self.flood(what))
            }
            End::ToolDied(what) => (Status::Error, Cause::Qemu, what.clone()),
            End::Interrupted | End::Enough => return None,
        };
        Some((status, cause, Fault::Told(why)))
    }

    /// What came instead of a result until the end that `what` tells.
    fn flood(&self, what: &str) -> String {
        format!("console flood: {} MiB without a result; {what}", self.bytes >> 20)
    }

    /// Settles an early end; see the module's page for who is to blame.
    fn blame(&mut self, status: Status, cause: Cause, reason: Fault, now: Duration) {
        let panic = self.panic.take().unwrap_or_default();
        let words = if status == Status::Crash { self.xen.quote() } else { Vec::new() };
        let diagnostics = std::mem::take(&mut self.diagnostics);

        let running = self.running.take().and_then(|running| {
            if running.slot.is_none() {
                // Nobody selected it: its faults stay, the blame goes on.
                self.faults.extend(running.faults.iter().cloned());
            }
            running.slot.map(|slot| (slot, running))
        });
        let slots: Vec<usize> = if let Some((slot, running)) = running {
            let at_case = self.expected[slot].cases.get(running.cases.len()).cloned();
            let report = self.close(running, status, vec![reason], diagnostics, now);
            if let Some(report) = report {
                report.at_case = at_case;
            }
            vec![slot]
        } else if let Some(slot) = self.last_reported {
            if let Some(report) = &mut self.reports[slot] {
                report.status = report.status.max(status);
                report.reasons.push(format!("after its result was reported: {reason}"));
            }
            vec![slot]
        } else {
            let count = if self.plan.is_some() { 1 } else { self.expected.len() };
            let slots: Vec<usize> = (0..count.min(self.expected.len())).collect();
            for &slot in &slots {
                let open = Running::unbegun(slot, &self.expected[slot].name, now);
                let why = format!("before the first test began: {reason}");
                self.close(open, status, vec![Fault::Told(why)], diagnostics.clone(), now);
            }
            slots
        };
        for slot in slots {
            if let Some(report) = &mut self.reports[slot] {
                report.diagnostics.extend(panic.lines.iter().cloned());
                report.backtrace.clone_from(&panic.backtrace);
                report.xen_words.clone_from(&words);
                report.cause = Some(cause);
            }
        }
    }

    /// The checks of a boot that came to its regular end.
    fn check_whole(&mut self, now: Duration) {
        self.options.end();
        if self.plan.is_none() {
            self.fault("no plan line for the run");
        }
        if !self.banner {
            self.fault("no banner");
        }
        if !self.ktap {
            self.fault("no KTAP header");
        }
        if !self.environment_seen {
            self.fault("no environment line");
        }
        let said = self.result;
        let computed = Status::of_parts(self.guest_statuses.iter().copied());
        if let (Some(said), Some(computed)) = (said, computed)
            && said != computed
        {
            self.fault(format!("the last line says {said}, but the tests give {computed}"));
        }
        for slot in 0..self.expected.len() {
            if self.reports[slot].is_none() {
                let open = Running::unbegun(slot, &self.expected[slot].name, now);
                let why = "selected, but not reported before the last line".into();
                self.close(open, Status::Error, vec![Fault::Protocol(why)], Vec::new(), now);
            }
        }
    }
}

/// A fault of the whole boot casts doubt on every result in it.
fn taint(report: &mut TestReport, faults: &[Fault]) {
    if !faults.is_empty() {
        report.status = report.status.max(Status::Error);
        report.reasons.extend(faults.iter().map(Fault::to_string));
    }
}

#[cfg(test)]
mod tests;

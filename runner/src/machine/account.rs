//! What is told of a boot in a [session](super::session) while it goes on, and what its end leaves to
//! be done.

use std::collections::BTreeMap;
use std::time::Duration;

use super::findings::{Findings, Shared};
use super::job::{Job, Rest, SoFar};
use crate::base::source_lines;
use crate::image::Image;
use crate::judge::splitter::{Line, Speaker};
use crate::judge::{Cause, EndedIn, Event, Judgement, TestReport, Verdict};
use crate::machine::debug::Debug;
use crate::plan::select::MAX_TEST_LIST;
use crate::results::event::{BootFacts, RunEvent, SettledTest};
use crate::results::expect::Subject;
use crate::results::policy::Policy;
use crate::results::{Evidence, Unit};
use crate::xen::hypervisor::XenUnderTest;

/// So many boots go on with a test, for each attempt: who wants to know the deaths one by one gets
/// them, and a Xen that dies of everything does not cost a boot for each of hundreds of cases.
const MAX_FURTHER: usize = 10;
/// After so many cases without a result in time, no boot goes on: each took the test's whole time.
const MAX_TIMEOUTS: usize = 3;

/// What the listener was told of a boot so far.
pub(super) struct Account<'s, 'l> {
    policy: &'s Policy,
    image: &'s Image,
    debug: Debug,
    job: &'s Job<'s>,
    shared: &'s Shared<'l>,
    xen: &'s XenUnderTest,
    /// What its tests are told under, where they were not planned but only heard of.
    column: Option<String>,
    /// What it calls itself, if it came to that.
    version: Option<String>,
    /// The tests that are settled, by name.
    told: BTreeMap<String, SettledTest>,
}

/// What the end of a boot leaves to be done.
pub(super) struct Ended {
    /// Tests that failed and are tried again.
    pub(super) again: Vec<String>,
    /// The test in which it ended, unless that is done with.
    pub(super) rest: Option<Rest>,
    /// Whether any test in it counts against the run.
    pub(super) bad: bool,
}

impl<'s, 'l> Account<'s, 'l> {
    /// Of the boot for `job`, of which nothing was told yet.
    pub(super) fn new(
        policy: &'s Policy,
        image: &'s Image,
        debug: Debug,
        job: &'s Job<'s>,
        shared: &'s Shared<'l>,
    ) -> Self {
        let version = job.begun.as_ref().and_then(|begun| begun.so_far.version.clone());
        let (xen, told) = (job.boot.xen, BTreeMap::new());
        Account { policy, image, debug, job, shared, xen, column: None, version, told }
    }

    /// Of a boot of which nobody knows beforehand what it runs: its tests are told under `column`.
    pub(super) fn hearing(self, column: String) -> Self {
        Account { column: Some(column), ..self }
    }

    /// What the boot's tests are told under.
    fn column(&self) -> &str {
        self.column.as_deref().unwrap_or(self.xen.name())
    }

    /// Where the `test` has its place among all.
    fn index_of(&self, test: &str, findings: &mut Findings<'_>) -> usize {
        let Job { number, first, boot, .. } = self.job;
        match &self.column {
            None => self.job.index_of(test),
            Some(column) => {
                let (xen, environment) = (column.clone(), boot.environment);
                let unit = Unit { xen, environment, test: test.to_owned() };
                findings.place_of(*number, *first, &unit)
            }
        }
    }

    fn tell(&self, event: &RunEvent<'_>) {
        self.shared.lock().listener.event(event);
    }

    /// The boot begins, of which a person should know the `note`.
    pub(super) fn begin(&self, facts: &BootFacts<'_>, note: Option<&str>) {
        let Job { number, boot, .. } = self.job;
        let names: Vec<&str> = boot.tests.iter().map(|test| test.name()).collect();
        self.tell(&RunEvent::BootStarted {
            boot: *number,
            xen: self.column(),
            environment: boot.environment,
            tests: &names,
            facts,
        });
        if let Some(text) = note {
            self.tell(&RunEvent::Note { boot: *number, text });
        }
        if self.debug == Debug::Gdb {
            let command = Debug::Gdb.gdb_command(facts.logs, self.xen.symbols.as_deref());
            let text =
                format!("the machine waits for a debugger; in another terminal, run:\n{command}");
            self.tell(&RunEvent::Note { boot: *number, text: &text });
        }
    }

    /// Something happened on the console.
    pub(super) fn event(&mut self, event: &Event) {
        let boot = self.job.number;
        let began = self.job.began_in();
        match event {
            Event::Line(Line { speaker: Speaker::Guest, text }) => {
                self.tell(&RunEvent::GuestLine { boot, text });
            }
            Event::Xen(text) => self.version = Some(text.clone()),
            Event::Sights(sights) => self.tell(&RunEvent::XenSeen { boot, sights }),
            Event::TestStarted(test) => {
                self.index_of(test, &mut self.shared.lock());
                self.tell(&RunEvent::TestStarted { boot, test });
            }
            Event::TestSettled(report) => {
                let amended = self.job.begun.is_some();
                let index = self.index_of(&report.name, &mut self.shared.lock());
                let outcome = SettledTest { amended, ..self.weigh(self.job.whole(report), index) };
                self.tell(&RunEvent::TestSettled { boot: began, outcome: &outcome });
                self.told.insert(outcome.report.name.clone(), outcome);
            }
            Event::Line(_) | Event::TestEnded | Event::Final => {}
        }
    }

    /// The boot is over: what was not told of its tests yet, or has become worse.
    pub(super) fn end(
        mut self,
        judgement: &Judgement,
        elapsed: Duration,
        findings: &mut Findings<'_>,
    ) -> Ended {
        let boot = self.job.number;
        let version = judgement.version.as_deref();
        let began = self.job.began_in();
        let mut ended = Ended { again: Vec::new(), rest: None, bad: false };
        for report in &judgement.settled {
            let report = self.job.whole(report);
            let told = self.told.remove(&report.name);
            let known = told.as_ref().is_some_and(|told| told.report == report);
            let index = self.index_of(&report.name, findings);
            let mut outcome = match told {
                Some(told) if known => told,
                told => {
                    let amended = self.job.begun.is_some() || told.is_some();
                    SettledTest { amended, ..self.weigh(report, index) }
                }
            };
            let report = &outcome.report;
            let in_it = judgement.ended_in.as_ref().filter(|place| place.test == report.name);
            let rest = in_it.and_then(|place| self.rest(place, judgement.ended_by, report));
            let rest = rest.transpose().unwrap_or_else(|why| {
                outcome.weighed.reasons.push(why);
                None
            });
            match rest {
                Some(rest) => ended.rest = Some(rest),
                None if outcome.again => ended.again.push(outcome.report.name.clone()),
                None => {}
            }
            findings.statuses.insert(outcome.index, outcome.weighed.status);
            ended.bad |= outcome.weighed.status.is_bad();
            if !known {
                findings.listener.event(&RunEvent::TestSettled { boot: began, outcome: &outcome });
            }
        }
        if self.column.is_some() {
            // Nobody can boot them once more.
            for name in &judgement.rerun {
                self.index_of(name, findings);
            }
        }
        let ended_by = judgement.ended_by;
        findings.listener.event(&RunEvent::BootEnded { boot, elapsed, version, ended_by });
        ended
    }

    /// How a test goes on that the boot ended in, as far as its whole `report` goes; an error is
    /// why it does not.
    fn rest(
        &self,
        place: &EndedIn,
        cause: Option<Cause>,
        report: &TestReport,
    ) -> Option<std::result::Result<Rest, String>> {
        // A tool that fails and a console that overflows do so again; who debugs has seen enough.
        let by_case = matches!(cause, Some(Cause::Xen | Cause::Guest | Cause::Reset | Cause::Time));
        if !by_case || self.debug != Debug::No {
            return None;
        }
        let selected = self.job.selected(&place.test)?.behind(&place.case)?;
        let in_time = |verdict: &Verdict| !matches!(verdict, Verdict::Timeout(_));
        let timeouts = report.cases.iter().filter(|case| !in_time(&case.verdict)).count();
        Some(if report.went_on.len() >= MAX_FURTHER {
            Err(format!("the rest is not run: {} boots ended early", report.went_on.len() + 1))
        } else if timeouts >= MAX_TIMEOUTS {
            Err(format!("the rest is not run: {timeouts} cases had no result in time"))
        } else if selected.selector.len() > MAX_TEST_LIST {
            Err("the rest is not run: its selection exceeds the guest's command line".into())
        } else {
            let (behind, version) = (place.case.clone(), self.version.clone());
            Ok(Rest { selected, so_far: SoFar { behind, version, report: report.clone() } })
        })
    }

    /// The `report` of the test at `index` with all that belongs to it.
    fn weigh(&self, report: TestReport, index: usize) -> SettledTest {
        let Account { policy, image, .. } = self;
        let environment = self.job.boot.environment;
        let attempt = self.job.attempt;
        let version = self.version.as_deref();
        let subject = Subject { xen: self.xen.name(), version, environment };
        let mut weighed = policy.expectations.weigh(&report, subject);
        let again = weighed.status.is_bad() && attempt <= policy.retries;
        let flaky = attempt > 1 && !weighed.status.is_bad();
        if flaky && policy.flaky_fails {
            weighed.fails(format!("flaky: passed only at attempt {attempt}"));
        }
        let placed = |words: &[String]| match &self.xen.symbols {
            Some(syms) if !words.is_empty() => source_lines::of_xen(words, syms),
            _ => words.to_vec(),
        };
        let evidence = report.seen().map(|(diagnostics, backtrace, xen_words)| Evidence {
            diagnostics: diagnostics.to_vec(),
            backtrace: source_lines::describe(&image.path, backtrace),
            xen_words: placed(xen_words),
        });
        SettledTest {
            xen: self.column().to_owned(),
            environment,
            evidence: evidence.collect(),
            index,
            report,
            weighed,
            flaky,
            attempt,
            again,
            amended: false,
        }
    }
}

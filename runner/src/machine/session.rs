//! Runs the boots of a plan, several at a time.
//!
//! Each worker is a thread that starts its own QEMUs, which die with it. Tests that a boot did not
//! reach go back into the queue. So does a test in whose case the boot ended, for the cases behind
//! that one: what the boots of a test say is one report.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::base::exit::{Error, Exit, Result};
use crate::base::signals::StopSignal;
use crate::base::source_lines;
use crate::base::status::Status;
use crate::image::{Image, TestMeta};
use crate::judge::splitter::{Line, Speaker};
use crate::judge::{Cause, EndedIn, Event, Judgement, TestReport, Verdict};
use crate::machine::Boot;
use crate::machine::backend::{Backend, Prepared, judge_of};
use crate::machine::boot::{self, BootResult, Limits};
use crate::machine::debug::Debug;
use crate::machine::job::{Job, Rest, SoFar};
use crate::machine::logs::{BootLogs, RunLogs};
use crate::machine::queue::{Piece, Queue};
use crate::plan::select::MAX_TEST_LIST;
use crate::results::event::{BootFacts, Listener, RunEvent, SettledTest};
use crate::results::expect::Subject;
use crate::results::policy::Policy;
use crate::results::{Evidence, Unit};
use crate::xen::hypervisor::XenUnderTest;
use protocol::metadata::Environment;

/// So many boots go on with a test, for each attempt: who wants to know the deaths one by one gets
/// them, and a Xen that dies of everything does not cost a boot for each of hundreds of cases.
const MAX_FURTHER: usize = 10;
/// After so many cases without a result in time, no boot goes on: each took the test's whole time.
const MAX_TIMEOUTS: usize = 3;

/// As many boots at a time as there are CPUs for them.
pub fn cpus() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Everything that the boots of a run share.
pub struct Session<'a> {
    /// What carries them out.
    pub backend: &'a dyn Backend,
    /// What to run.
    pub image: &'a Image,
    /// Whether somebody looks on with a debugger.
    pub debug: Debug,
    /// Where everything is written down.
    pub logs: RunLogs,
    /// Whether the user wants it to end.
    pub stop: &'a StopSignal,
    /// CPUs' worth of boots at a time.
    pub jobs: NonZeroUsize,
    /// What counts as a success.
    pub policy: Policy,
    /// Time for a test.
    pub test_time: &'a (dyn Fn(&TestMeta) -> Duration + Sync),
    /// Time limit from power on to the first test, and between two tests.
    pub boot_timeout: Duration,
}

/// What the workers have found so far.
struct Findings<'l> {
    listener: &'l mut dyn Listener,
    /// By index in the plan; of several attempts the last counts.
    statuses: BTreeMap<usize, Status>,
    tool_failed: bool,
    /// Xens that cannot be dom0's in an environment, as a boot has shown, and why.
    inabilities: Vec<(String, Environment, &'static str)>,
    /// What ended the session.
    error: Option<Error>,
}

/// [`Findings`], for one worker at a time.
struct Shared<'l>(Mutex<Findings<'l>>);

impl<'l> Shared<'l> {
    /// Why `boot` cannot be, if one like it has shown that.
    fn inability(&self, boot: &Boot<'_>) -> Option<&'static str> {
        let findings = self.lock();
        let mut known = findings.inabilities.iter();
        let same =
            |xen: &str, environment| (xen, environment) == (boot.xen.name(), boot.environment);
        known.find(|(xen, environment, _)| same(xen, *environment)).map(|(.., why)| *why)
    }

    fn lock(&self) -> MutexGuard<'_, Findings<'l>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session<'_> {
    /// Runs the boots, and once more the tests that a boot's early end left out.
    pub fn run(&self, boots: Vec<Boot<'_>>, listener: &mut dyn Listener) -> Result<Exit> {
        let start = Instant::now();
        let plan: Vec<Unit> = boots.iter().flat_map(|boot| self.units(boot)).collect();
        let logs = self.logs.dir();
        listener.event(&RunEvent::RunStarted { boots: boots.len(), plan: &plan, logs });

        let workers = self.jobs.get().min(boots.len());
        let next_number = AtomicUsize::new(boots.len() + 1);
        let mut first = 0;
        let jobs = (1..).zip(boots).map(|(number, boot)| {
            let planned: Vec<String> =
                boot.tests.iter().map(|test| test.name().to_owned()).collect();
            let job = Job { number, attempt: 1, first, planned, boot, begun: None };
            first += job.planned.len();
            (usize::try_from(job.boot.machine.vcpus).unwrap_or(usize::MAX), job)
        });
        let queue = Queue::new(self.jobs.get(), jobs);
        let shared = Shared(Mutex::new(Findings {
            listener,
            statuses: BTreeMap::new(),
            tool_failed: false,
            inabilities: Vec::new(),
            error: None,
        }));
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some(piece) = queue.take() {
                        if self.stop.requested().is_some() {
                            queue.close();
                        } else if let Err(error) = self.settle(&piece, &next_number, &shared) {
                            // Boots that are under way come to their end.
                            queue.close();
                            shared.lock().error.get_or_insert(error);
                        }
                    }
                });
            }
        });

        let findings = shared.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let stopped = self.stop.requested();
        let results = Status::of_parts(findings.statuses.into_values());
        let results = results.map_or(Exit::Success, Exit::from);
        let tool = findings.tool_failed.then_some(Exit::Tool);
        let failed = findings.error.as_ref().map(Error::exit);
        let exit = [Some(results), tool, stopped, failed].into_iter().flatten().max();
        let exit = exit.unwrap_or(results);
        let error = findings.error.as_ref().map(Error::to_string);
        findings.listener.event(&RunEvent::RunEnded {
            elapsed: start.elapsed(),
            stopped,
            error: error.as_deref(),
            exit,
        });
        findings.error.map_or(Ok(exit), Err)
    }

    /// What `boot` is to run, in the words of the results.
    fn units(&self, boot: &Boot<'_>) -> Vec<Unit> {
        let tests = boot.tests.iter().map(|test| Unit {
            xen: boot.xen.name().to_owned(),
            environment: boot.environment,
            test: test.name().to_owned(),
        });
        tests.collect()
    }

    /// One boot, from its first event to its last; an error is the end of the session.
    fn settle(
        &self,
        piece: &Piece<'_, Job<'_>>,
        next_number: &AtomicUsize,
        shared: &Shared<'_>,
    ) -> Result<()> {
        let job = &piece.work;
        let boot = &job.boot;
        let mut logs = self.logs_of(job)?;
        let time_of = |name: &str| {
            let found = job.selected(name);
            found.map_or(self.boot_timeout, |selected| (self.test_time)(&selected.test))
        };
        let limits = Limits { debug: self.debug, ..Limits::new(self.boot_timeout, &time_of) };
        let prepared = match shared.inability(boot) {
            Some(why) => Prepared::not(boot, why.to_owned())?,
            None => self.backend.prepare(boot, &limits, self.stop, &mut logs)?,
        };
        let mut account = Account::new(self, job, shared);
        account.begin(&prepared, logs.dir());

        let start = Instant::now();
        let outcome = match prepared.start {
            Ok((carrier, judge)) => {
                let mut on_event = |event: &Event| account.event(event);
                boot::run(carrier.as_ref(), judge, &limits, self.stop, &mut logs, &mut on_event)
            }
            Err(why) => logs.decision(&format!("skipped: {why}")).map(|()| BootResult {
                judgement: judge_of(boot).skip(&why),
                tool_failure: None,
                kept: None,
            }),
        };
        let elapsed = start.elapsed();

        let mut findings = shared.lock();
        let BootResult { mut judgement, tool_failure, kept } = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                let (boot, version, ended_by) = (job.number, None, None);
                findings.listener.event(&RunEvent::BootEnded { boot, elapsed, version, ended_by });
                return Err(error);
            }
        };
        if let Some(why) = judgement.inability() {
            logs.decision(&format!("skipped: {why}"))?;
            findings.inabilities.push((boot.xen.name().to_owned(), boot.environment, why));
            judgement = judge_of(boot).skip(why);
        }
        let ended = account.end(&judgement, elapsed, &mut findings);
        let number = || next_number.fetch_add(1, Ordering::Relaxed);
        let enqueue = |names: &[String], attempt| {
            if !names.is_empty() {
                piece.push(job.again(number(), names, attempt));
            }
        };
        // What is pushed last runs first: nothing is tried again before all was tried once.
        enqueue(&ended.again, job.attempt + 1);
        enqueue(&judgement.rerun, job.attempt);
        if let Some(rest) = ended.rest {
            let (number, behind) = (number(), rest.so_far.behind.clone());
            logs.decision(&format!("boot {number} goes on behind {behind}"))?;
            logs.flush()?;
            job.further(number, rest).into_iter().for_each(|further| piece.push(further));
        }
        if let Some(failure) = tool_failure {
            findings.tool_failed = true;
            if failure.at_start {
                return Err(Error::Tool(failure.what));
            }
        }
        if let Some(machine) = kept.filter(|_| ended.bad) {
            let text = machine.describe(boot.xen.symbols.as_deref());
            findings.listener.event(&RunEvent::Note { boot: job.number, text: &text });
            drop(findings);
            machine.wait(self.stop)?;
        }
        Ok(())
    }

    /// The folder of a boot.
    fn logs_of(&self, job: &Job<'_>) -> Result<BootLogs> {
        let Job { number, boot, .. } = job;
        let xen = boot.xen.name();
        let title = match boot.tests.as_slice() {
            [only] => format!("{xen}-{}-{}", boot.environment.name(), only.name()),
            _ => format!("{xen}-{}", boot.environment.name()),
        };
        let dir = self.logs.boot(*number, &title);
        BootLogs::create(dir, boot.xen.elf(), &self.image.path)
    }
}

/// What the listener was told of a boot so far.
struct Account<'s, 'l> {
    session: &'s Session<'s>,
    job: &'s Job<'s>,
    shared: &'s Shared<'l>,
    xen: &'s XenUnderTest,
    /// What it calls itself, if it came to that.
    version: Option<String>,
    reports: Vec<TestReport>,
}

/// What the end of a boot leaves to be done.
struct Ended {
    /// Tests that failed and are tried again.
    again: Vec<String>,
    /// The test in which it ended, unless that is done with.
    rest: Option<Rest>,
    /// Whether any test in it counts against the run.
    bad: bool,
}

impl<'s, 'l> Account<'s, 'l> {
    fn new(session: &'s Session<'s>, job: &'s Job<'s>, shared: &'s Shared<'l>) -> Self {
        let version = job.begun.as_ref().and_then(|begun| begun.so_far.version.clone());
        Account { session, job, shared, xen: job.boot.xen, version, reports: Vec::new() }
    }

    fn tell(&self, event: &RunEvent<'_>) {
        self.shared.lock().listener.event(event);
    }

    /// The boot begins, with its logs in `dir`.
    fn begin(&self, prepared: &Prepared<'_>, dir: &Path) {
        let Job { number, boot, .. } = self.job;
        let names: Vec<&str> = boot.tests.iter().map(|test| test.name()).collect();
        let command = prepared.start.as_ref().map(|(carrier, _)| carrier.again());
        let facts = BootFacts {
            provenance: &prepared.provenance,
            build_id: self.xen.build_id.as_deref(),
            backend: prepared.backend,
            mode: prepared.mode,
            command: command.as_deref().unwrap_or_default(),
            logs: dir,
        };
        self.tell(&RunEvent::BootStarted {
            boot: *number,
            xen: self.xen.name(),
            environment: boot.environment,
            tests: &names,
            facts: &facts,
        });
        if let Some(text) = &prepared.note {
            self.tell(&RunEvent::Note { boot: *number, text });
        }
        if self.session.debug == Debug::Gdb {
            let command = Debug::Gdb.gdb_command(dir, self.xen.symbols.as_deref());
            let text =
                format!("the machine waits for a debugger; in another terminal, run:\n{command}");
            self.tell(&RunEvent::Note { boot: *number, text: &text });
        }
    }

    /// Something happened on the console.
    fn event(&mut self, event: &Event) {
        let boot = self.job.number;
        let began = self.job.began_in();
        match event {
            Event::Line(Line { speaker: Speaker::Guest, text }) => {
                self.tell(&RunEvent::GuestLine { boot, text });
            }
            Event::Xen(text) => self.version = Some(text.clone()),
            Event::Sights(sights) => self.tell(&RunEvent::XenSeen { boot, sights }),
            Event::TestStarted(test) => self.tell(&RunEvent::TestStarted { boot, test }),
            Event::TestSettled(report) => {
                let report = self.job.whole(report);
                let amended = self.job.begun.is_some();
                let outcome = SettledTest { amended, ..self.weigh(report.clone()) };
                self.reports.push(report);
                self.tell(&RunEvent::TestSettled { boot: began, outcome: &outcome });
            }
            Event::Line(_) | Event::TestEnded | Event::Final => {}
        }
    }

    /// The boot is over: what was not told of its tests yet, or has become worse.
    fn end(&self, judgement: &Judgement, elapsed: Duration, findings: &mut Findings<'_>) -> Ended {
        let boot = self.job.number;
        let version = judgement.version.as_deref();
        let began = self.job.began_in();
        let mut ended = Ended { again: Vec::new(), rest: None, bad: false };
        for report in &judgement.settled {
            let report = self.job.whole(report);
            let before = self.reports.iter().find(|other| other.name == report.name);
            let known = before == Some(&report);
            let amended = self.job.begun.is_some() || (before.is_some() && !known);
            let mut outcome = SettledTest { amended, ..self.weigh(report.clone()) };
            let in_it = judgement.ended_in.as_ref().filter(|place| place.test == report.name);
            let rest = in_it.and_then(|place| self.rest(place, judgement.ended_by, &report));
            let rest = rest.transpose().unwrap_or_else(|why| {
                outcome.weighed.reasons.push(why);
                None
            });
            match rest {
                Some(rest) => ended.rest = Some(rest),
                None if outcome.again => ended.again.push(report.name),
                None => {}
            }
            findings.statuses.insert(outcome.index, outcome.weighed.status);
            ended.bad |= outcome.weighed.status.is_bad();
            if !known {
                findings.listener.event(&RunEvent::TestSettled { boot: began, outcome: &outcome });
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
        if !by_case || self.session.debug != Debug::No {
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

    /// The `report` of a test with all that belongs to it.
    fn weigh(&self, report: TestReport) -> SettledTest {
        let Session { policy, image, .. } = self.session;
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
            xen: self.xen.name().to_owned(),
            environment,
            evidence: evidence.collect(),
            index: self.job.index_of(&report.name),
            report,
            weighed,
            flaky,
            attempt,
            again,
            amended: false,
        }
    }
}

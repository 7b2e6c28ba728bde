//! Runs the boots of a plan, several at a time.
//!
//! Each worker is a thread that starts its own QEMUs, which die with it. Tests that a boot did not
//! reach go back into the queue.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::base::exit::{Error, Exit, Result};
use crate::base::lines as symbols;
use crate::base::signals::StopSignal;
use crate::base::status::Status;
use crate::image::{Image, TestMeta};
use crate::judge::console::{Line, Source};
use crate::judge::{Event, Judge, TestReport};
use crate::machine::boot::{self, BootResult, ConsoleProcess, Limits};
use crate::machine::debug::Debug;
use crate::machine::logs::{BootLogs, RunLogs};
use crate::machine::queue::{Piece, Queue};
use crate::plan::Boot;
use crate::results::Place;
use crate::results::event::{BootFacts, Listener, RunEvent, TestOutcome};
use crate::results::expect::Subject;
use crate::results::policy::Policy;
use crate::xen::hypervisor;

/// What carries out boots.
pub trait Backend: Sync {
    /// What the boots of this index run on, as the user calls it.
    fn xen_name(&self, xen: usize) -> &str;

    /// Xen's file, where this side has it.
    fn xen_file(&self, xen: usize) -> Option<&Path>;

    /// Makes ready what a boot takes.
    fn prepare<'s>(
        &'s self,
        boot: &Boot<'_>,
        limits: &Limits<'_>,
        stop: &StopSignal,
        logs: &mut BootLogs,
    ) -> Result<Prepared<'s>>;
}

/// A boot that is about to begin.
pub struct Prepared<'s> {
    /// Where its Xen came from.
    pub provenance: String,
    /// The backend's name.
    pub backend: &'static str,
    /// How time runs, and on what.
    pub mode: &'static str,
    /// What the user should know of it.
    pub note: Option<String>,
    /// What it is started with and who judges it; or why it cannot be.
    pub start: std::result::Result<(Box<dyn ConsoleProcess + 's>, Judge), String>,
}

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
    /// The xen-syms of each, where there is one.
    pub xen_syms: &'a [Option<PathBuf>],
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

/// A boot in the queue.
struct Job<'a> {
    /// Its number.
    number: usize,
    boot: Boot<'a>,
    /// From 1 on.
    attempt: usize,
    /// Where the plan has the boot's first test,
    place: usize,
    /// and all that the plan has from there on.
    planned: Vec<&'a str>,
}

impl Job<'_> {
    fn place_of(&self, test: &str) -> usize {
        let offset = self.planned.iter().position(|name| *name == test);
        self.place + offset.unwrap_or(self.planned.len())
    }
}

/// What the workers have found so far.
struct Findings<'l> {
    listener: &'l mut dyn Listener,
    /// By place in the plan; of several attempts the last counts.
    statuses: BTreeMap<usize, Status>,
    tool_failed: bool,
    /// What ended the session.
    error: Option<Error>,
}

/// [`Findings`], for one worker at a time.
struct Shared<'l>(Mutex<Findings<'l>>);

impl<'l> Shared<'l> {
    fn lock(&self) -> MutexGuard<'_, Findings<'l>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session<'_> {
    /// Runs the boots, and once more the tests that a boot's early end left out.
    pub fn run(&self, boots: Vec<Boot<'_>>, listener: &mut dyn Listener) -> Result<Exit> {
        let start = Instant::now();
        let plan: Vec<Place> = boots.iter().flat_map(|boot| self.places(boot)).collect();
        let logs = self.logs.dir();
        listener.event(&RunEvent::RunStarted { boots: boots.len(), plan: &plan, logs });

        let workers = self.jobs.get().min(boots.len());
        let next_number = AtomicUsize::new(boots.len() + 1);
        let mut place = 0;
        let jobs = (1..).zip(boots).map(|(number, boot)| {
            let planned: Vec<&str> = boot.tests.iter().map(|test| test.name.as_str()).collect();
            let job = Job { number, attempt: 1, place, planned, boot };
            place += job.planned.len();
            (usize::try_from(job.boot.machine.vcpus).unwrap_or(usize::MAX), job)
        });
        let queue = Queue::new(self.jobs.get(), jobs);
        let shared = Shared(Mutex::new(Findings {
            listener,
            statuses: BTreeMap::new(),
            tool_failed: false,
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
    fn places(&self, boot: &Boot<'_>) -> Vec<Place> {
        let tests = boot.tests.iter().map(|test| Place {
            xen: self.backend.xen_name(boot.xen).to_owned(),
            environment: boot.environment,
            test: test.name.clone(),
        });
        tests.collect()
    }

    /// One boot, from its first event to its last; an error is the end of the session.
    fn settle<'b>(
        &self,
        piece: &Piece<'_, Job<'b>>,
        next_number: &AtomicUsize,
        shared: &Shared<'_>,
    ) -> Result<()> {
        let Job { number, boot, attempt, place, planned } = &piece.work;
        let (number, attempt) = (*number, *attempt);
        let xen = self.backend.xen_name(boot.xen);
        let environment = boot.environment;
        let names: Vec<&str> = boot.tests.iter().map(|test| test.name.as_str()).collect();
        let title = match names.as_slice() {
            [only] => format!("{xen}-{}-{only}", environment.name()),
            _ => format!("{xen}-{}", environment.name()),
        };
        let elf = self.backend.xen_file(boot.xen);
        let mut logs = self.logs.boot(number, &title, elf, &self.image.path)?;
        let time_of = |name: &str| {
            let test = boot.tests.iter().find(|test| test.name == name);
            test.map_or(self.boot_timeout, |test| (self.test_time)(test))
        };
        let limits = Limits {
            boot: self.boot_timeout,
            test: &time_of,
            enough: &boot::never_enough,
            debug: self.debug,
        };
        let Prepared { provenance, backend, mode, note, start: ready } =
            self.backend.prepare(boot, &limits, self.stop, &mut logs)?;
        let dir = logs.dir().to_owned();
        let build_id = elf.and_then(hypervisor::build_id);
        let command = ready.as_ref().map_or_else(|_| String::new(), |(carrier, _)| carrier.again());
        let facts = BootFacts {
            provenance: &provenance,
            build_id: build_id.as_deref(),
            backend,
            mode,
            command: &command,
            logs: &dir,
        };
        let started =
            RunEvent::BootStarted { boot: number, xen, environment, tests: &names, facts: &facts };
        shared.lock().listener.event(&started);
        let xen_syms = self.xen_syms.get(boot.xen).and_then(Option::as_deref);
        if let Some(text) = &note {
            shared.lock().listener.event(&RunEvent::Note { boot: number, text });
        }
        if self.debug == Debug::Gdb {
            let command = Debug::Gdb.gdb_command(logs.dir(), xen_syms);
            let note =
                format!("the machine waits for a debugger; in another terminal, run:\n{command}");
            shared.lock().listener.event(&RunEvent::Note { boot: number, text: &note });
        }

        let mut version = None;
        let settle = |report: TestReport, version: Option<&str>| {
            let subject = Subject { xen, version, environment };
            let place = piece.work.place_of(&report.name);
            let outcome = self.outcome(report, subject, attempt, place);
            match xen_syms.filter(|_| !outcome.xen_words.is_empty()) {
                Some(syms) => {
                    let xen_words = symbols::of_xen(&outcome.xen_words, syms);
                    TestOutcome { xen_words, ..outcome }
                }
                None => outcome,
            }
        };
        let mut told: Vec<TestReport> = Vec::new();
        let start = Instant::now();
        let mut on_event = |event: &Event| match event {
            Event::Line(Line { source: Source::Guest, text }) => {
                shared.lock().listener.event(&RunEvent::GuestLine { boot: number, text });
            }
            Event::Xen(text) => version = Some(text.clone()),
            Event::TestStarted(test) => {
                shared.lock().listener.event(&RunEvent::TestStarted { boot: number, test });
            }
            Event::TestSettled(report) => {
                let outcome = settle(report.as_ref().clone(), version.as_deref());
                told.push(report.as_ref().clone());
                let settled = RunEvent::TestSettled { boot: number, outcome: &outcome };
                shared.lock().listener.event(&settled);
            }
            Event::Line(_) | Event::TestEnded | Event::Final => {}
        };
        let outcome = match ready {
            Ok((carrier, judge)) => {
                boot::run(carrier.as_ref(), judge, &limits, self.stop, &mut logs, &mut on_event)
            }
            Err(why) => logs.decision(&format!("skipped: {why}")).map(|()| BootResult {
                judgement: boot.judge().skip(&why),
                tool_failure: None,
                kept: None,
            }),
        };
        let elapsed = start.elapsed();

        let mut findings = shared.lock();
        let mut again = Vec::new();
        let mut bad = false;
        let BootResult { judgement, tool_failure, kept } = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                let ended =
                    RunEvent::BootEnded { boot: number, elapsed, version: None, ended_by: None };
                findings.listener.event(&ended);
                return Err(error);
            }
        };
        let version = judgement.version.as_deref();
        for report in judgement.settled {
            let before = told.iter().find(|other| other.name == report.name);
            let known = before == Some(&report);
            let amended = before.is_some() && !known;
            let outcome = TestOutcome { amended, ..settle(report, version) };
            findings.statuses.insert(outcome.place, outcome.weighed.status);
            bad |= outcome.weighed.status.is_bad();
            if outcome.again {
                again.push(outcome.report.name.clone());
            }
            if !known {
                let settled = RunEvent::TestSettled { boot: number, outcome: &outcome };
                findings.listener.event(&settled);
            }
        }
        let ended_by = judgement.ended_by;
        findings.listener.event(&RunEvent::BootEnded { boot: number, elapsed, version, ended_by });
        let enqueue = |names: &[String], attempt| {
            if !names.is_empty() {
                let number = next_number.fetch_add(1, Ordering::Relaxed);
                let (boot, planned) = (boot.again_for(names), planned.clone());
                piece.push(Job { number, boot, attempt, place: *place, planned });
            }
        };
        // What is pushed last runs first: nothing is tried again before all was tried once.
        enqueue(&again, attempt + 1);
        enqueue(&judgement.rerun, attempt);
        if let Some(failure) = tool_failure {
            findings.tool_failed = true;
            if failure.at_start {
                return Err(Error::Tool(failure.what));
            }
        }
        if let Some(machine) = kept.filter(|_| bad) {
            let text = machine.describe(xen_syms);
            findings.listener.event(&RunEvent::Note { boot: number, text: &text });
            drop(findings);
            machine.wait(self.stop)?;
        }
        Ok(())
    }

    /// The `report` of a test with all that belongs to it.
    fn outcome(
        &self,
        report: TestReport,
        subject: Subject<'_>,
        attempt: usize,
        place: usize,
    ) -> TestOutcome {
        let mut weighed = self.policy.expectations.weigh(&report, subject);
        let again = weighed.status.is_bad() && attempt <= self.policy.retries;
        let flaky = attempt > 1 && !weighed.status.is_bad();
        if flaky && self.policy.flaky_fails {
            weighed.fails(format!("flaky: passed only at attempt {attempt}"));
        }
        TestOutcome {
            xen: subject.xen.to_owned(),
            environment: subject.environment,
            frames: symbols::describe(&self.image.path, &report.backtrace),
            xen_words: report.xen_words.clone(),
            report,
            weighed,
            flaky,
            attempt,
            again,
            amended: false,
            place,
        }
    }
}

//! Turns the events of a run into its [`Document`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use protocol::console::NEWS;

use super::document::{
    Attempt, Boot, Case, Document, Host, Run, SCHEMA, Test, Unit, WentOn, seconds,
};
use super::verdict::VerdictKind;
use crate::base::exit::{Error, Exit};
use crate::image::{Image, TestMeta};
use crate::plan::partition::Partition;
use crate::results::again::Again;
use crate::results::event::{RunEvent, SettledTest};
use crate::results::expect::Expectations;

/// From when on a thing is slow, where nobody says otherwise.
const DEFAULT_SLOW: Duration = Duration::from_secs(10);

/// What the events don't say, as soon as it is known.
#[derive(Clone, Debug)]
pub struct About<'a> {
    /// What is run.
    pub image: &'a Image,
    /// QEMU's description of itself.
    pub qemu: &'a str,
    /// From when on a test or a case is slow.
    pub slow: Duration,
    /// What is known of the outcomes.
    pub expectations: Expectations,
    /// Every Xen and environment that there is was selected, with all tests that need no naming.
    pub whole_matrix: bool,
    /// Which share of what was selected is run.
    pub partition: Option<Partition>,
    /// How what failed is run once more; `None` where the command does not select tests.
    pub again: Option<Again>,
}

/// Remembers all that happens.
#[derive(Debug)]
pub struct Recorder {
    /// The run, as far as it is known beforehand.
    run: Run,
    started: Instant,
    /// All tests of the image.
    tests: Vec<TestMeta>,
    expectations: Expectations,
    whole_matrix: bool,
    again: Option<Again>,
    /// Keyed by their index in the plan.
    planned: BTreeMap<usize, Unit>,
    boots: BTreeMap<usize, Boot>,
    boot_started: BTreeMap<usize, Instant>,
    attempts: BTreeMap<usize, Vec<Attempt>>,
    /// Indices in the plan that passed after a failure.
    flaky: BTreeSet<usize>,
    /// Why the run is not whole, if that is known.
    trouble: Option<String>,
    /// When it ended, if it did.
    elapsed: Option<Duration>,
    exit: Option<Exit>,
}

impl Recorder {
    /// A recorder for `run`, which begins now.
    pub fn new(run: Run) -> Recorder {
        Recorder {
            run,
            started: Instant::now(),
            tests: Vec::new(),
            expectations: Expectations::default(),
            whole_matrix: false,
            again: None,
            planned: BTreeMap::new(),
            boots: BTreeMap::new(),
            boot_started: BTreeMap::new(),
            attempts: BTreeMap::new(),
            flaky: BTreeSet::new(),
            trouble: None,
            elapsed: None,
            exit: None,
        }
    }

    /// Now it is known what the run is about.
    pub fn is_about(&mut self, about: About<'_>) {
        let About { image, qemu, slow, expectations, whole_matrix, partition, again } = about;
        self.run.image.clone_from(&image.path);
        self.run.image_sha256.clone_from(&image.sha256);
        self.run.qemu = qemu.to_owned();
        self.run.slow_s = seconds(slow);
        self.run.partition = partition.map(|share| share.to_string());
        self.tests.clone_from(&image.tests);
        self.expectations = expectations;
        self.whole_matrix = whole_matrix;
        self.again = again;
    }

    /// All tests of the image, as far as they are known.
    pub fn tests(&self) -> &[TestMeta] {
        &self.tests
    }

    /// Takes the next event.
    pub fn event(&mut self, event: &RunEvent<'_>) {
        match event {
            RunEvent::GuestLine { .. } | RunEvent::Note { .. } => {}
            RunEvent::RunStarted { plan, logs, .. } => {
                self.started = Instant::now();
                self.run.logs = logs.to_path_buf();
                self.planned = plan.iter().cloned().enumerate().collect();
            }
            RunEvent::ListeningStarted { logs, .. } => {
                self.started = Instant::now();
                self.run.logs = logs.to_path_buf();
            }
            RunEvent::TestHeardOf { boot, index, unit } => {
                self.planned.insert(*index, (*unit).clone());
                if let Some(boot) = self.boots.get_mut(boot) {
                    boot.tests.push(unit.test.clone());
                }
            }
            RunEvent::BootStarted { boot, xen, environment, tests, facts } => {
                let logs = facts.logs.strip_prefix(&self.run.logs).unwrap_or(facts.logs);
                self.boot_started.extend(facts.power_on.map(|start| (*boot, start)));
                self.boots.insert(
                    *boot,
                    Boot {
                        number: *boot,
                        xen: (*xen).to_owned(),
                        provenance: facts.provenance.to_owned(),
                        version: None,
                        build_id: facts.build_id.map(str::to_owned),
                        environment: *environment,
                        backend: facts.backend.to_owned(),
                        loader: facts.loader.map(str::to_owned),
                        mode: facts.mode.to_owned(),
                        command: facts.command.to_owned(),
                        logs: logs.to_path_buf(),
                        tests: tests.iter().map(|test| (*test).to_owned()).collect(),
                        again: None,
                        boot_s: None,
                        elapsed_s: None,
                        ended_by: None,
                        recording: None,
                        changes: Vec::new(),
                        notes: Vec::new(),
                        payload_steps: Vec::new(),
                    },
                );
            }
            RunEvent::Recorded { boot, text } => {
                if let Some(boot) = self.boots.get_mut(boot) {
                    boot.recording = Some(text.lines().collect::<Vec<_>>().join("; "));
                }
            }
            RunEvent::XenSeen { boot, sights } => {
                if let Some(boot) = self.boots.get_mut(boot) {
                    boot.changes.clone_from(&sights.changes);
                    boot.notes.clone_from(&sights.notes);
                }
            }
            RunEvent::TestStarted { boot, .. } => {
                let since = self.boot_started.get(boot).map(Instant::elapsed);
                if let (Some(boot), Some(since)) = (self.boots.get_mut(boot), since) {
                    boot.boot_s.get_or_insert(seconds(since));
                }
            }
            RunEvent::TestSettled { boot, outcome } => self.settled(*boot, outcome),
            RunEvent::PayloadSteps { boot, steps } => {
                if let Some(boot) = self.boots.get_mut(boot) {
                    boot.payload_steps = steps.to_vec();
                }
            }
            RunEvent::BootEnded { boot, elapsed, version, ended_by } => {
                if let Some(boot) = self.boots.get_mut(boot) {
                    boot.elapsed_s = Some(seconds(*elapsed));
                    boot.version = version.map(str::to_owned);
                    boot.notes.extend(boot.of_development());
                    boot.ended_by = *ended_by;
                }
            }
            RunEvent::RunEnded { elapsed, stopped, error, exit } => {
                self.elapsed = Some(*elapsed);
                self.exit = Some(*exit);
                let name = |signal| if signal == Exit::Interrupted { "SIGINT" } else { "SIGTERM" };
                let stopped = stopped.map(|signal| format!("stopped by {}", name(signal)));
                self.trouble = error.map(str::to_owned).or(stopped);
            }
        }
    }

    /// No boot comes, because of `error`.
    pub fn did_not_start(&mut self, error: &Error) {
        self.elapsed = Some(self.started.elapsed());
        self.exit = Some(error.exit());
        self.trouble = Some(format!("the run did not start: {error}"));
    }

    fn settled(&mut self, boot: usize, outcome: &SettledTest) {
        let attempt = attempt_of(boot, outcome, self.run.slow_s);
        match outcome.flaky {
            true => self.flaky.insert(outcome.index),
            false => self.flaky.remove(&outcome.index),
        };
        let attempts = self.attempts.entry(outcome.index).or_default();
        // What a boot says in the end of a test replaces what it said before, and so does what came
        // of those that went on with it.
        match attempts.iter_mut().find(|other| other.boot == boot) {
            Some(other) => *other = attempt,
            None => attempts.push(attempt),
        }
    }

    /// The boot, with how it is made again if a test that was not alone in it failed.
    fn with_again(&self, boot: &Boot, results: &[Test]) -> Boot {
        let failed = |test: &Test| test.last.status.is_bad() && test.last.boot == boot.number;
        let names: Vec<&str> = boot.tests.iter().map(String::as_str).collect();
        let again = self.again.as_ref().filter(|_| names.len() > 1 && results.iter().any(failed));
        let again = again.and_then(|again| again.command(&boot.xen, boot.environment, &names));
        Boot { again, ..boot.clone() }
    }

    /// All that is known so far.
    pub fn document(&self) -> Document {
        let Recorder { run, tests, expectations, whole_matrix, .. } = self;
        let mut results = Vec::new();
        let mut not_run = Vec::new();
        for (index, unit) in &self.planned {
            let Some((last, earlier)) = self.attempts.get(index).and_then(|all| all.split_last())
            else {
                not_run.push(unit.clone());
                continue;
            };
            let meta = tests.iter().find(|test| test.name == unit.test);
            results.push(Test {
                unit: unit.clone(),
                title: meta.map(|meta| meta.title.clone()).unwrap_or_default(),
                declared: meta.map_or(last.cases.len(), |meta| meta.cases.len()),
                flaky: self.flaky.contains(index),
                again: (self.again.as_ref().filter(|_| last.status.is_bad()))
                    .and_then(|again| again.command(&unit.xen, unit.environment, &[&unit.test])),
                last: last.clone(),
                earlier: earlier.to_vec(),
            });
        }
        let ended = self.elapsed.is_some();
        let complete = ended && self.trouble.is_none() && not_run.is_empty();
        let otherwise = match (ended, run.logs.as_os_str().is_empty()) {
            (true, _) => "some tests have no result",
            (false, false) => "the run goes on",
            (false, true) => "the run has not started",
        };
        let because = self.trouble.clone().unwrap_or_else(|| otherwise.into());
        let run = Run {
            elapsed_s: seconds(self.elapsed.unwrap_or_else(|| self.started.elapsed())),
            exit_code: self.exit.map(|exit| exit as u8),
            ..run.clone()
        };
        let mut document = Document {
            schema: SCHEMA.into(),
            complete,
            incomplete_because: (!complete).then_some(because),
            run,
            boots: self.boots.values().map(|boot| self.with_again(boot, &results)).collect(),
            tests: results,
            not_run,
            expectations: Vec::new(),
            parts: Vec::new(),
            missing_shares: Vec::new(),
        };
        document.expectations = expectations.applied(&document, tests, *whole_matrix && complete);
        document
    }
}

/// A settled test, as the document has it; from `slow_s` seconds on a thing is slow.
pub fn attempt_of(boot: usize, outcome: &SettledTest, slow_s: f64) -> Attempt {
    let SettledTest { report, weighed, .. } = outcome;
    let cases = report.cases.iter().zip(&weighed.cases).map(|(case, known)| {
        let (verdict, why): (VerdictKind, Option<String>) = (&case.verdict).into();
        let told = |line: &&String| known.is_some() && line.starts_with(NEWS);
        Case {
            name: case.name.clone(),
            verdict,
            why,
            known: known.clone(),
            diagnostics: case.diagnostics.iter().filter(|line| !told(line)).cloned().collect(),
            elapsed_s: seconds(case.elapsed),
            slow: case.elapsed.as_secs_f64() >= slow_s,
        }
    });
    let mut seen = outcome.evidence.iter().cloned();
    let evidence = seen.next().unwrap_or_default();
    let went_on = report.went_on.iter().zip(seen).map(|(further, evidence)| WentOn {
        boot: further.boot,
        behind: further.behind.clone(),
        evidence,
    });
    Attempt {
        boot,
        went_on: went_on.collect(),
        status: weighed.status,
        known: weighed.known.clone(),
        reasons: report.reasons.iter().chain(&weighed.reasons).cloned().collect(),
        cause: report.cause,
        elapsed_s: seconds(report.elapsed),
        slow: report.elapsed.as_secs_f64() >= slow_s,
        cases: cases.collect(),
        not_run: report.not_run.clone(),
        evidence,
    }
}

impl<'a> About<'a> {
    /// Of a run of `image` on the QEMU that describes itself so.
    pub fn image(image: &'a Image, qemu: &'a str) -> About<'a> {
        let (slow, expectations) = (DEFAULT_SLOW, Expectations::default());
        About { image, qemu, slow, expectations, whole_matrix: false, partition: None, again: None }
    }
}

impl Run {
    /// A run of this program on this host, of which nothing more is known yet.
    pub fn of_this_process() -> Run {
        let uname = rustix::system::uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        Run {
            runner: env!("CARGO_PKG_VERSION").into(),
            started: chrono::Local::now().format("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            host: Host {
                name: text(uname.nodename()),
                kernel: format!("{} {}", text(uname.sysname()), text(uname.release())),
                cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            },
            command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("?")),
            slow_s: DEFAULT_SLOW.as_secs_f64(),
            ..Run::default()
        }
    }
}

//! Runs the boots of a plan, several at a time.
//!
//! Each worker is a thread that starts its own QEMUs, which die with it. Tests that a boot did not
//! reach go back into the queue. So does a test in whose case the boot ended, for the cases behind
//! that one: what the boots of a test say is one report.

use std::cmp::Reverse;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::base::exit::{Error, Exit, Result};
use crate::base::signals::StopSignal;
use crate::image::{Image, TestMeta};
use crate::judge::Event;
use crate::machine::Boot;
use crate::machine::account::Account;
use crate::machine::backend::{Backend, Prepared, judge_of};
use crate::machine::boot::{self, BootResult, Limits};
use crate::machine::debug::Debug;
use crate::machine::findings::Shared;
use crate::machine::job::Job;
use crate::machine::logs::{BootLogs, RunLogs};
use crate::machine::queue::{Piece, Queue};
use crate::plan::loader::Loader;
use crate::results::Unit;
use crate::results::event::{BootFacts, Listener, RunEvent};
use crate::results::policy::Policy;

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
    /// Boots at a time.
    pub jobs: NonZeroUsize,
    /// What counts as a success.
    pub policy: Policy,
    /// Time for a test.
    pub test_time: &'a (dyn Fn(&TestMeta) -> Duration + Sync),
    /// Time limit from power on to the first test, and between two tests.
    pub boot_timeout: Duration,
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
            job
        });
        let mut jobs: Vec<_> = jobs.collect();
        if workers > 1 {
            // The longest ones first, so that all workers are done at about the same time.
            jobs.sort_by_key(|job| Reverse(job.boot.cases()));
        }
        let queue = Queue::new(jobs);
        let shared = Shared::new(listener);
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

        let stopped = self.stop.requested();
        shared.into_findings().end(start.elapsed(), stopped)
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
        let mut account =
            Account::new(&self.policy, self.image.of(boot.environment), self.debug, job, shared);
        let start = Instant::now();
        let command = prepared.start.as_ref().map(|(carrier, _)| carrier.again());
        let facts = BootFacts {
            provenance: &prepared.provenance,
            build_id: boot.xen.build_id.as_deref(),
            backend: prepared.backend,
            loader: prepared.loader.map(Loader::name),
            mode: prepared.mode,
            command: command.as_deref().unwrap_or_default(),
            logs: logs.dir(),
            power_on: Some(start),
        };
        account.begin(&facts, prepared.note.as_deref());

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
        let image = self.image.of(boot.environment);
        let image = match self.debug {
            Debug::No => self.logs.small(image),
            _ => &image.path,
        };
        BootLogs::create(dir, Some(boot.xen), Some(image))
    }
}

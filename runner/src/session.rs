//! A session: the boots of a plan, several at a time, and what comes of them.
//!
//! Each worker is a thread that starts its own QEMUs, which die with it. What a boot's early end
//! left out goes back into the queue as a boot of its own.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::boot::{self, Limits, Outcome};
use crate::config::Hypervisor;
use crate::console::Source;
use crate::event::{Listener, RunEvent, TestOutcome};
use crate::exit::{Error, Exit, Result};
use crate::hypervisor::Ready;
use crate::image::{Image, TestMeta};
use crate::judge::Event;
use crate::logs::{BootLogs, RunLogs};
use crate::plan::Boot;
use crate::qemu::Qemu;
use crate::queue::{Piece, Queue};
use crate::signals::Stop;
use crate::status::Status;
use crate::symbols;

/// Everything that the boots of a run share.
pub struct Session<'a> {
    /// What to run on.
    pub xens: &'a [Hypervisor],
    /// The same, ready.
    pub ready: &'a [Ready],
    /// What to run.
    pub image: &'a Image,
    /// How to boot.
    pub qemu: &'a Qemu,
    /// QEMU's description of itself.
    pub version: &'a str,
    /// Where everything is written down.
    pub logs: RunLogs,
    /// Whether the user wants it to end.
    pub stop: &'a Stop,
    /// CPUs' worth of boots at a time.
    pub jobs: NonZeroUsize,
    /// Time for a test.
    pub test_time: &'a (dyn Fn(&TestMeta) -> Duration + Sync),
    /// Time from power on to the first test, and between two tests.
    pub boot_timeout: Duration,
    /// Adds to each boot's folder what it needs beyond that; returns further arguments for QEMU.
    pub prepare: &'a Prepare<'a>,
}

/// See [`Session::prepare`].
pub type Prepare<'a> = dyn Fn(&Path) -> Result<Vec<String>> + Sync + 'a;

/// A boot that needs nothing more.
pub fn as_it_is(_: &Path) -> Result<Vec<String>> {
    Ok(Vec::new())
}

/// A boot in the queue.
struct Job<'a> {
    /// Its number.
    number: usize,
    boot: Boot<'a>,
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
    statuses: Vec<Status>,
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
        let tests = boots.iter().map(|boot| boot.tests.len()).sum();
        let logs = self.logs.dir();
        listener.event(&RunEvent::RunStarted { boots: boots.len(), tests, logs });

        let workers = self.jobs.get().min(boots.len());
        let next_number = AtomicUsize::new(boots.len() + 1);
        let mut place = 0;
        let jobs = (1..).zip(boots).map(|(number, boot)| {
            let planned: Vec<&str> = boot.tests.iter().map(|test| test.name.as_str()).collect();
            let job = Job { number, place, planned, boot };
            place += job.planned.len();
            (usize::try_from(job.boot.machine.vcpus).unwrap_or(usize::MAX), job)
        });
        let queue = Queue::new(self.jobs.get(), jobs);
        let shared = Shared(Mutex::new(Findings {
            listener,
            statuses: Vec::new(),
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
        findings.listener.event(&RunEvent::RunEnded { elapsed: start.elapsed(), stopped });
        if let Some(error) = findings.error {
            return Err(error);
        }
        let results = Status::of_parts(findings.statuses).map_or(Exit::Success, Exit::from);
        let tool = findings.tool_failed.then_some(Exit::Tool);
        Ok([Some(results), tool, stopped].into_iter().flatten().max().unwrap_or(results))
    }

    /// One boot, from its first event to its last; an error is the end of the session.
    fn settle<'b>(
        &self,
        piece: &Piece<'_, Job<'b>>,
        next_number: &AtomicUsize,
        shared: &Shared<'_>,
    ) -> Result<()> {
        let Job { number, boot, place, planned } = &piece.work;
        let number = *number;
        let xen = &self.xens[boot.xen].name;
        let environment = boot.environment;
        let names: Vec<&str> = boot.tests.iter().map(|test| test.name.as_str()).collect();
        let title = match names.as_slice() {
            [only] => format!("{xen}-{}-{only}", environment.name()),
            _ => format!("{xen}-{}", environment.name()),
        };
        let Ready { elf, provenance } = &self.ready[boot.xen];
        let mut logs = self.logs.boot(number, &title, elf, &self.image.path)?;
        logs.decision(&format!("Xen: {provenance}\nQEMU: {}", self.version))?;
        let started = RunEvent::BootStarted { boot: number, xen, environment, tests: &names };
        shared.lock().listener.event(&started);

        let outcome = self.execute(boot, &mut logs, &mut |text| {
            shared.lock().listener.event(&RunEvent::GuestLine { boot: number, text });
        });
        let mut findings = shared.lock();
        findings.listener.event(&RunEvent::BootEnded { boot: number });
        let Outcome { judgement, tool_failure } = outcome?;
        for mut report in judgement.settled {
            if let Some(test) = boot.tests.iter().find(|test| test.name == report.name) {
                report.weigh(&test.kills, judgement.branch.as_deref());
            }
            findings.statuses.push(report.status);
            let frames = symbols::describe(&self.image.path, &report.backtrace);
            let place = piece.work.place_of(&report.name);
            let (xen, logs) = (xen.clone(), logs.dir().to_owned());
            let outcome = TestOutcome { xen, environment, report, frames, logs, place };
            let settled = RunEvent::TestSettled { boot: number, outcome: &outcome };
            findings.listener.event(&settled);
        }
        if !judgement.rerun.is_empty() {
            let number = next_number.fetch_add(1, Ordering::Relaxed);
            let (boot, planned) = (boot.again_for(&judgement.rerun), planned.clone());
            piece.push(Job { number, boot, place: *place, planned });
        }
        if let Some(failure) = tool_failure {
            findings.tool_failed = true;
            if failure.at_start {
                return Err(Error::Tool(failure.what));
            }
        }
        Ok(())
    }

    /// The seam to the backend: one boot, from power on to its judgement.
    fn execute(
        &self,
        boot: &Boot<'_>,
        logs: &mut BootLogs,
        guest_line: &mut dyn FnMut(&str),
    ) -> Result<Outcome> {
        let time_of = |name: &str| {
            let test = boot.tests.iter().find(|test| test.name == name);
            test.map_or(self.boot_timeout, |test| (self.test_time)(test))
        };
        let limits = Limits { boot: self.boot_timeout, test: &time_of, until_failure: false };
        let mut invocation = self.qemu.invocation(boot);
        invocation.args.extend((self.prepare)(logs.dir())?);
        let judge = boot.judge().demand_options(&invocation.xen_cmdline);
        boot::run(&invocation, judge, &limits, self.stop, logs, &mut |event| {
            if let Event::Line(line) = event
                && line.source == Source::Guest
            {
                guest_line(&line.text);
            }
        })
    }
}

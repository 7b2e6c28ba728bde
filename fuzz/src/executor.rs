//! LibAFL's executor: performs an input on a machine, and replaces a machine that died.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libafl::executors::{Executor, ExitKind, HasObservers};
use libafl::inputs::{BytesInput, HasMutatorBytes};
use libafl::observers::{ExplicitTracking, HitcountsMapObserver, StdMapObserver, TimeObserver};
use libafl::state::HasExecutions;
use libafl_bolts::tuples::{RefIndexable, tuple_list, tuple_list_type};
use livepatch::program::{Program, decode};
use protocol::programs::STEPS_MAX;
use xtf_runner::base::exit::Result;
use xtf_runner::commands::fuzz::{Target, Verbosity};

use crate::findings::Findings;
use crate::instance::{Instance, ProgramOutcome, Spares};
use crate::learn::{Advice, LessonFile, Reach};

/// Time for a program. Thousands of them take a second, but the machine may be busy.
const TIME: Duration = Duration::from_secs(3);

/// How often each block was executed, in the classes that matter.
pub type Counted = HitcountsMapObserver<StdMapObserver<'static, u8, false>>;
/// The same, and which made the difference.
pub type Blocks = ExplicitTracking<Counted, true, false>;
/// All that is observed.
pub type Observed = tuple_list_type!(Blocks, TimeObserver);

/// The observer of so many blocks.
pub fn blocks(count: usize) -> Counted {
    HitcountsMapObserver::new(StdMapObserver::owned("executed", vec![0; count]))
}

/// How many machines were of no more use, and why.
#[derive(Default)]
pub struct Replaced {
    /// Xen or the guest died, or nothing came any more.
    pub ended: usize,
    /// Something was left that could not be undone.
    pub dirty: usize,
    /// Xen answered something else than the model.
    pub diverged: usize,
}

impl Replaced {
    const fn count(&mut self, outcome: &ProgramOutcome) {
        match outcome {
            ProgramOutcome::Died(_) | ProgramOutcome::Hung => self.ended += 1,
            ProgramOutcome::Dirty => self.dirty += 1,
            ProgramOutcome::Diverged(_) => self.diverged += 1,
            ProgramOutcome::Done | ProgramOutcome::Unable => {}
        }
    }
}

/// See the module.
pub struct Xen<'t> {
    machine: Instance,
    spares: Spares,
    observers: Observed,
    /// What was found.
    pub findings: Findings<'t>,
    /// Blocks that were executed at any time.
    pub covered: Vec<bool>,
    /// Machines that it had to replace.
    pub replaced: Replaced,
    /// Calls in the programs that were performed.
    pub calls: u64,
    /// How long it waited for machines.
    pub waited: Duration,
    /// Programs that were left out, because of what was learned.
    pub left_out: u64,
    /// The name of the corpus's program that comes next, if one does.
    pub known: Option<String>,
    report: Box<dyn FnMut(&str) + 't>,
}

impl<'t> Xen<'t> {
    /// Boots a first machine. `report` hears of each new finding. What is learned is kept in
    /// `lessons`; which of it is tried all the same follows from `seed`.
    pub fn new(
        target: &'t Arc<Target>,
        blocks: Blocks,
        time: TimeObserver,
        report: Box<dyn FnMut(&str) + 't>,
        lessons: Option<LessonFile>,
        seed: u64,
    ) -> Result<Self> {
        let spares = Spares::new(target, Verbosity::Low);
        let machine = spares.take()?;
        Ok(Xen {
            machine,
            spares,
            observers: tuple_list!(blocks, time),
            findings: Findings::new(target, lessons, seed)?,
            covered: vec![false; target.blocks.len()],
            replaced: Replaced::default(),
            calls: 0,
            waited: Duration::ZERO,
            left_out: 0,
            known: None,
            report,
        })
    }

    fn perform(&mut self, program: &Program, input: &[u8]) -> Result<ExitKind> {
        self.findings.attend(&mut self.report)?;
        let known = self.known.take();
        let (seen, advice) = self.findings.consider(program, known.as_deref());
        let map: &mut [u8] = self.observers.0.as_mut();
        if advice == Advice::Skip {
            map.fill(0);
            self.left_out += 1;
            return Ok(ExitKind::Ok);
        }
        self.calls += program.steps.len() as u64;
        let outcome = self.machine.perform(input, TIME);
        self.machine.counts(map);
        for (covered, count) in self.covered.iter_mut().zip(map.iter()) {
            *covered |= *count > 0;
        }
        let reach = Reach::of(map);
        match outcome {
            ProgramOutcome::Done | ProgramOutcome::Unable => {
                self.findings.learned.lived(&seen, &reach);
                return Ok(ExitKind::Ok);
            }
            ProgramOutcome::Dirty => {
                self.findings.learned.lived(&seen, &reach);
                // What it reached counts, but nothing is to be bred from it.
                self.observers.0.as_mut().fill(0);
            }
            ProgramOutcome::Diverged(_) => {
                self.findings.learned.lived(&seen, &reach);
                self.findings.examine(program, seen, &reach, false);
            }
            ProgramOutcome::Died(_) | ProgramOutcome::Hung => {
                if let Some(name) = known {
                    self.findings.learned.known_died(&name);
                }
                if advice == Advice::Try {
                    self.findings.learned.died_as_expected(&seen);
                } else {
                    self.findings.examine(program, seen, &reach, true);
                }
            }
        }
        self.replaced.count(&outcome);
        self.replace_machine()?;
        Ok(match outcome {
            ProgramOutcome::Dirty => ExitKind::Ok,
            ProgramOutcome::Hung => ExitKind::Timeout,
            _ => ExitKind::Crash,
        })
    }

    /// Looks into what is still open until `stop` says no more, and stores what was found below
    /// `dir`.
    pub fn finish(&mut self, dir: &Path, stop: &dyn Fn() -> bool) -> Result<()> {
        self.findings.keep(dir, &mut self.report, stop)
    }

    /// The machine is of no more use.
    fn replace_machine(&mut self) -> Result<()> {
        let start = Instant::now();
        self.machine = self.spares.take()?;
        self.waited += start.elapsed();
        Ok(())
    }
}

impl HasObservers for Xen<'_> {
    type Observers = Observed;

    fn observers(&self) -> RefIndexable<&Self::Observers, Self::Observers> {
        RefIndexable::from(&self.observers)
    }

    fn observers_mut(&mut self) -> RefIndexable<&mut Self::Observers, Self::Observers> {
        RefIndexable::from(&mut self.observers)
    }
}

impl<EM, S: HasExecutions, Z> Executor<EM, BytesInput, S, Z> for Xen<'_> {
    fn run_target(
        &mut self,
        _fuzzer: &mut Z,
        state: &mut S,
        _manager: &mut EM,
        input: &BytesInput,
    ) -> std::result::Result<ExitKind, libafl::Error> {
        *state.executions_mut() += 1;
        let bytes = input.mutator_bytes();
        let program = decode(bytes, STEPS_MAX);
        self.perform(&program, bytes).map_err(|e| libafl::Error::unknown(e.to_string()))
    }
}

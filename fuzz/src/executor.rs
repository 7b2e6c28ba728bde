//! LibAFL's executor: hands programs out to machines, and judges how they went.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use libafl::corpus::Testcase;
use libafl::executors::{Executor, ExitKind, HasObservers};
use libafl::feedbacks::{Feedback, StateInitializer};
use libafl::inputs::{BytesInput, HasMutatorBytes};
use libafl::observers::{ExplicitTracking, HitcountsMapObserver, StdMapObserver};
use libafl::state::HasExecutions;
use libafl_bolts::Named;
use libafl_bolts::tuples::{RefIndexable, tuple_list, tuple_list_type};
use livepatch::program::decode;
use protocol::programs::STEPS_MAX;
use xtf_runner::base::exit::{Error, Result};
use xtf_runner::commands::fuzz::{Target, Verbosity};

use crate::crew::{Crew, Job, Performed};
use crate::findings::Findings;
use crate::instance::{ProgramOutcome, Spares};
use crate::learn::{Advice, LessonFile, Reach};

/// How often each block was executed, in the classes that matter.
pub type Counted = HitcountsMapObserver<StdMapObserver<'static, u8, false>>;
/// The same, and which made the difference.
pub type Blocks = ExplicitTracking<Counted, true, false>;
/// All that is observed.
pub type Observed = tuple_list_type!(Blocks);

/// The observer of so many blocks.
pub fn blocks(count: usize) -> Counted {
    HitcountsMapObserver::new(StdMapObserver::owned("executed", vec![0; count]))
}

/// How long the program took that is being judged. LibAFL's observer of time would measure how long
/// that takes.
#[derive(Clone, Debug, Default)]
pub struct TimeTaken(Rc<Cell<Duration>>);

impl Named for TimeTaken {
    fn name(&self) -> &Cow<'static, str> {
        static NAME: Cow<'static, str> = Cow::Borrowed("time");
        &NAME
    }
}

impl<S> StateInitializer<S> for TimeTaken {}

impl<EM, OT, S> Feedback<EM, BytesInput, OT, S> for TimeTaken {
    fn append_metadata(
        &mut self,
        _state: &mut S,
        _manager: &mut EM,
        _observers: &OT,
        testcase: &mut Testcase<BytesInput>,
    ) -> std::result::Result<(), libafl::Error> {
        testcase.set_exec_time(self.0.get());
        Ok(())
    }
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
    crew: Crew,
    observers: Observed,
    time: TimeTaken,
    /// What was performed and is to be judged next,
    next: Option<Performed>,
    /// and later.
    later: VecDeque<Performed>,
    /// Programs that were handed out at any time.
    number: u64,
    /// What was found.
    pub findings: Findings<'t>,
    /// Blocks that were executed at any time.
    pub covered: Vec<bool>,
    /// Machines that it had to replace.
    pub replaced: Replaced,
    /// Calls in the programs that were performed.
    pub calls: u64,
    /// Programs that were left out, because of what was learned.
    pub left_out: u64,
    report: Box<dyn FnMut(&str) + 't>,
}

impl<'t> Xen<'t> {
    /// Boots so many `machines`. `report` hears of each new finding. What is learned is kept in
    /// `lessons`; which of it is tried all the same follows from `seed`.
    pub fn new(
        target: &'t Arc<Target>,
        machines: usize,
        (blocks, time): (Blocks, TimeTaken),
        report: Box<dyn FnMut(&str) + 't>,
        lessons: Option<LessonFile>,
        seed: u64,
    ) -> Result<Self> {
        let spares = Spares::new(target, Verbosity::Low);
        Ok(Xen {
            crew: Crew::new(spares, machines, target.blocks.len())?,
            observers: tuple_list!(blocks),
            time,
            next: None,
            later: VecDeque::new(),
            number: 0,
            findings: Findings::new(target, lessons, seed)?,
            covered: vec![false; target.blocks.len()],
            replaced: Replaced::default(),
            calls: 0,
            left_out: 0,
            report,
        })
    }

    /// Has a program performed, whose name in the corpus is `known`; false if it is left out.
    pub fn hand_out(&mut self, input: BytesInput, known: Option<String>) -> bool {
        let program = decode(input.mutator_bytes(), STEPS_MAX);
        let (seen, advice) = self.findings.consider(&program, known.as_deref());
        if advice == Advice::Skip {
            self.left_out += 1;
            return false;
        }
        self.number += 1;
        self.crew.hand_out(Job { number: self.number, program, input, known, seen, advice });
        true
    }

    /// A program that was performed, which [`run_target`](Executor::run_target) judges next. If
    /// there is none yet, waits for one as long as enough programs are waiting, or `all` are to
    /// come back.
    pub fn come_back(&mut self, all: bool) -> Result<Option<BytesInput>> {
        let late = self.later.pop_front().map(Ok);
        let done = late.or_else(|| self.crew.next(all || self.crew.is_full()));
        self.next = done.transpose()?;
        Ok(self.next.as_ref().map(|done| done.job.input.clone()))
    }

    fn judge(&mut self, done: Performed) -> Result<ExitKind> {
        self.findings.attend(&mut self.report)?;
        let Performed { job: Job { program, known, seen, advice, .. }, outcome, counts, time } =
            done;
        self.time.0.set(time);
        self.calls += program.steps.len() as u64;
        for (covered, count) in self.covered.iter_mut().zip(&counts) {
            *covered |= *count > 0;
        }
        // What a program reached that could not be undone counts, but nothing is to be bred from it.
        if outcome != ProgramOutcome::Dirty {
            let map: &mut [u8] = self.observers.0.as_mut();
            map.copy_from_slice(&counts);
        }
        let reach = Reach::of(&counts);
        self.replaced.count(&outcome);
        match outcome {
            ProgramOutcome::Done | ProgramOutcome::Unable | ProgramOutcome::Dirty => {
                self.findings.learned.lived(&seen, &reach);
                return Ok(ExitKind::Ok);
            }
            ProgramOutcome::Diverged(_) => {
                self.findings.learned.lived(&seen, &reach);
                self.findings.examine(&program, seen, &reach, false);
            }
            ProgramOutcome::Died(_) | ProgramOutcome::Hung => {
                if let Some(name) = known {
                    self.findings.learned.known_died(&name);
                }
                if advice == Advice::Try {
                    self.findings.learned.died_as_expected(&seen);
                } else {
                    self.findings.examine(&program, seen, &reach, true);
                }
            }
        }
        self.think_again();
        Ok(if outcome == ProgramOutcome::Hung { ExitKind::Timeout } else { ExitKind::Crash })
    }

    /// Leaves out what waits for a machine and has become suspicious.
    fn think_again(&mut self) {
        for job in self.crew.take_back() {
            if job.known.is_none() && self.findings.learned.suspects(&job.seen) {
                self.left_out += 1;
            } else {
                self.crew.hand_out(job);
            }
        }
    }

    /// How long it waited for machines.
    pub fn waited(&self) -> Duration {
        self.crew.waited()
    }

    /// Looks into what is still open until `stop` says no more, and stores what was found below
    /// `dir`.
    pub fn finish(&mut self, dir: &Path, stop: &dyn Fn() -> bool) -> Result<()> {
        self.findings.keep(dir, &mut self.report, stop)
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
    /// Judges what has [come back](Xen::come_back); performs what comes from other fuzzers.
    fn run_target(
        &mut self,
        _fuzzer: &mut Z,
        state: &mut S,
        _manager: &mut EM,
        input: &BytesInput,
    ) -> std::result::Result<ExitKind, libafl::Error> {
        let failed = |e: Error| libafl::Error::unknown(e.to_string());
        if self.next.is_none() {
            if !self.hand_out(input.clone(), None) {
                return Ok(ExitKind::Ok);
            }
            while let Some(done) = self.crew.next(true) {
                let done = done.map_err(failed)?;
                if done.job.number == self.number {
                    self.next = Some(done);
                    break;
                }
                self.later.push_back(done);
            }
        }
        let Some(done) = self.next.take() else { return Ok(ExitKind::Ok) };
        *state.executions_mut() += 1;
        self.judge(done).map_err(failed)
    }
}

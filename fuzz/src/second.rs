//! What the fuzzer does not wait for: trying again, on a fresh boot, what failed, and making it
//! small. A thread with machines of its own does that.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use livepatch::program::{Program, encode, minimize};
use xtf_runner::base::exit::{Error, Result};
use xtf_runner::commands::fuzz::{Place, Target, Verbosity, kind_of_divergence};

use crate::instance::{Death, Instance, ProgramOutcome, Spares};
use crate::learn::Reach;

/// Time for a program on a fresh boot; nobody else waits.
const TIME: Duration = Duration::from_secs(20);
/// How often somebody who waits looks whether to go on.
const SLICE: Duration = Duration::from_millis(100);
/// Boots that making a program small may take.
const BOOTS: usize = 8;
/// As many jobs wait at most.
const JOBS_MAX: usize = 12;

/// How a program fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Xen dies.
    Died(Death),
    /// It answers something else than the model.
    Diverged(Vec<String>),
    /// Nothing comes any more.
    Hung,
}

impl Failure {
    /// Of the outcome, if it is one.
    fn of(outcome: ProgramOutcome) -> Option<Failure> {
        match outcome {
            ProgramOutcome::Died(death) => Some(Failure::Died(death)),
            ProgramOutcome::Diverged(words) => Some(Failure::Diverged(words)),
            ProgramOutcome::Hung => Some(Failure::Hung),
            ProgramOutcome::Done | ProgramOutcome::Dirty | ProgramOutcome::Unable => None,
        }
    }

    /// Where Xen died, if it did.
    pub fn place(&self) -> Option<Place> {
        match self {
            Failure::Died(death) => Some(Place::of(&death.words, &death.headline)),
            Failure::Hung => Some(Place::hang()),
            Failure::Diverged(_) => None,
        }
    }

    fn is_like(&self, other: &Failure) -> bool {
        match (self, other) {
            (Failure::Diverged(one), Failure::Diverged(other)) => {
                kind_of_divergence(one) == kind_of_divergence(other)
            }
            _ => self.place().is_some() && self.place() == other.place(),
        }
    }
}

/// What is to be done with the program of that number.
enum Job {
    Confirm(u64, Program),
    Shrink(u64, Program, Failure),
}

/// What came of a job.
pub enum Done {
    /// How the program failed on a fresh boot, if it did, and what Xen calls itself.
    Confirmed(u64, Option<(Failure, Option<String>)>),
    /// The smallest program that still fails like that.
    Small(u64, Small),
}

/// What came of making a program small.
pub struct Small {
    pub program: Program,
    /// What it executed before it failed; not known if nothing smaller did.
    pub reach: Option<Reach>,
    /// Programs that Xen has survived meanwhile, and what they executed.
    pub survived: Vec<(Program, Reach)>,
}

/// See the module.
pub struct Second {
    jobs: Sender<Job>,
    done: Receiver<Result<Done>>,
    waiting: usize,
    machines: Arc<AtomicUsize>,
}

impl Second {
    /// Starts the thread.
    pub fn new(target: &Arc<Target>) -> Second {
        let (jobs, todo) = channel();
        let (report, done) = channel();
        let machines = Arc::new(AtomicUsize::new(0));
        let (target, taken) = (Arc::clone(target), Arc::clone(&machines));
        thread::spawn(move || {
            // As urgent as the fuzzing, which leaves out what is suspicious until it is looked into.
            let blocks = target.blocks.len();
            let fresh = Fresh { spares: Spares::new(&target, Verbosity::Full), taken, blocks };
            let mut waiting = Vec::new();
            while let Some(job) = next_job(&todo, &mut waiting) {
                if report.send(perform(job, &fresh)).is_err() {
                    return;
                }
            }
        });
        Second { jobs, done, waiting: 0, machines }
    }

    /// Machines that it took.
    pub fn machines(&self) -> usize {
        self.machines.load(Ordering::Relaxed)
    }

    /// Has a program tried again; false if too many are waiting already.
    pub fn confirm(&mut self, number: u64, program: &Program) -> bool {
        let free = self.waiting < JOBS_MAX;
        if free {
            self.start(Job::Confirm(number, program.clone()));
        }
        free
    }

    /// Has a program made small.
    pub fn shrink(&mut self, number: u64, program: &Program, failure: &Failure) {
        self.start(Job::Shrink(number, program.clone(), failure.clone()));
    }

    fn start(&mut self, job: Job) {
        // A thread that has ended shows where its answer is missed.
        let _ = self.jobs.send(job);
        self.waiting += 1;
    }

    /// What was done since; waits for it unless `stop` says no, and returns `None` if there is
    /// nothing to wait for.
    pub fn next(&mut self, stop: &dyn Fn() -> bool) -> Option<Result<Done>> {
        if self.waiting == 0 {
            return None;
        }
        loop {
            let done = match self.done.recv_timeout(if stop() { Duration::ZERO } else { SLICE }) {
                Ok(done) => done,
                Err(RecvTimeoutError::Timeout) if stop() => return None,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => {
                    Err(Error::Tool("the thread that tries again has ended".into()))
                }
            };
            self.waiting -= 1;
            return Some(done);
        }
    }
}

/// Of the jobs, those in `waiting` among them, the first that confirms something, else the first:
/// it takes one boot to know where Xen died, and that may explain what else there is to do. `None`
/// when nobody has any for us.
fn next_job(todo: &Receiver<Job>, waiting: &mut Vec<Job>) -> Option<Job> {
    if waiting.is_empty() {
        waiting.push(todo.recv().ok()?);
    }
    waiting.extend(todo.try_iter());
    let short = waiting.iter().position(|job| matches!(job, Job::Confirm(..)));
    Some(waiting.remove(short.unwrap_or(0)))
}

/// Fresh boots, with all that Xen has to say; counted.
struct Fresh {
    spares: Spares,
    taken: Arc<AtomicUsize>,
    /// How many are counted.
    blocks: usize,
}

impl Fresh {
    fn take(&self) -> Result<Instance> {
        self.taken.fetch_add(1, Ordering::Relaxed);
        self.spares.take()
    }
}

fn perform(job: Job, fresh: &Fresh) -> Result<Done> {
    match job {
        Job::Confirm(number, program) => {
            let mut machine = fresh.take()?;
            let failure = Failure::of(machine.perform(&encode(&program), TIME));
            Ok(Done::Confirmed(number, failure.map(|failure| (failure, machine.version()))))
        }
        Job::Shrink(number, program, failure) => {
            shrink(program, &failure, fresh).map(|small| Done::Small(number, small))
        }
    }
}

/// The smallest program that fails like that.
fn shrink(program: Program, failure: &Failure, fresh: &Fresh) -> Result<Small> {
    // A machine that has survived one attempt is good for the next.
    let mut machine = None;
    let mut boots = 0;
    let mut counts = vec![0; fresh.blocks];
    let (mut reach, mut survived) = (None, Vec::new());
    let program = minimize(program, &mut |candidate| {
        let mut ready = match machine.take() {
            Some(ready) => ready,
            None if boots == BOOTS => return Ok(false),
            None => {
                boots += 1;
                fresh.take()?
            }
        };
        let outcome = ready.perform(&encode(candidate), TIME);
        ready.counts(&mut counts);
        if outcome == ProgramOutcome::Done {
            survived.push((candidate.clone(), Reach::of(&counts)));
            machine = Some(ready);
        }
        let same = Failure::of(outcome).is_some_and(|other| other.is_like(failure));
        if same {
            reach = Some(Reach::of(&counts));
        }
        Ok(same)
    })?;
    Ok(Small { program, reach, survived })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_one_boot_goes_first() {
        let (jobs, todo) = channel();
        let mut waiting = Vec::new();
        let mut next = || match next_job(&todo, &mut waiting) {
            Some(Job::Confirm(number, _) | Job::Shrink(number, ..)) => Some(number),
            None => None,
        };
        let program = Program::default;
        jobs.send(Job::Shrink(1, program(), Failure::Hung)).unwrap();
        jobs.send(Job::Shrink(2, program(), Failure::Hung)).unwrap();
        jobs.send(Job::Confirm(3, program())).unwrap();
        assert_eq!((next(), next()), (Some(3), Some(1)));
        jobs.send(Job::Confirm(4, program())).unwrap();
        drop(jobs);
        assert_eq!((next(), next(), next()), (Some(4), Some(2), None));
    }

    /// What is made small stays what it is: another difference is another failure, the same one at
    /// another step is not.
    #[test]
    fn divergences_are_told_apart() {
        let diverged = |step: &str, difference: &str| {
            Failure::Diverged([step, difference].map(str::to_owned).to_vec())
        };
        let first = diverged("step 3: get \"p1\"", "state of p1: expected Checked, got Applied");
        let same = diverged("step 0: get \"p0\"", "state of p0: expected Checked, got Applied");
        let other = diverged("step 3: get \"p1\"", "answer: expected success, got EINVAL");
        let another = diverged("step 3: get \"p1\"", "state of p1: expected Applied, got Checked");
        assert!(first.is_like(&same) && same.is_like(&first));
        for different in [&other, &another, &Failure::Hung] {
            assert!(!first.is_like(different) && !different.is_like(&first), "{different:?}");
        }
    }
}

//! Machines that perform programs at the same time, each with a thread of its own.
//!
//! Programs wait here for the next machine that is free, so that none of them waits for the fuzzer.
//! What is not begun yet can be taken back.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use libafl::inputs::{BytesInput, HasMutatorBytes};
use livepatch::program::Program;
use xtf_runner::base::exit::{Error, Result};

use crate::instance::{Instance, ProgramOutcome, Spares};
use crate::learn::{Advice, Seen};

/// Time for a program. Thousands of them take a second, but the machine may be busy.
const TIME: Duration = Duration::from_secs(3);
/// As many programs wait for a machine that is free.
const AHEAD: usize = 2;

/// A program to perform.
pub struct Job {
    /// Which one it is.
    pub number: u64,
    pub program: Program,
    /// The same in bytes.
    pub input: BytesInput,
    /// Its name in the corpus, if it is from there.
    pub known: Option<String>,
    pub seen: Seen,
    pub advice: Advice,
}

/// How it went.
pub struct Performed {
    pub job: Job,
    pub outcome: ProgramOutcome,
    /// How often each block was executed, as far as a byte holds that.
    pub counts: Vec<u8>,
    pub time: Duration,
}

/// See the module.
pub struct Crew {
    board: Arc<Board>,
    done: Receiver<Result<Performed>>,
    machines: usize,
    /// Programs that were handed out, and have not come back.
    out: usize,
}

/// What is to be done.
#[derive(Default)]
struct Board {
    jobs: Mutex<Jobs>,
    news: Condvar,
    /// Nanoseconds that machines took to be replaced.
    waited: AtomicU64,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    /// There will be no more.
    over: bool,
}

impl Board {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Job> {
        let waits = |jobs: &mut Jobs| jobs.waiting.is_empty() && !jobs.over;
        let jobs = self.news.wait_while(self.jobs(), waits);
        jobs.unwrap_or_else(PoisonError::into_inner).waiting.pop_front()
    }
}

impl Crew {
    /// So many machines from `spares`, which count so many `blocks`.
    pub fn new(spares: Spares, machines: usize, blocks: usize) -> Result<Crew> {
        let board = Arc::new(Board::default());
        let (report, done) = channel();
        let first = (0..machines).map(|_| spares.take()).collect::<Result<Vec<_>>>()?;
        let spares = Arc::new(Mutex::new(spares));
        for machine in first {
            let (board, spares, report) = (board.clone(), spares.clone(), report.clone());
            thread::spawn(move || work(&board, machine, &spares, &report, blocks));
        }
        Ok(Crew { board, done, machines, out: 0 })
    }

    /// Has a program performed, as soon as a machine is free.
    pub fn hand_out(&mut self, job: Job) {
        self.out += 1;
        self.board.jobs().waiting.push_back(job);
        self.board.news.notify_one();
    }

    /// Whether enough programs are waiting.
    pub fn is_full(&self) -> bool {
        self.out >= self.machines + AHEAD
    }

    /// Those programs that no machine has begun with.
    pub fn take_back(&mut self) -> Vec<Job> {
        let jobs: Vec<Job> = self.board.jobs().waiting.drain(..).collect();
        self.out -= jobs.len();
        jobs
    }

    /// A program that was performed; if there is none yet, waits for one, or returns `None` unless
    /// it `must` be. `None` also if all have come back.
    pub fn next(&mut self, must: bool) -> Option<Result<Performed>> {
        if self.out == 0 {
            return None;
        }
        let ended = || Err(Error::Tool("the threads that perform programs have ended".into()));
        let done = match must {
            true => self.done.recv().unwrap_or_else(|_| ended()),
            false => self.done.try_recv().ok()?,
        };
        self.out -= 1;
        Some(done)
    }

    /// How long it waited for machines, all of them at once.
    pub fn waited(&self) -> Duration {
        Duration::from_nanos(self.board.waited.load(Ordering::Relaxed) / self.machines as u64)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.board.jobs().over = true;
        self.board.news.notify_all();
    }
}

/// Tells the fuzzer of a thread that panics, for whose program it would wait for ever.
struct Ended<'a>(&'a Sender<Result<Performed>>);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let ended = Error::Tool("a thread that performs programs has panicked".into());
            let _ = self.0.send(Err(ended));
        }
    }
}

/// Performs one program after the other, and replaces a machine that is of no more use.
fn work(
    board: &Board,
    mut machine: Instance,
    spares: &Mutex<Spares>,
    report: &Sender<Result<Performed>>,
    blocks: usize,
) {
    let _ended = Ended(report);
    while let Some(job) = board.next() {
        let start = Instant::now();
        let outcome = machine.perform(job.input.mutator_bytes(), TIME);
        let time = start.elapsed();
        let mut counts = vec![0; blocks];
        machine.counts(&mut counts);
        let usable = matches!(outcome, ProgramOutcome::Done | ProgramOutcome::Unable);
        if report.send(Ok(Performed { job, outcome, counts, time })).is_err() {
            return;
        }
        if usable {
            continue;
        }
        let start = Instant::now();
        let spare = spares.lock().unwrap_or_else(PoisonError::into_inner).take();
        board.waited.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        match spare {
            Ok(spare) => machine = spare,
            Err(e) => {
                // Nobody looks at it any more if it can't be sent.
                let _ = report.send(Err(e));
                return;
            }
        }
    }
}

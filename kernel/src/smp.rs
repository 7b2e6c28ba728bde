//! Runs functions on other CPUs.

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use arch::smp::{self, MAX_CPUS};
pub use arch::smp::{count, current};
use spin::Mutex;

use crate::clock;
use crate::hypercall::sched::{sleep_until, yield_cpu};
use crate::outcome::Stop;

type Work = Box<dyn FnOnce() + Send>;

/// What one secondary CPU is asked to do.
struct Desk {
    up: AtomicBool,
    busy: AtomicBool,
    work: Mutex<Option<Work>>,
}

static DESKS: [Desk; MAX_CPUS] = [const {
    Desk { up: AtomicBool::new(false), busy: AtomicBool::new(false), work: Mutex::new(None) }
}; MAX_CPUS];

/// How long an idle CPU sleeps between two looks at its desk, in ns.
const NAP_NS: u64 = 200_000;

/// Whether any other CPU was brought up.
pub fn others_are_up() -> bool {
    DESKS.iter().any(|desk| desk.up.load(Ordering::Relaxed))
}

/// Work under way on another CPU.
#[must_use = "dropping it waits for the work to end"]
pub struct Job(usize);

/// Has another CPU (1 or above) do `work`, bringing it up first if need be.
///
/// # Errors
/// A [`Stop::Error`] where the domain has no such CPU.
///
/// # Panics
/// If that CPU has work already.
pub fn spawn(cpu: usize, work: impl FnOnce() + Send + 'static) -> Result<Job, Stop> {
    let desk = &DESKS[cpu];
    if !desk.up.load(Ordering::Relaxed) {
        smp::bring_up(cpu).map_err(|error| {
            Stop::error(format!("could not bring up vCPU {cpu}: {}", crate::Answer(error)))
        })?;
        desk.up.store(true, Ordering::Relaxed);
    }
    assert!(!desk.busy.swap(true, Ordering::Acquire), "CPU {cpu} is busy");
    *desk.work.lock() = Some(Box::new(work));
    Ok(Job(cpu))
}

impl Job {
    /// Waits until the work is done.
    pub fn join(self) {}

    /// Whether the work is done.
    pub fn is_done(&self) -> bool {
        !DESKS[self.0].busy.load(Ordering::Acquire)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        while !self.is_done() {
            yield_cpu();
        }
    }
}

/// Work that another CPU does again and again, until this is dropped.
#[must_use = "dropping it ends the work"]
pub struct Repeated {
    stop: Arc<AtomicBool>,
    /// Dropped after `stop` is set: it waits.
    _job: Job,
}

/// Has another CPU do `work` again and again. The work has been done once when this returns.
///
/// # Errors
/// As for [`spawn`].
pub fn repeat(cpu: usize, work: impl Fn() + Send + 'static) -> Result<Repeated, Stop> {
    let (stop, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (stop_there, begun_there) = (stop.clone(), begun.clone());
    let job = spawn(cpu, move || {
        while !stop_there.load(Ordering::Relaxed) {
            work();
            begun_there.store(true, Ordering::Relaxed);
        }
    })?;
    while !begun.load(Ordering::Relaxed) {
        yield_cpu();
    }
    Ok(Repeated { stop, _job: job })
}

impl Drop for Repeated {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[unsafe(no_mangle)]
fn xtf_secondary_main(cpu: usize) -> ! {
    let desk = &DESKS[cpu];
    loop {
        let work = desk.work.lock().take();
        match work {
            Some(work) => {
                work();
                desk.busy.store(false, Ordering::Release);
            }
            // An early wake-up does no harm: there is a loop around it.
            None => drop(sleep_until(clock::now_ns() + NAP_NS).result()),
        }
    }
}

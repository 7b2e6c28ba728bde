//! The clock side of a boot: reads the console, feeds it to the judge, and decides when to stop.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ChildStdout;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::base::exit::{Error, IoContext, Result};
use crate::base::process::{ChildGuard, Waits};
use crate::base::signals::StopSignal;
use crate::judge::{End, Event, Judge, Vitals};
use crate::machine::debug::{self, Debug};
use crate::machine::logs::BootLogs;

/// A dying Xen has finished speaking after this much silence, unless its last line or QEMU's end
/// says so before,
const QUIET: Duration = Duration::from_secs(1);
/// or after this time, whatever it still prints.
const DEATH_SPEECH: Duration = Duration::from_secs(10);
/// Between two looks at whether a machine that may be kept has come to its end: its QEMU stays.
const LOOK: Duration = Duration::from_millis(100);
/// Whoever looks on sees the logs this late: QEMU hands over single bytes, too many to flush each.
const LOG_DELAY: Duration = Duration::from_millis(50);
/// A debugger's user has as much time as he likes.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);
/// What errors call the console.
const CONSOLE: &str = "the console";

/// How long things may take, on a machine that has the time: while QEMU waits for a CPU that others
/// use, none of these passes.
pub struct Limits<'a> {
    /// From power on to the first test, and between two tests.
    pub boot: Duration,
    /// From a test's subtest line to its result.
    pub test: &'a dyn Fn(&str) -> Duration,
    /// Whether nobody wants the rest; asked after each piece of the console.
    pub enough: &'a dyn Fn(&Judge) -> bool,
    /// Whether somebody looks at the machine: under a debugger time does not count, and a machine
    /// that may be kept is stopped, not killed.
    pub debug: Debug,
}

/// For [`Limits::enough`]: every boot goes on to its end.
pub fn never_enough(_: &Judge) -> bool {
    false
}

/// Why supervision ended.
pub(super) enum Ended {
    /// It left by itself.
    Left,
    /// There is a reason to stop it.
    Stopped(End),
}

/// A moment, and for how long until then the process had waited for a CPU.
#[derive(Clone, Copy)]
struct Mark {
    at: Instant,
    waited: Duration,
}

/// The pipe that the console comes through.
struct Console {
    pipe: ChildStdout,
    /// Whether more may come.
    open: bool,
    buffer: Vec<u8>,
    /// When whoever looks on has to see in the logs what came.
    flush_due: Option<Instant>,
}

impl Console {
    /// The standard output of `process`.
    fn of(process: &mut ChildGuard) -> Result<Console> {
        let here = Path::new(CONSOLE);
        let pipe = process.child().stdout.take();
        let pipe =
            pipe.ok_or_else(|| Error::Tool("internal error: the boot has no console".into()))?;
        let flags = rustix::fs::fcntl_getfl(&pipe).io("prepare", here)?;
        rustix::fs::fcntl_setfl(&pipe, flags | rustix::fs::OFlags::NONBLOCK).io("prepare", here)?;
        Ok(Console { pipe, open: true, buffer: vec![0; 64 * 1024], flush_due: None })
    }
}

/// The clock side of a boot.
pub(super) struct Watch<'a> {
    start: Instant,
    limits: &'a Limits<'a>,
    grace: Duration,
    waits: Waits,
    /// Where the time for what is under way began,
    since: Mark,
    /// and how much that is.
    time: Duration,
    /// What is said when it is over.
    deadline_reason: String,
    last_output: Instant,
    /// Whether it said anything at all.
    heard: bool,
    dying_since: Option<Mark>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(
        start: Instant,
        limits: &'a Limits<'a>,
        grace: Duration,
        waits: Waits,
    ) -> Self {
        let seconds = limits.boot.as_secs();
        Watch {
            start,
            limits,
            grace,
            waits,
            since: Mark { at: start, waited: Duration::ZERO },
            time: limits.boot,
            deadline_reason: format!("no test began within {seconds} s after power on"),
            last_output: start,
            heard: false,
            dying_since: None,
        }
    }

    /// Reads the console until there is a reason to stop, or the process has left.
    pub(super) fn supervise(
        &mut self,
        process: &mut ChildGuard,
        judge: &mut Judge,
        stop: &StopSignal,
        logs: &mut BootLogs,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<Ended> {
        let pidfd = process.pidfd()?;
        let mut console = Console::of(process)?;
        // What came in time counts, even if we come late ourselves: there is a last look.
        let mut looked = false;
        loop {
            if stop.requested().is_some() {
                return Ok(Ended::Stopped(End::Interrupted));
            }
            let until = self.until(judge);
            let mut left = until.at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let lost = self.waits.so_far().saturating_sub(until.waited);
                left = (until.at + lost).saturating_duration_since(Instant::now());
            }
            if left.is_zero() && looked {
                let lost = self.waits.so_far().as_secs_f64();
                let at = self.start.elapsed().as_secs_f64();
                logs.decision(&format!("{at:.3} s: {lost:.3} s of it without a CPU"))?;
                return Ok(Ended::Stopped(self.verdict(judge, logs.dir())));
            }
            looked = left.is_zero();
            let keep = self.limits.debug == Debug::Keep && judge.has_result();
            if keep && debug::has_shut_down(logs.dir()) {
                return Ok(Ended::Stopped(End::Exited));
            }
            if keep {
                left = left.min(LOOK);
            }
            let now = Instant::now();
            if console.flush_due.is_some_and(|due| due <= now) {
                logs.flush()?;
                console.flush_due = None;
            }
            let wait = console.flush_due.map_or(left, |due| left.min(due - now));
            let timeout = Timespec::try_from(wait).ok();
            let mut fds = vec![
                PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN),
            ];
            if console.open {
                fds.push(PollFd::from_borrowed_fd(console.pipe.as_fd(), PollFlags::IN));
            }
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e).io("wait for", Path::new(CONSOLE)),
            }
            let left_by_itself = !fds[1].revents().is_empty();
            drop(fds);

            // After its end, what the pipe still holds is read to the last byte.
            if let Some(end) = self.read(&mut console, left_by_itself, judge, logs, on_event)? {
                return Ok(Ended::Stopped(end));
            }
            if left_by_itself {
                return Ok(Ended::Left);
            }
        }
    }

    /// Takes a piece of what the console holds, or `all` of it, unless there is a reason to stop in
    /// it.
    fn read(
        &mut self,
        console: &mut Console,
        all: bool,
        judge: &mut Judge,
        logs: &mut BootLogs,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<Option<End>> {
        while console.open {
            match console.pipe.read(&mut console.buffer) {
                Ok(0) => console.open = false,
                Ok(count) => {
                    self.heard = true;
                    self.bytes(&console.buffer[..count], judge, logs, on_event)?;
                    console.flush_due.get_or_insert_with(|| Instant::now() + LOG_DELAY);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e).io("read", Path::new(CONSOLE)),
            }
            if (self.limits.enough)(judge) {
                return Ok(Some(End::Enough));
            }
            if judge.is_flooded() {
                return Ok(Some(if judge.has_result() { End::Exited } else { End::Flooded }));
            }
            if !all {
                break;
            }
        }
        Ok(None)
    }

    /// Whether it said anything at all.
    pub(super) fn heard(&self) -> bool {
        self.heard
    }

    /// Takes what the console said, and looks at the clock for what begins with it.
    pub(super) fn bytes(
        &mut self,
        bytes: &[u8],
        judge: &mut Judge,
        logs: &mut BootLogs,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<()> {
        let now = Instant::now();
        self.last_output = now;
        logs.console(bytes)?;
        let mut events = Vec::new();
        judge.feed(bytes, now - self.start, |event| events.push(event));
        for event in &events {
            match event {
                Event::Line(line) => logs.line(line)?,
                Event::TestStarted(name) => {
                    let time = (self.limits.test)(name);
                    self.begin(now, time);
                    self.deadline_reason = format!("no result within {} s", time.as_secs());
                }
                Event::TestEnded => {
                    self.begin(now, self.limits.boot);
                    let seconds = self.limits.boot.as_secs();
                    self.deadline_reason = format!(
                        "neither a test nor the last line within {seconds} s after the last result"
                    );
                }
                Event::Final => self.begin(now, self.grace),
                Event::Xen(_) | Event::TestSettled(_) => {}
            }
            let at = (now - self.start).as_secs_f64();
            match event {
                Event::Line(_) | Event::TestSettled(_) => {}
                other => logs.decision(&format!("{at:.3} s: {other:?}"))?,
            }
            on_event(event);
        }
        if judge.vitals() > Vitals::Alive && self.dying_since.is_none() {
            self.dying_since = Some(self.mark(now));
            let at = (now - self.start).as_secs_f64();
            logs.decision(&format!("{at:.3} s: Xen is dying"))?;
        }
        Ok(())
    }

    fn mark(&self, at: Instant) -> Mark {
        Mark { at, waited: self.waits.so_far() }
    }

    /// Something begins that may take so long.
    fn begin(&mut self, now: Instant, time: Duration) {
        (self.since, self.time) = (self.mark(now), time);
    }

    /// When to stop if nothing more happens, and the process had its CPU from a moment on until
    /// which it had waited so long.
    fn until(&self, judge: &Judge) -> Mark {
        let deadline = Mark { at: self.since.at + self.time, ..self.since };
        if self.limits.debug == Debug::Gdb {
            return Mark { at: self.start + FOR_EVER, ..self.since };
        }
        match (judge.vitals(), self.dying_since) {
            // There is nothing to wait for.
            (Vitals::Dead, Some(since)) => Mark { waited: Duration::MAX, ..since },
            (_, Some(since)) => {
                let end = (self.last_output + QUIET).min(since.at + DEATH_SPEECH);
                if end < deadline.at { Mark { at: end, ..since } } else { deadline }
            }
            _ => deadline,
        }
    }

    /// What a stop at [`Watch::until`] means.
    fn verdict(&self, judge: &Judge, dir: &Path) -> End {
        let keep = self.limits.debug == Debug::Keep;
        if judge.has_result() {
            End::Exited
        } else if judge.vitals() > Vitals::Alive {
            End::XenDied
        } else if keep && debug::has_shut_down(dir) {
            End::Exited
        } else {
            End::TimedOut(self.deadline_reason.clone())
        }
    }
}

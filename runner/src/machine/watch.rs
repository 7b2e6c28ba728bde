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
/// QEMU hands over single bytes. To be woken for each takes a tenth of a machine's processor time, so
/// this long others may come.
const GATHER: Duration = Duration::from_millis(2);
/// Whoever looks on sees the logs this late: there are too many pieces to flush each.
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

impl<'a> Limits<'a> {
    /// For a boot that goes on to its end, with nobody looking on: `boot` from power on to the
    /// first test and between two tests, and `test` for each of them.
    pub fn new(boot: Duration, test: &'a dyn Fn(&str) -> Duration) -> Limits<'a> {
        Limits { boot, test, enough: &|_| false, debug: Debug::No }
    }
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
    /// For how long the process has waited for a CPU.
    waits: Box<dyn Fn() -> Duration>,
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
        Watch::with_waits(start, limits, grace, Box::new(move || waits.so_far()))
    }

    pub(super) fn with_waits(
        start: Instant,
        limits: &'a Limits<'a>,
        grace: Duration,
        waits: Box<dyn Fn() -> Duration>,
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
            let mut left = self.left(self.until(judge), Instant::now());
            if left.is_zero() && looked {
                let lost = (self.waits)().as_secs_f64();
                let at = self.start.elapsed().as_secs_f64();
                logs.decision(&format!("{at:.3} s: {lost:.3} s of it without a CPU"))?;
                return Ok(Ended::Stopped(self.verdict(judge, logs.dir())));
            }
            looked = left.is_zero();
            let keep = self.limits.debug == Debug::Keep;
            let silent = judge.has_result() || self.last_output.elapsed() > QUIET;
            if keep && silent && debug::has_shut_down(logs.dir()) {
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
            let speaks = fds.get(2).is_some_and(|console| !console.revents().is_empty());
            if speaks && fds[..2].iter().all(|fd| fd.revents().is_empty()) {
                let timeout = Timespec::try_from(GATHER).ok();
                match poll(&mut fds[..2], timeout.as_ref()) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(e) => return Err(e).io("wait for", Path::new(CONSOLE)),
                }
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
        logs.console(bytes)?;
        self.bytes_at(Instant::now(), bytes, judge, logs, on_event)
    }

    /// The same for what is in the console's log already, and came at `now`.
    pub(super) fn bytes_at(
        &mut self,
        now: Instant,
        bytes: &[u8],
        judge: &mut Judge,
        logs: &mut BootLogs,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<()> {
        self.last_output = now;
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
                Event::Xen(_) | Event::Sights(_) | Event::TestSettled(_) => {}
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
        Mark { at, waited: (self.waits)() }
    }

    /// The boot begins now; what was heard before came from the one before it.
    pub(super) fn restart(&mut self, now: Instant) {
        self.begin(now, self.limits.boot);
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
            _ if judge.not_booted().is_some() => Mark { at: self.start, waited: Duration::MAX },
            (_, Some(since)) => {
                let end = (self.last_output + QUIET).min(since.at + DEATH_SPEECH);
                if end < deadline.at { Mark { at: end, ..since } } else { deadline }
            }
            _ => deadline,
        }
    }

    /// How long it is from `now` to the stop: what the process has waited for a CPU meanwhile is
    /// given back to it.
    fn left(&self, until: Mark, now: Instant) -> Duration {
        let left = until.at.saturating_duration_since(now);
        if !left.is_zero() {
            return left;
        }
        let lost = (self.waits)().saturating_sub(until.waited);
        (until.at + lost).saturating_duration_since(now)
    }

    /// How long to wait from `now` on for what a machine says that nobody here can stop: after a
    /// Xen that died it may start again.
    pub(super) fn patience(&self, judge: &Judge, now: Instant) -> Duration {
        match self.dying_since.filter(|_| judge.vitals() == Vitals::Dead) {
            Some(since) => (since.at + self.grace).saturating_duration_since(now),
            None => self.left(self.until(judge), now),
        }
    }

    /// What a stop at [`Watch::until`] means.
    pub(super) fn verdict(&self, judge: &Judge, dir: &Path) -> End {
        let keep = self.limits.debug == Debug::Keep;
        if judge.has_result() {
            End::Exited
        } else if judge.vitals() > Vitals::Alive {
            End::XenDied
        } else if judge.not_booted().is_some() {
            End::NotBooted
        } else if keep && debug::has_shut_down(dir) {
            End::Exited
        } else {
            End::TimedOut(self.deadline_reason.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::process::{ChildStdin, Command, Stdio};
    use std::rc::Rc;

    use tempfile::TempDir;

    use super::*;
    use crate::machine::logs::RunLogs;

    const HOUR: Duration = Duration::from_secs(3600);

    fn limits(boot: Duration) -> Limits<'static> {
        Limits::new(boot, &|_| HOUR)
    }

    /// A process that says what it is told, and leaves when nobody can tell it anything any more.
    fn echo() -> (ChildGuard, ChildStdin) {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = ChildGuard::spawn(&mut command).unwrap();
        let input = process.child().stdin.take().unwrap();
        (process, input)
    }

    fn supervise(watch: &mut Watch<'_>, process: &mut ChildGuard) -> Ended {
        let dir = TempDir::new().unwrap();
        let stop = StopSignal::none();
        let logs = RunLogs::create(dir.path(), &stop).unwrap();
        let dir = logs.boot(1, "echo");
        let mut logs = BootLogs::create(dir, None, None).unwrap();
        let mut judge = Judge::new("PV 64bit", Vec::new());
        watch.supervise(process, &mut judge, &stop, &mut logs, &mut |_| {}).unwrap()
    }

    /// The process leaves only after somebody has asked how long it waited, which is far more than
    /// it may take.
    #[test]
    fn time_without_a_cpu_does_not_count() {
        let (mut process, input) = echo();
        let input = RefCell::new(Some(input));
        let limits = limits(Duration::ZERO);
        let waits = move || {
            input.take();
            HOUR
        };
        let mut watch = Watch::with_waits(Instant::now(), &limits, Duration::ZERO, Box::new(waits));
        assert!(matches!(supervise(&mut watch, &mut process), Ended::Left));
    }

    #[test]
    fn time_with_a_cpu_counts() {
        let (mut process, _input) = echo();
        let limits = limits(Duration::ZERO);
        let waits = || Duration::ZERO;
        let mut watch = Watch::with_waits(Instant::now(), &limits, Duration::ZERO, Box::new(waits));
        let ended = supervise(&mut watch, &mut process);
        assert!(matches!(ended, Ended::Stopped(End::TimedOut(_))));
    }

    #[test]
    fn what_is_left() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let second = Duration::from_secs(1);
        let limits = limits(10 * second);
        let waited = Rc::new(Cell::new(7 * second));
        let waits = Rc::clone(&waited);
        let waits = Box::new(move || waits.get());
        let mut watch = Watch::with_waits(start, &limits, Duration::ZERO, waits);
        // What it waited before something began is no excuse for that.
        watch.begin(at(100), 10 * second);
        let judge = Judge::new("PV 64bit", Vec::new());
        let until = watch.until(&judge);
        let left = |now| watch.left(until, at(now));
        assert_eq!(left(104), 6 * second);
        assert_eq!(left(110), Duration::ZERO);
        waited.set(10 * second);
        assert_eq!(left(104), 6 * second);
        assert_eq!(left(110), 3 * second);
        assert_eq!(left(113), Duration::ZERO);
        waited.set(Duration::ZERO);
        assert_eq!(left(110), Duration::ZERO);
    }

    /// When a watch stops that has 1000 s, heard `said` 7 s after the start, and
    /// the last byte at `last`: seconds after the start, and whether waiting for a CPU counts.
    fn stops(said: &str, last: u64) -> (u64, bool) {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let limits = limits(Duration::from_secs(1000));
        let mut watch =
            Watch::with_waits(start, &limits, Duration::ZERO, Box::new(|| Duration::ZERO));
        let mut judge = Judge::new("PV 64bit", Vec::new());
        judge.feed(said.as_bytes(), Duration::from_secs(7), |_| {});
        if judge.vitals() > Vitals::Alive {
            watch.dying_since = Some(watch.mark(after(7)));
        }
        watch.last_output = after(last);
        let until = watch.until(&judge);
        ((until.at - start).as_secs(), until.waited == Duration::ZERO)
    }

    #[test]
    fn a_dying_xen_is_not_waited_for_longer_than_needed() {
        assert_eq!(stops("(XEN) fine\n", 7), (1000, true));
        // Silence after the first sign,
        assert_eq!(stops("(XEN) Panic on CPU 0:\n", 7), (8, true));
        assert_eq!(stops("(XEN) [    2.354000] Xen BUG at common/a.c:1\n", 9), (10, true));
        // an endless speech,
        assert_eq!(stops("(XEN) Panic on CPU 0:\n", 900), (17, true));
        // and the last word.
        for last in [
            "Reboot in five seconds...",
            "Manual reset required ('noreboot' specified)",
            "Hardware Dom0 crashed: rebooting machine in 5 seconds.",
            "Hardware Dom0 crashed: 'noreboot' set - not rebooting.",
            "Hardware Dom0 shutdown (unknown reason 9): rebooting machine in 5 seconds.",
            "Hardware Dom0 halted: halting machine",
        ] {
            assert_eq!(stops(&format!("(XEN) {last}\n"), 900), (7, false), "{last}");
        }
        // A reboot comes without being waited for.
        assert_eq!(stops("(XEN) Hardware Dom0 shutdown: rebooting machine\n", 7), (1000, true));
    }
}

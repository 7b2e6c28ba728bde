//! One boot: starts its console process, feeds the console to the judge, and decides when to stop.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::base::exit::{Error, IoContext, Result};
use crate::base::process::{ChildGuard, Waits};
use crate::base::shell::quote_path;
use crate::base::signals::StopSignal;
use crate::judge::{End, Event, Judge, Judgement, Vitals};
use crate::machine::debug::{self, Debug, Kept};
use crate::machine::logs::BootLogs;
use crate::machine::qemu::Invocation;

/// Time to leave by itself after the guest's last line.
const GRACE: Duration = Duration::from_secs(5);
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
/// Lines of QEMU's complaints that are worth a quotation.
const QUOTED: usize = 8;

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

/// What a boot is started with: a process whose standard output is the console, and which leaves
/// when the guest does.
pub trait ConsoleProcess {
    /// What to call it, and in small letters the log of its complaints.
    fn name(&self) -> &str;

    /// The command as a line for a shell.
    fn shell(&self) -> String;

    /// The command that does the same when this run is over.
    fn again(&self) -> String {
        self.shell()
    }

    /// What the console said before it starts.
    fn before(&self) -> &[u8] {
        &[]
    }

    /// Starts it in the folder `dir`.
    fn start(&self, dir: &Path, stderr: File) -> io::Result<ChildGuard>;

    /// Time to leave by itself after the guest's last line.
    fn grace(&self) -> Duration {
        GRACE
    }

    /// It left with a bad `status`, and said this: in words, and whether the tests are not to
    /// blame, but a tool.
    fn failure(&self, status: ExitStatus, complaint: &str) -> (String, bool) {
        (format!("{} died: {}{}", self.name(), describe(status), said(complaint)), true)
    }

    /// What there is to add to the console once it is over; `clean` is an end without complaint.
    fn last_words(&self, _clean: bool) -> Vec<u8> {
        Vec::new()
    }
}

impl ConsoleProcess for Invocation {
    fn name(&self) -> &str {
        "QEMU"
    }

    fn shell(&self) -> String {
        Invocation::shell(self)
    }

    fn start(&self, dir: &Path, stderr: File) -> io::Result<ChildGuard> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).current_dir(dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        ChildGuard::spawn(&mut command)
    }
}

/// What came of a boot.
#[derive(Debug)]
pub struct BootResult {
    /// The judge's word.
    pub judgement: Judgement,
    /// A tool failed; what it said.
    pub tool_failure: Option<ToolFailure>,
    /// The machine, where it may be kept and is still there.
    pub kept: Option<Kept>,
}

/// What carried the boot died by itself.
#[derive(Debug)]
pub struct ToolFailure {
    /// How, with its own words.
    pub what: String,
    /// It never got as far as running anything.
    pub at_start: bool,
}

/// Boots and judges.
pub fn run(
    carrier: &dyn ConsoleProcess,
    mut judge: Judge,
    limits: &Limits<'_>,
    stop: &StopSignal,
    logs: &mut BootLogs,
    on_event: &mut dyn FnMut(&Event),
) -> Result<BootResult> {
    let name = carrier.name();
    logs.decision(&format!("cd {} && {}", quote_path(logs.dir()), carrier.shell()))?;
    let (stderr, stderr_path) = logs.stderr(&name.to_lowercase())?;
    let start = Instant::now();
    let mut process = carrier
        .start(logs.dir(), stderr)
        .map_err(|e| Error::Tool(format!("cannot start {}: {e}", carrier.shell())))?;

    let mut watch = Watch::new(start, limits, carrier.grace(), process.waits());
    watch.bytes(carrier.before(), &mut judge, logs, on_event)?;
    let ended = watch.supervise(&mut process, &mut judge, stop, logs, on_event)?;
    let elapsed = start.elapsed();
    let at = elapsed.as_secs_f64();

    let mut tool_failure = None;
    let mut kept = None;
    let keep = limits.debug == Debug::Keep;
    let end = match ended {
        Ended::Stopped(end) if keep && !matches!(end, End::Interrupted | End::Enough) => {
            match Kept::pause(process, logs.dir()) {
                Ok(machine) => kept = Some(machine),
                Err(e) => logs.decision(&format!("{at:.3} s: cannot keep the machine: {e}"))?,
            }
            logs.decision(&format!("{at:.3} s: end: {end:?}"))?;
            end
        }
        ended => {
            process.stop();
            let status = process.child().wait().io("wait for", Path::new(name))?;
            let clean = status.success() && !matches!(ended, Ended::Stopped(End::TimedOut(_)));
            watch.bytes(&carrier.last_words(clean), &mut judge, logs, on_event)?;
            let complaint = complaint(&stderr_path);
            let end = match ended {
                Ended::Stopped(End::TimedOut(why)) if complaint.is_empty() => End::TimedOut(why),
                Ended::Stopped(End::TimedOut(why)) => {
                    End::TimedOut(format!("{why}; {name} says: {complaint}"))
                }
                Ended::Stopped(end) => end,
                Ended::Left if status.success() => End::Exited,
                Ended::Left => {
                    let (what, tool) = carrier.failure(status, &complaint);
                    if tool && !judge.has_result() && judge.vitals() == Vitals::Alive {
                        let at_start = !watch.heard;
                        tool_failure = Some(ToolFailure { what: what.clone(), at_start });
                    }
                    End::ToolDied(what)
                }
            };
            logs.decision(&format!("{at:.3} s: end: {end:?}; {name} {}", describe(status)))?;
            end
        }
    };
    let mut rest = Vec::new();
    let judgement = judge.finish(end, elapsed, |event| rest.push(event));
    for event in &rest {
        if let Event::Line(line) = event {
            logs.line(line)?;
        }
        on_event(event);
    }
    for report in &judgement.settled {
        logs.decision(&format!(
            "{} {}: {}",
            report.status,
            report.name,
            report.reasons.join("; ")
        ))?;
    }
    if !judgement.rerun.is_empty() {
        logs.decision(&format!("booting again: {}", judgement.rerun.join(" ")))?;
    }
    logs.flush()?;
    Ok(BootResult { judgement, tool_failure, kept })
}

/// Why supervision ended.
enum Ended {
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

/// The clock side of a boot.
struct Watch<'a> {
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
    fn new(start: Instant, limits: &'a Limits<'a>, grace: Duration, waits: Waits) -> Self {
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

    fn supervise(
        &mut self,
        process: &mut ChildGuard,
        judge: &mut Judge,
        stop: &StopSignal,
        logs: &mut BootLogs,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<Ended> {
        let here = Path::new("the console");
        let pidfd = process.pidfd()?;
        let console = process.child().stdout.take();
        let mut console =
            console.ok_or_else(|| Error::Tool("internal error: the boot has no console".into()))?;
        let flags = rustix::fs::fcntl_getfl(&console).io("prepare", here)?;
        rustix::fs::fcntl_setfl(&console, flags | rustix::fs::OFlags::NONBLOCK)
            .io("prepare", here)?;

        let mut open = true;
        let mut flush_due: Option<Instant> = None;
        // What came in time counts, even if we come late ourselves: there is a last look.
        let mut looked = false;
        let mut buffer = vec![0; 64 * 1024];
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
            if flush_due.is_some_and(|due| due <= now) {
                logs.flush()?;
                flush_due = None;
            }
            let wait = flush_due.map_or(left, |due| left.min(due - now));
            let timeout = Timespec::try_from(wait).ok();
            let mut fds = vec![
                PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN),
            ];
            if open {
                fds.push(PollFd::from_borrowed_fd(console.as_fd(), PollFlags::IN));
            }
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e).io("wait for", here),
            }
            let left_by_itself = !fds[1].revents().is_empty();
            drop(fds);

            // After its end, what the pipe still holds is read to the last byte.
            while open {
                match console.read(&mut buffer) {
                    Ok(0) => open = false,
                    Ok(count) => {
                        self.heard = true;
                        self.bytes(&buffer[..count], judge, logs, on_event)?;
                        flush_due.get_or_insert_with(|| Instant::now() + LOG_DELAY);
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e).io("read", here),
                }
                if (self.limits.enough)(judge) {
                    return Ok(Ended::Stopped(End::Enough));
                }
                if judge.is_flooded() {
                    let end = if judge.has_result() { End::Exited } else { End::Flooded };
                    return Ok(Ended::Stopped(end));
                }
                if !left_by_itself {
                    break;
                }
            }
            if left_by_itself {
                return Ok(Ended::Left);
            }
        }
    }

    fn bytes(
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

/// The complaints on standard error, without the ones that every boot of QEMU's brings.
fn complaint(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("TCG doesn't support requested feature"))
        .filter(|line| !line.trim().is_empty())
        .take(QUOTED)
        .collect();
    lines.join("; ")
}

fn said(complaint: &str) -> String {
    if complaint.is_empty() { String::new() } else { format!(": {complaint}") }
}

/// How a process ended.
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

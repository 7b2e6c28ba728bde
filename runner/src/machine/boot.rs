//! One boot: starts what carries it, has it watched, and settles its end.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use crate::base::exit::{Error, IoContext, Result};
use crate::base::process::ChildGuard;
use crate::base::shell::quote_path;
use crate::base::signals::StopSignal;
use crate::judge::{End, Event, Judge, Judgement, Vitals};
use crate::machine::debug::{Debug, Kept};
use crate::machine::logs::BootLogs;
pub use crate::machine::watch::Limits;
use crate::machine::watch::{Ended, Watch};

/// Time to leave by itself after the guest's last line.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// Lines of QEMU's complaints that are worth a quotation.
const QUOTED: usize = 8;

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

    /// Takes away from the folder `dir` what nobody needs once it is over.
    fn sweep(&self, _dir: &Path) {}

    /// What there is to add to the console once it is over; `clean` is an end without complaint.
    fn last_words(&self, _clean: bool) -> Vec<u8> {
        Vec::new()
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
            carrier.sweep(logs.dir());
            let clean = status.success() && !matches!(ended, Ended::Stopped(End::TimedOut(_)));
            watch.bytes(&carrier.last_words(clean), &mut judge, logs, on_event)?;
            let complaint = complaint(&stderr_path);
            let (end, failure) = end_of(ended, status, &complaint, carrier, &judge, watch.heard());
            tool_failure = failure;
            logs.decision(&format!("{at:.3} s: end: {end:?}; {name} {}", describe(status)))?;
            end
        }
    };
    let judgement = conclude(judge, end, elapsed, logs, on_event)?;
    Ok(BootResult { judgement, tool_failure, kept })
}

/// What the end of the process means: for the judge, and for the tool that carried the boot.
fn end_of(
    ended: Ended,
    status: ExitStatus,
    complaint: &str,
    carrier: &dyn ConsoleProcess,
    judge: &Judge,
    heard: bool,
) -> (End, Option<ToolFailure>) {
    match ended {
        Ended::Stopped(End::TimedOut(why)) if complaint.is_empty() => (End::TimedOut(why), None),
        Ended::Stopped(End::TimedOut(why)) => {
            let name = carrier.name();
            (End::TimedOut(format!("{why}; {name} says: {complaint}")), None)
        }
        Ended::Stopped(end) => (end, None),
        Ended::Left if status.success() => (End::Exited, None),
        Ended::Left => {
            let (what, tool) = carrier.failure(status, complaint);
            let failed = tool && !judge.has_result() && judge.vitals() == Vitals::Alive;
            let failure = failed.then(|| ToolFailure { what: what.clone(), at_start: !heard });
            (End::ToolDied(what), failure)
        }
    }
}

/// Has the judge settle what is left, and writes down how.
pub(super) fn conclude(
    judge: Judge,
    end: End,
    elapsed: Duration,
    logs: &mut BootLogs,
    on_event: &mut dyn FnMut(&Event),
) -> Result<Judgement> {
    let mut rest = Vec::new();
    let judgement = judge.finish(end, elapsed, |event| rest.push(event));
    for event in &rest {
        if let Event::Line(line) = event {
            logs.line(line)?;
        }
        on_event(event);
    }
    for report in &judgement.settled {
        let reasons = report.told().join("; ");
        logs.decision(&format!("{} {}: {reasons}", report.status, report.name))?;
    }
    if !judgement.rerun.is_empty() {
        logs.decision(&format!("not reached: {}", judgement.rerun.join(" ")))?;
    }
    logs.flush()?;
    Ok(judgement)
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

//! Child processes that cannot outlive the runner.
//!
//! The kernel kills a child when the thread that started it ends, whatever ends it, SIGKILL of the
//! runner included (PR_SET_PDEATHSIG). So the thread that spawns a child has to be the one that
//! waits for it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, getppid, pidfd_open, set_parent_process_death_signal,
};

use crate::base::exit::{Error, IoContext, Result};

/// Between two looks at a child that is about to end.
const BREATH: Duration = Duration::from_millis(10);

/// Makes the child of `command` die with this thread.
pub fn die_with_parent(command: &mut Command) -> &mut Command {
    let parent = getpid();
    let tie = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the line above: then nobody would kill this child.
        if getppid() == Some(parent) { Ok(()) } else { Err(Errno::SRCH.into()) }
    };
    // SAFETY: between fork and exec only async-signal-safe work is allowed. `tie` makes the system
    // calls prctl and getppid, allocates nothing, takes no lock, and touches no shared state.
    unsafe { command.pre_exec(tie) }
}

/// A child in a process group of its own, stopped and reaped when dropped.
#[derive(Debug)]
pub struct ChildGuard {
    child: Child,
    patience: Option<Duration>,
}

impl ChildGuard {
    /// Starts `command`; a terminal's Ctrl-C reaches only the runner, which then decides.
    pub fn spawn(command: &mut Command) -> io::Result<ChildGuard> {
        let child = die_with_parent(command.process_group(0)).spawn()?;
        Ok(ChildGuard { child, patience: None })
    }

    /// Starts a `command` that ends, and cleans up behind itself, when its standard input is
    /// closed: it has so long for it. The runner's own end, whatever it is, closes that too.
    pub fn spawn_tidy(command: &mut Command, patience: Duration) -> io::Result<ChildGuard> {
        let child = command.process_group(0).stdin(Stdio::piped()).spawn()?;
        Ok(ChildGuard { child, patience: Some(patience) })
    }

    /// The child itself.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Something that becomes readable when the child is gone.
    pub fn pidfd(&self) -> Result<OwnedFd> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid =
            pid.ok_or_else(|| Error::Tool("internal error: a child process has no id".into()))?;
        pidfd_open(pid, PidfdFlags::empty()).io("watch", Path::new("a child process"))
    }

    /// How long it has to wait for a CPU.
    pub fn waits(&self) -> Waits {
        Waits(self.child.id())
    }

    /// Ends it, in the way it was started for; harmless when it is gone.
    pub fn stop(&mut self) {
        drop(self.child.stdin.take());
        if let Some(patience) = self.patience {
            let deadline = Instant::now() + patience;
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                thread::sleep(BREATH);
            }
        }
        // A reaped child's number may be somebody else's by now.
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            // Not there any more is as good as killed.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        self.stop();
        let _ = self.child.wait();
    }
}

/// How long a process waits, being ready to run, for a CPU that others use.
#[derive(Clone, Copy, Debug)]
pub struct Waits(u32);

impl Waits {
    /// How long its threads have waited until now: the one that waited longest, since a sum would
    /// grow faster than time. Nothing where the kernel does not tell (`CONFIG_SCHED_INFO`).
    pub fn so_far(self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0)).into_iter().flatten();
        let waited = threads.filter_map(|thread| {
            // In ns: time on a CPU, time in the queue for one; how often it ran.
            let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            text.split_whitespace().nth(1)?.parse().ok()
        });
        Duration::from_nanos(waited.max().unwrap_or(0))
    }
}

/// A program that is run to its end for its output.
#[derive(Debug)]
pub struct Tool {
    command: Command,
    name: String,
}

impl Tool {
    /// A call of `program` in an untranslated locale.
    pub fn new(program: impl AsRef<OsStr>) -> Tool {
        let name = program.as_ref().to_string_lossy().into_owned();
        let mut command = Command::new(program);
        command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        Tool { command, name }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Tool {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Tool {
        self.command.args(args);
        self
    }

    /// Sets its working directory.
    pub fn cwd(mut self, dir: &Path) -> Tool {
        self.command.current_dir(dir);
        self
    }

    /// Runs it; returns its standard output. What it complains of becomes the error's text.
    pub fn run(mut self) -> Result<String> {
        let output = die_with_parent(&mut self.command).output().map_err(|e| {
            Error::Tool(if e.kind() == io::ErrorKind::NotFound {
                format!("{} is not installed (looked for it in PATH)", self.name)
            } else {
                format!("cannot run {}: {e}", self.name)
            })
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let arguments: Vec<_> = self.command.get_args().map(OsStr::to_string_lossy).collect();
        let complaint = String::from_utf8_lossy(&output.stderr);
        Err(Error::Tool(format!(
            "{} failed ({}):\n{}\nThe command was: {} {}",
            self.name,
            output.status,
            complaint.trim(),
            self.name,
            arguments.join(" ")
        )))
    }
}

#[cfg(test)]
mod tests {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    use super::*;

    #[test]
    fn who_shares_a_cpu_waits() {
        let busy = || {
            let mut command = Command::new("sh");
            ChildGuard::spawn(command.args(["-c", "while :; do :; done"])).unwrap()
        };
        let pair = [busy(), busy()];
        let allowed = sched_getaffinity(None).unwrap();
        let cpu = (0..CpuSet::MAX_CPU).find(|&cpu| allowed.is_set(cpu)).unwrap();
        let mut one = CpuSet::new();
        one.set(cpu);
        for process in &pair {
            let pid = Pid::from_raw(process.child.id().cast_signed());
            sched_setaffinity(pid, &one).unwrap();
        }
        // However long that takes.
        while pair.iter().any(|process| process.waits().so_far() < Duration::from_millis(100)) {
            thread::sleep(BREATH);
        }
        drop(pair);
    }
}

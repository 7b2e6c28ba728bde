//! `xtf-runner dom0`: the Linux dom0 of `qemu-xl` for people and scripts.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tempfile::NamedTempFile;

use crate::base::exit::{Error, IoContext, Result};
use crate::base::output::note;
use crate::base::process::die_with_parent;
use crate::base::shell::{self, quote};
use crate::base::signals::StopSignal;
use crate::cli::Dom0Args;
use crate::commands::chosen;
use crate::machine::logs::RunLogs;
use crate::machine::qemu::{BootMode, Qemu};
use crate::machine::testbed::ChosenXen;
use crate::machine::xl::dom0::machine::RunningDom0;
use crate::machine::xl::host_shell::HostShell;
use crate::machine::xl::with_dom0;
use crate::xen::hypervisor::XenUnderTest;

/// How ssh ends when it could not do its own work.
const SSH_FAILED: i32 = 255;

/// Runs the command, to its own exit code.
pub fn shell(args: &Dom0Args) -> Result<u8> {
    let ChosenXen { config, xen, cache } = chosen(&args.on)?;
    let qemu = Qemu {
        mode: BootMode::Plain,
        xen_cmdline: args.xen_cmdline.clone().unwrap_or_default(),
        ..Qemu::of(args.qemu.as_deref(), &config)
    };
    qemu.probe()?;
    // A boot takes a minute: what is missing here is told before.
    let read = |file: &PathBuf| Ok((file.clone(), fs::read(file).io("read", file)?));
    let files = args.put.iter().map(read).collect::<Result<Vec<_>>>()?;
    let (file, dom0) = with_dom0(&xen, &args.with, &cache)?;
    let xen = XenUnderTest::new(&xen, Some(file));
    let stop = StopSignal::install()?;
    let logs = RunLogs::create(&config.logs(args.logs.logs.as_deref()), &stop)?;
    note(&format!("booting; logs in {}", logs.dir().display()));
    let folder = logs.dir().join(format!("dom0-{}", xen.name()));
    let machine = RunningDom0::start(&qemu, &xen, &dom0, &folder, &stop)?;
    let place = HostShell::beyond(machine.remote())?;
    for (file, bytes) in &files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        place.put(&name, bytes)?;
    }
    if let Some(path) = &args.ssh_config {
        // In one step: as soon as it is there, it can be used.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let mut file = NamedTempFile::new_in(folder).io("write to", folder)?;
        file.write_all(machine.ssh_config()?.as_bytes()).io("write", path)?;
        file.persist(path).map_err(|e| e.error).io("write", path)?;
    }
    let folder = quote(place.folder());
    let mut command = if args.command.is_empty() {
        place.terminal(&format!("cd {folder} && exec sh -i"))
    } else {
        place.command(&format!("cd {folder} && {}", line(&args.command)))
    };
    let status = run(&mut command, &stop)?;
    if let Some(stopped) = stop.requested() {
        return Ok(stopped as u8);
    }
    match status.code().filter(|code| *code != SSH_FAILED).map(u8::try_from) {
        Some(Ok(code)) => Ok(code),
        _ => Err(Error::Tool(format!("ssh to the dom0 failed: {status}"))),
    }
}

/// Runs ssh to its end, or to the signal that ends the runner: ssh ends by that, too, and leaves the
/// terminal as it was. It stays in the runner's process group, to which that terminal belongs.
fn run(command: &mut Command, stop: &StopSignal) -> Result<ExitStatus> {
    let fault = |e: io::Error| Error::Tool(format!("cannot run ssh: {e}"));
    let mut ssh = die_with_parent(command).spawn().map_err(fault)?;
    let pid = Pid::from_child(&ssh);
    let ended = pidfd_open(pid, PidfdFlags::empty()).map_err(|e| fault(e.into()))?;
    let mut either = [PollFd::new(&ended, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
    while let Err(Errno::INTR) = poll(&mut either, None) {}
    if stop.requested().is_some() {
        // Not there any more is as good as ended.
        let _ = kill_process(pid, Signal::TERM);
    }
    ssh.wait().map_err(fault)
}

/// What a shell is to do: one word is a line for it, and several are a command and its arguments.
fn line(command: &[String]) -> String {
    match command {
        [line] => line.clone(),
        words => shell::line(words),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn a_signal_ends_it_and_else_it_ends_itself() {
        let status = run(Command::new("sh").args(["-c", "exit 3"]), &StopSignal::none()).unwrap();
        assert_eq!(status.code(), Some(3));
        let mut for_ever = Command::new("sleep");
        let status = run(for_ever.arg("1000000"), &StopSignal::came(Signal::TERM)).unwrap();
        assert_eq!(status.signal(), Some(Signal::TERM.as_raw()));
    }

    #[test]
    fn words_stay_words_and_a_line_stays_a_line() {
        for (words, told) in [
            (&["exit 3"][..], "exit 3"),
            (&["a | b && c"], "a | b && c"),
            (&["sh", "-c", "echo \"a b\""], "sh -c 'echo \"a b\"'"),
            (&["echo", "a b", "$x"], "echo 'a b' '$x'"),
        ] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(line(&words), told);
        }
    }
}

//! Looking at a machine: `--gdb` stops it before its first instruction, `--keep` after its failure.
//!
//! Either way QEMU offers a debugger's and a monitor's socket in the boot's folder, for people, and
//! QMP's for the runner. A kept machine lives as long as the runner waits for it, and not longer.

use std::io;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use serde_json::json;

use crate::base::exit::{IoContext, Result};
use crate::base::process::ChildGuard;
use crate::base::shell::{quote, quote_path};
use crate::base::signals::StopSignal;
use crate::machine::logs::IMAGE_LINK;
use crate::machine::qmp::{self, Qmp};

/// QEMU's gdb server.
pub const GDB_SOCKET: &str = "gdb.sock";
/// QEMU's monitor.
const MONITOR_SOCKET: &str = "monitor.sock";
/// The first function that the debugger stops in.
const FIRST_BREAKPOINT: &str = "xtf_main";

/// How a machine is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Debug {
    /// Not at all.
    #[default]
    No,
    /// With a debugger, from before its first instruction.
    Gdb,
    /// When it has failed.
    Keep,
}

impl Debug {
    /// QEMU's arguments.
    pub fn args(self) -> Vec<String> {
        if self == Debug::No {
            return vec!["-monitor".into(), "none".into()];
        }
        let mut args = vec!["-monitor".into(), server(MONITOR_SOCKET)];
        args.extend(qmp::args());
        args.extend(["-gdb".into(), server(GDB_SOCKET)]);
        // A machine that was reset is worth a look, too.
        args.push(if self == Debug::Gdb { "-S" } else { "-no-shutdown" }.into());
        args
    }

    /// The debugger's command line for the boot in `dir`.
    pub fn gdb_command(self, dir: &Path, xen_syms: Option<&Path>) -> String {
        let mut command = format!("cd {} && gdb", quote_path(dir));
        let mut execute = |text: &str| {
            command += " -ex ";
            command += &quote(text);
        };
        if let Some(path) = xen_syms {
            execute(&format!("add-symbol-file {}", path.display()));
        }
        execute(&format!("target remote {GDB_SOCKET}"));
        if self == Debug::Gdb {
            // In hardware: there is no code in memory yet that an ordinary one could be put into.
            execute(&format!("hbreak {FIRST_BREAKPOINT}"));
        }
        command + " " + IMAGE_LINK
    }
}

/// A machine that stands still.
#[derive(Debug)]
pub struct Kept {
    qemu: ChildGuard,
    dir: PathBuf,
}

impl Kept {
    /// Stops the machine of `qemu`, whose sockets are in `dir`.
    pub fn pause(qemu: ChildGuard, dir: &Path) -> io::Result<Kept> {
        Qmp::connect(dir)?.execute("stop", json!({}))?;
        Ok(Kept { qemu, dir: dir.to_owned() })
    }

    /// What a person needs to know.
    pub fn describe(&self, xen_syms: Option<&Path>) -> String {
        format!(
            "the machine is kept, paused:\n\
             debugger: {}\n\
             monitor: cd {} && socat - UNIX-CONNECT:{MONITOR_SOCKET}\n\
             `quit` in the monitor continues with the next boot, Ctrl-C ends the run",
            Debug::Keep.gdb_command(&self.dir, xen_syms),
            quote(&self.dir.to_string_lossy()),
        )
    }

    /// Waits until the user has seen enough.
    pub fn wait(self, stop: &StopSignal) -> Result<()> {
        let gone = self.qemu.pidfd()?;
        while stop.requested().is_none() {
            let mut fds = [PollFd::new(stop, PollFlags::IN), PollFd::new(&gone, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e).io("wait for", Path::new("QEMU")),
            }
            if !fds[1].revents().is_empty() {
                break;
            }
        }
        Ok(())
    }
}

/// QEMU's word for a socket that somebody may connect to.
pub(super) fn server(socket: &str) -> String {
    format!("unix:{socket},server=on,wait=off")
}

/// Whether the machine in `dir` came to its end, although its QEMU did not.
pub fn has_shut_down(dir: &Path) -> bool {
    let status = Qmp::connect(dir).and_then(|mut qmp| qmp.execute("query-status", json!({})));
    status.is_ok_and(|status| status["status"] == "shutdown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_debuggers_command() {
        let dir = Path::new("/lo gs/001");
        assert_eq!(
            Debug::Gdb.gdb_command(dir, Some(Path::new("/x/xen-syms"))),
            "cd '/lo gs/001' && gdb -ex 'add-symbol-file /x/xen-syms' -ex 'target remote gdb.sock' \
             -ex 'hbreak xtf_main' xtf"
        );
        assert_eq!(
            Debug::Keep.gdb_command(dir, None),
            "cd '/lo gs/001' && gdb -ex 'target remote gdb.sock' xtf"
        );
    }
}

//! Somebody who looks at a machine from outside, whenever its guest asks.
//!
//! QEMU connects the machine's second serial port to a socket in the boot's folder, where a thread
//! of the runner's reads the guest's requests ([`protocol::lookout`]) and answers them. What an
//! answer takes of the machine's memory comes by QMP, while the machine stands still. The thread
//! ends with QEMU, and with the boot at the latest.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use protocol::lookout::{ANSWER_MAX, Answer, COM2, Finding, LOOKOUT, Request};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::json;

use crate::base::exit::Result;
use crate::base::process::ChildGuard;
use crate::base::signals::StopSignal;
use crate::machine::Boot;
use crate::machine::as_dom0::{AsDom0, as_it_is};
use crate::machine::backend::{Backend, Prepared};
use crate::machine::boot::{ConsoleProcess, Limits};
use crate::machine::debug::Debug;
use crate::machine::logs::BootLogs;
use crate::machine::qemu::{Invocation, Qemu};
use crate::machine::qmp::{self, Qmp};
use crate::machine::socket;
use crate::plan::spec::join;

/// The socket's name in the boot's folder.
const SOCKET: &str = "lookout.sock";
/// QEMU's arguments for a port with nobody there: Xen finds the same machine.
const NOBODY: &[&str] = &["-serial", "null"];
/// The file in the boot's folder that memory is read through.
const MEMORY: &str = "memory";

/// Who answers.
pub trait Onlooker: Send {
    /// What there is to say to `request` in the light of `machine`.
    fn answer(&mut self, request: Request, machine: &Machine) -> (Finding, String);
}

/// A machine that runs.
#[derive(Debug)]
pub struct Machine {
    dir: PathBuf,
}

impl Machine {
    /// Has it stand still while `look` looks at its memory.
    ///
    /// # Errors
    /// What `look` or QEMU complains of.
    pub fn still<T>(&self, look: impl FnOnce(&mut Memory<'_>) -> io::Result<T>) -> io::Result<T> {
        let mut memory = Memory { qmp: Qmp::connect(&self.dir)?, dir: &self.dir };
        memory.qmp.execute("stop", json!({}))?;
        let seen = look(&mut memory);
        memory.qmp.execute("cont", json!({}))?;
        seen
    }
}

/// The memory of a machine that stands still, by physical addresses.
#[derive(Debug)]
pub struct Memory<'m> {
    qmp: Qmp,
    dir: &'m Path,
}

impl Memory<'_> {
    /// Bytes of it.
    ///
    /// # Errors
    /// QEMU does not say.
    pub fn size(&mut self) -> io::Result<u64> {
        let summary = self.qmp.execute("query-memory-size-summary", json!({}))?;
        summary["base-memory"].as_u64().ok_or_else(|| io::Error::other("QEMU tells no memory size"))
    }

    /// The `size` bytes from `address` on.
    ///
    /// # Errors
    /// QEMU could not save them, or the file could not be read.
    pub fn read(&mut self, address: u64, size: u64) -> io::Result<Vec<u8>> {
        let place = json!({ "val": address, "size": size, "filename": MEMORY });
        self.qmp.execute("pmemsave", place)?;
        let path = self.dir.join(MEMORY);
        let bytes = fs::read(&path)?;
        fs::remove_file(&path)?;
        if bytes.len() as u64 != size {
            let why = format!("QEMU saved {} bytes of memory instead of {size}", bytes.len());
            return Err(io::Error::other(why));
        }
        Ok(bytes)
    }
}

/// The image as dom0, looked at.
pub struct WithLookout<'a> {
    /// How to boot.
    pub qemu: &'a Qemu,
    /// QEMU's description of itself.
    pub version: &'a str,
    /// Who looks at a boot, if somebody does.
    pub onlooker: &'a (dyn Fn(&Boot<'_>) -> Option<Box<dyn Onlooker>> + Sync),
}

impl Backend for WithLookout<'_> {
    fn prepare<'s>(
        &'s self,
        boot: &Boot<'_>,
        limits: &Limits<'_>,
        _: &StopSignal,
        logs: &mut BootLogs,
    ) -> Result<Prepared<'s>> {
        let Self { qemu, version, onlooker } = self;
        let dom0 = AsDom0 { qemu, version, prepare: &as_it_is };
        let onlooker = onlooker(boot);
        let instead = if onlooker.is_some() { NOBODY } else { &[] };
        dom0.prepare_by(boot, limits, logs, instead, |plain, _| {
            let Some(onlooker) = onlooker else {
                return Ok((qemu.mode_of(boot), Box::new(plain)));
            };
            let guest_cmdline = join([&qemu.guest_cmdline, &format!("{LOOKOUT}={COM2}")]);
            let mut invocation = Qemu { guest_cmdline, ..(*qemu).clone() }.invocation(boot)?;
            let chardev = format!("socket,id={LOOKOUT},path={SOCKET}");
            // The console is the first one.
            let serial = format!("chardev:{LOOKOUT}");
            invocation.args.extend(["-chardev".into(), chardev, "-serial".into(), serial]);
            if qemu.debug == Debug::No {
                invocation.args.extend(qmp::args());
            }
            let watched = Watched {
                invocation,
                again: plain.shell(),
                onlooker: Mutex::new(Some(onlooker)),
                watch: Mutex::new(None),
            };
            Ok((qemu.mode_of(boot), Box::new(watched)))
        })
    }
}

/// A QEMU with somebody at its second serial port.
struct Watched {
    invocation: Invocation,
    /// The same without anybody there.
    again: String,
    /// Until it starts.
    onlooker: Mutex<Option<Box<dyn Onlooker>>>,
    /// Since it started.
    watch: Mutex<Option<Watch>>,
}

impl ConsoleProcess for Watched {
    fn name(&self) -> &str {
        self.invocation.name()
    }

    fn shell(&self) -> String {
        self.invocation.shell()
    }

    fn again(&self) -> String {
        self.again.clone()
    }

    fn start(&self, dir: &Path, stderr: File) -> io::Result<ChildGuard> {
        let onlooker = self.onlooker.lock().unwrap_or_else(PoisonError::into_inner).take();
        let onlooker = onlooker.ok_or_else(|| io::Error::other("it is started a second time"))?;
        // QEMU finds somebody there, however early it connects.
        let watch = Watch::begin(dir, onlooker)?;
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(watch);
        self.invocation.start(dir, stderr)
    }

    fn sweep(&self, dir: &Path) {
        self.invocation.sweep(dir);
    }
}

/// The thread that answers; it ends when this is dropped.
#[derive(Debug)]
struct Watch {
    socket: PathBuf,
    /// Closed to end the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn begin(dir: &Path, onlooker: Box<dyn Onlooker>) -> io::Result<Watch> {
        let listener = socket::listen(dir, SOCKET)?;
        let (stop, stopped) = UnixStream::pair()?;
        let machine = Machine { dir: dir.to_owned() };
        let thread = thread::spawn(move || {
            // Whatever is wrong with the line, QEMU is gone, or the guest's time runs out.
            let _ = serve(&listener, &stopped, machine, onlooker);
        });
        Ok(Watch { socket: dir.join(SOCKET), stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic has been printed already.
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.socket);
    }
}

/// Answers what the one guest that comes to `listener` asks, until it is gone or `stopped` is closed.
fn serve(
    listener: &UnixListener,
    stopped: &UnixStream,
    machine: Machine,
    mut onlooker: Box<dyn Onlooker>,
) -> io::Result<()> {
    if !ready(listener, stopped)? {
        return Ok(());
    }
    let mut line = BufReader::new(listener.accept()?.0);
    let mut request = String::new();
    loop {
        if line.buffer().is_empty() && !ready(line.get_ref(), stopped)? {
            return Ok(());
        }
        request.clear();
        if line.read_line(&mut request)? == 0 {
            return Ok(());
        }
        // UEFI firmware has its console on every serial port, and ends lines as terminals want them.
        if request.ends_with("\r\n") {
            continue;
        }
        let (finding, text) = match Request::of_line(request.trim_end()) {
            Some(request) => onlooker.answer(request, &machine),
            None => (Finding::Unseen, format!("the runner does not know the request {request:?}")),
        };
        line.get_mut().write_all(answer(finding, &text).as_bytes())?;
    }
}

/// The line that says so.
fn answer(finding: Finding, text: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '_' };
    let text: String = text.chars().map(plain).collect();
    let mut line = Answer { finding, text: &text }.to_string();
    line.truncate(ANSWER_MAX);
    line + "\n"
}

/// Waits until there is something to read; `false` if it is over before.
fn ready(source: &impl std::os::fd::AsFd, stopped: &UnixStream) -> io::Result<bool> {
    loop {
        let mut fds = [PollFd::new(source, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) => return Ok(fds[1].revents().is_empty()),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says what it was asked.
    struct Echo;

    impl Onlooker for Echo {
        fn answer(&mut self, request: Request, _: &Machine) -> (Finding, String) {
            (Finding::Broken, format!("{}\u{e4}\n{}", request.line(), "x".repeat(2000)))
        }
    }

    #[test]
    fn each_request_has_an_answer_of_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let watch = Watch::begin(dir.path(), Box::new(Echo)).unwrap();
        let mut guest = BufReader::new(UnixStream::connect(dir.path().join(SOCKET)).unwrap());
        let mut ask = |request: &str| {
            guest.get_mut().write_all(request.as_bytes()).unwrap();
            let mut line = String::new();
            guest.read_line(&mut line).unwrap();
            line
        };
        let line = ask("patched\n");
        assert!(line.starts_with("broken patched__xxx"), "{line}");
        assert_eq!(line.len(), ANSWER_MAX + 1);
        let unknown = "unseen the runner does not know the request \"other_n\"\n";
        assert_eq!(ask("other\n").replace("\\n", "_n"), unknown);
        // What firmware said is not answered.
        let after_firmware = ask("\x1b[2JBdsDxe: loading Boot0001\r\npatched\n");
        assert_eq!(after_firmware, line);
        // It ends while the guest is still there.
        drop(watch);
        assert_eq!(ask("").len(), 0);
        assert!(!dir.path().join(SOCKET).exists());
    }

    #[test]
    fn it_ends_if_nobody_comes_and_if_the_guest_leaves() {
        let dir = tempfile::tempdir().unwrap();
        drop(Watch::begin(dir.path(), Box::new(Echo)).unwrap());
        let mut watch = Watch::begin(dir.path(), Box::new(Echo)).unwrap();
        drop(UnixStream::connect(dir.path().join(SOCKET)).unwrap());
        watch.thread.take().unwrap().join().unwrap();
    }
}

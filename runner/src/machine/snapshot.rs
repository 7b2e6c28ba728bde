//! Boots that continue from a snapshot.
//!
//! What several boots of a run have in common, up to the point where the guest reads its command
//! line, is done once: the image waits (`wait=fw_cfg`), the machine is saved, and each boot
//! continues from it in a QEMU of its own. The judge sees the console of both parts. A snapshot is
//! tried before it is used, and is removed with the run.
//!
//! The machine's RAM is a file ([`RAM`]), which QEMU keeps out of what it saves. A machine that goes
//! on maps it privately: it reads the pages that it needs, when it needs them, and changes none.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use protocol::cmdline::{CMDLINE_MAX, EXIT, REBOOT, TESTS};
use protocol::console::WAITING;
use protocol::metadata::Environment;
use serde_json::json;

use super::as_dom0::AsDom0;
use crate::base::exit::{Error, IoContext, Result};
use crate::base::process::ChildGuard;
use crate::base::signals::StopSignal;
use crate::judge::{Event, Judge};
use crate::machine::Boot;
use crate::machine::backend::{Backend, Prepared};
use crate::machine::boot::{ConsoleProcess, Limits};
use crate::machine::loader::BootFile;
use crate::machine::logs::{BootLogs, CONSOLE, IMAGE_LINK};
use crate::machine::qemu::{Invocation, PARAMETERS_FILE, Qemu};
use crate::machine::qmp::{self, Qmp};
use crate::machine::trial::Trial;

/// The folder, in that of the first boot that wants it, where a snapshot is made and tried.
const FOLDER: &str = "snapshot";
/// The file with the machine's state, all but its RAM.
pub(crate) const STATE: &str = "state";
/// The file with its RAM.
pub(crate) const RAM: &str = "ram";
/// The first while it is written: who finds [`STATE`] finds all of it.
const UNFINISHED: &str = "state.unfinished";
/// QEMU's name for a machine's RAM, and for the way in which a machine that goes on is told so.
const RAM_ID: &str = "ram";
const GO_ON: &str = "go-on";
/// QEMU's command that says how to save and how to go on.
const CAPABILITIES: &str = "migrate-set-capabilities";
/// Bytes a second, more than any disk takes: the machine is saved as fast as possible.
const BANDWIDTH: u64 = 10 << 30;
/// Between two looks.
const BREATH: Duration = Duration::from_millis(1);

/// Which boots start from a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SnapshotUse {
    /// Never start a boot from a snapshot
    Never,
    /// Boots that can share a snapshot with another one
    Auto,
    /// Every fast boot; it is an error if no snapshot can be made
    Always,
}

/// Which boots are alike: the Xen, the environment (a PV guest has the same arguments at both widths,
/// and another image), QEMU's arguments but for the guest's command line, and the files that its loader
/// needs.
type Key = (String, Environment, Vec<String>, Vec<BootFile>);

/// A saved machine.
#[derive(Debug)]
struct Snapshot {
    /// The state's file.
    state: PathBuf,
    /// What the console said until then.
    console: Vec<u8>,
    /// What its loader needed.
    files: Vec<BootFile>,
}

impl Snapshot {
    /// The folder with its files.
    fn dir(&self) -> &Path {
        self.state.parent().unwrap_or(&self.state)
    }

    /// `waiting`, which goes on from here.
    fn go_on(&self, waiting: Invocation) -> Invocation {
        let files = waiting.files.into_iter().map(|file| file.of_saved(self.dir())).collect();
        from(Invocation { files, ..waiting }, &self.state, &self.dir().join(RAM))
    }
}

impl Drop for Snapshot {
    /// Takes away what is large. Somebody may have done so already.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.state);
        let _ = fs::remove_file(self.dir().join(RAM));
        self.files.iter().for_each(|file| file.sweep(self.dir()));
    }
}

/// The same as [`AsDom0`], faster where boots are alike.
pub struct FromSnapshot<'a> {
    dom0: AsDom0<'a>,
    /// Each made when it is needed first; or why it can't be.
    snapshots: BTreeMap<Key, OnceLock<std::result::Result<Snapshot, String>>>,
    wish: SnapshotUse,
    /// What the user was not told yet.
    note: Mutex<Option<String>>,
}

impl<'a> FromSnapshot<'a> {
    /// For those of `boots` for which the user wants it, or it is worth it.
    /// It is an error if one of them can't be loaded.
    pub fn new(
        dom0: AsDom0<'a>,
        boots: &[Boot<'_>],
        wish: SnapshotUse,
    ) -> Result<FromSnapshot<'a>> {
        Self::if_alike(dom0, boots, wish, 2)
    }

    /// For all of `boots` that can, each of which will be carried out many times.
    pub fn many(dom0: AsDom0<'a>, boots: &[Boot<'_>]) -> Result<FromSnapshot<'a>> {
        Self::if_alike(dom0, boots, SnapshotUse::Auto, 1)
    }

    /// It is worth it for `again` that are alike.
    fn if_alike(
        dom0: AsDom0<'a>,
        boots: &[Boot<'_>],
        wish: SnapshotUse,
        again: usize,
    ) -> Result<FromSnapshot<'a>> {
        let mut alike: BTreeMap<Key, usize> = BTreeMap::new();
        for boot in boots {
            dom0.qemu.invocation(boot)?;
            if dom0.qemu.can_snapshot(boot) {
                *alike.entry(key(dom0.qemu, boot)?).or_default() += 1;
            }
        }
        let worth = match wish {
            SnapshotUse::Never => usize::MAX,
            SnapshotUse::Auto => again,
            SnapshotUse::Always => 1,
        };
        let keys = alike.into_iter().filter(|(_, count)| *count >= worth);
        let snapshots = keys.map(|(key, _)| (key, OnceLock::new())).collect();
        Ok(FromSnapshot { dom0, snapshots, wish, note: Mutex::default() })
    }

    /// The file with the RAM that `boot` goes on with, if that is wanted; or why there is none. The
    /// logs of making it are in the new folder `dir`.
    pub fn ram(
        &self,
        boot: &Boot<'_>,
        image: &Path,
        dir: PathBuf,
        limits: &Limits<'_>,
        stop: &StopSignal,
    ) -> Result<Option<std::result::Result<PathBuf, String>>> {
        if !self.snapshots.contains_key(&key(self.dom0.qemu, boot)?) {
            return Ok(None);
        }
        let mut logs = BootLogs::create(dir, Some(boot.xen), Some(image))?;
        let snapshot = self.snapshot(boot, limits, stop, &mut logs)?;
        let why = || self.note().take().unwrap_or_else(|| "this machine can't be saved".into());
        Ok(Some(snapshot.map(|snapshot| snapshot.dir().join(RAM)).ok_or_else(why)))
    }

    /// What `boot` goes on from, if it does.
    fn snapshot(
        &self,
        boot: &Boot<'_>,
        limits: &Limits<'_>,
        stop: &StopSignal,
        logs: &mut BootLogs,
    ) -> Result<Option<&Snapshot>> {
        let Some(snapshot) = self.snapshots.get(&key(self.dom0.qemu, boot)?) else {
            return Ok(None);
        };
        let made = snapshot.get_or_init(|| {
            let dir = logs.dir().join(FOLDER);
            let link = logs.dir().join(IMAGE_LINK);
            let image = fs::read_link(&link).io("read", &link);
            image.and_then(|image| self.make(boot, &image, &dir, limits, stop)).map_err(|why| {
                let _ = fs::remove_file(dir.join(RAM));
                let why =
                    format!("cannot make a snapshot: {why}; its logs are in {}", dir.display());
                if stop.requested().is_none() {
                    *self.note() = Some(why.clone());
                }
                why
            })
        });
        match made {
            Ok(snapshot) => Ok(Some(snapshot)),
            Err(why) if self.wish == SnapshotUse::Always && stop.requested().is_none() => {
                Err(Error::Tool(format!("{why}; omit `--snapshot always` to boot normally")))
            }
            Err(why) => {
                logs.decision(why)?;
                Ok(None)
            }
        }
    }

    /// Boots up to where the guest waits, saves the machine, and tries it.
    fn make(
        &self,
        boot: &Boot<'_>,
        image: &Path,
        dir: &Path,
        limits: &Limits<'_>,
        stop: &StopSignal,
    ) -> Result<Snapshot> {
        let patience = limits.boot;
        let of_test = |_: &str| patience;
        let limits = Limits::new(patience, &of_test);
        let trial = Trial { image, limits: &limits, stop };
        let waiting = self.dom0.qemu.waiting(boot)?;
        let (state, files) = (dir.join(STATE), waiting.files.clone());
        let mut snapshot = Snapshot { state, console: Vec::new(), files };
        let saved = Self::save(boot, waiting.clone(), dir, &trial)?;
        saved.io("save the machine to", &snapshot.state)?;
        let console = dir.join(CONSOLE);
        snapshot.console = fs::read(&console).io("read", &console)?;

        // For no test: the guest says who it is, and leaves.
        let cmdline = format!("{TESTS}= {EXIT}={REBOOT}");
        let invocation = snapshot.go_on(waiting);
        let continued = Told { invocation, cmdline, before: &snapshot.console, again: None };
        match trial.idle(dir.join("trial"), boot, &continued, &mut |_| {})? {
            Ok(()) => Ok(snapshot),
            Err(why) => Err(Error::Tool(format!(
                "the guest does not continue from the saved machine: {why}"
            ))),
        }
    }

    /// Boots up to where the guest waits, and saves the machine in `dir`.
    fn save(
        boot: &Boot<'_>,
        mut waiting: Invocation,
        dir: &Path,
        trial: &Trial<'_>,
    ) -> Result<io::Result<()>> {
        waiting.args.extend(saving(&waiting.args));
        let told = Told { invocation: waiting, cmdline: String::new(), before: &[], again: None };
        let patience = trial.limits.boot;
        let saved = OnceCell::new();
        // A machine that could not be saved may not have ended either.
        let failed = |_: &Judge| saved.get().is_some_and(io::Result::is_err);
        let limits = Limits { enough: &failed, ..*trial.limits };
        let trial = Trial { limits: &limits, ..*trial };
        let went = trial.idle(dir.to_owned(), boot, &told, &mut |event| {
            if matches!(event, Event::Line(line) if line.text == WAITING) {
                saved.get_or_init(|| save(dir, patience));
            }
        })?;
        saved.into_inner().ok_or_else(|| {
            let why = went.err().unwrap_or_default();
            Error::Tool(format!(
                "the guest did not reach the point where it waits for its command line: {why}"
            ))
        })
    }

    /// Makes `boot` ready, which goes on with `more` arguments for QEMU if it does.
    fn prepare_with<'s>(
        &'s self,
        boot: &Boot<'_>,
        more: &[String],
        limits: &Limits<'_>,
        stop: &StopSignal,
        logs: &mut BootLogs,
    ) -> Result<Prepared<'s>> {
        let qemu = self.dom0.qemu;
        let prepared = self.dom0.prepare_by(boot, limits, logs, &[], |plain, logs| {
            let Some(snapshot) = self.snapshot(boot, limits, stop, logs)? else {
                return Ok((qemu.mode_of(boot), Box::new(plain)));
            };
            logs.decision(&format!("the same boot from power on: {}", plain.shell()))?;
            // The saved machine has read its files. Those of a boot from power on make its command
            // good in this folder.
            let waiting = Invocation { files: plain.files.clone(), ..qemu.waiting(boot)? };
            let mut invocation = snapshot.go_on(waiting);
            invocation.args.extend_from_slice(more);
            let (cmdline, again) = (qemu.guest_cmdline(boot), Some(plain.shell()));
            let continued = Told { invocation, cmdline, before: &snapshot.console, again };
            Ok(("fast, tcg, snapshot", Box::new(continued)))
        })?;
        Ok(Prepared { note: self.note().take(), ..prepared })
    }

    fn note(&self) -> MutexGuard<'_, Option<String>> {
        self.note.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for FromSnapshot<'_> {
    fn prepare<'s>(
        &'s self,
        boot: &Boot<'_>,
        limits: &Limits<'_>,
        stop: &StopSignal,
        logs: &mut BootLogs,
    ) -> Result<Prepared<'s>> {
        self.prepare_with(boot, &[], limits, stop, logs)
    }
}

/// The same with some bytes of the machine's RAM changed while it stood still.
pub struct WithBytes<'a> {
    /// What boots go on from.
    pub snapshots: &'a FromSnapshot<'a>,
    /// The physical address of the first byte.
    pub at: u64,
    /// What is there now.
    pub bytes: Vec<u8>,
}

/// So many bytes a loader of QEMU takes as a number.
const NUMBER: usize = 8;

impl Backend for WithBytes<'_> {
    fn prepare<'s>(
        &'s self,
        boot: &Boot<'_>,
        limits: &Limits<'_>,
        stop: &StopSignal,
        logs: &mut BootLogs,
    ) -> Result<Prepared<'s>> {
        let parts = (self.at..).step_by(NUMBER).zip(self.bytes.chunks(NUMBER));
        let more: Vec<String> = parts.flat_map(|(at, part)| loader(at, part)).collect();
        self.snapshots.prepare_with(boot, &more, limits, stop, logs)
    }
}

/// What makes QEMU write at most eight `bytes` at the physical address `at`.
///
/// It does so when it resets the machine, before the state arrives, to which the RAM does not
/// belong.
fn loader(at: u64, bytes: &[u8]) -> [String; 2] {
    let number = bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let device = format!("loader,addr={at:#x},data={number:#x},data-len={}", bytes.len());
    ["-device".into(), device]
}

/// A machine whose guest waits for its command line.
struct Told<'s> {
    invocation: Invocation,
    /// What it is told; nothing leaves it waiting.
    cmdline: String,
    /// What the console said before the machine was saved, if it begins there.
    before: &'s [u8],
    /// The command for the same boot from power on, if there is one.
    again: Option<String>,
}

impl ConsoleProcess for Told<'_> {
    fn name(&self) -> &str {
        self.invocation.name()
    }

    fn shell(&self) -> String {
        self.invocation.shell()
    }

    fn again(&self) -> String {
        self.again.clone().unwrap_or_else(|| self.shell())
    }

    fn before(&self) -> &[u8] {
        self.before
    }

    fn start(&self, dir: &Path, stderr: File) -> io::Result<ChildGuard> {
        tell(dir, &self.cmdline)?;
        self.invocation.start(dir, stderr)
    }

    fn sweep(&self, dir: &Path) {
        // What a machine booted from stays for those that go on from it.
        let links = |file: &&BootFile| matches!(file, BootFile::SavedLink { .. });
        self.invocation.files.iter().filter(links).for_each(|file| file.sweep(dir));
    }
}

/// Which boots `boot` is like.
fn key(qemu: &Qemu, boot: &Boot<'_>) -> Result<Key> {
    let Invocation { args, files, .. } = qemu.waiting(boot)?;
    Ok((boot.xen.name().to_owned(), boot.environment, args, files))
}

/// Fills the file from which the guest that boots in `dir` gets its command line.
fn tell(dir: &Path, cmdline: &str) -> io::Result<()> {
    let mut bytes = cmdline.as_bytes().to_vec();
    bytes.resize(CMDLINE_MAX, 0);
    fs::write(dir.join(PARAMETERS_FILE), bytes)
}

/// QEMU's further arguments for a machine that has `args` and is to be saved.
pub(crate) fn saving(args: &[String]) -> Vec<String> {
    // It stands still while it is saved, and shall run when it goes on.
    let running = ["-global", "migration.store-global-state=off"].map(String::from);
    qmp::args().into_iter().chain(running).chain(ram(args, "on")).collect()
}

/// QEMU's further arguments to have the RAM of a machine with `args` in [`RAM`]. What is written to
/// it reaches the file if it is shared.
fn ram(args: &[String], share: &str) -> [String; 4] {
    let mut values = args.windows(2).filter(|pair| pair[0] == "-m").map(|pair| pair[1].as_str());
    let size = values.next_back().unwrap_or_default();
    // Without a unit, `-m` counts MiB and this counts bytes.
    let unit = if size.ends_with(|c: char| c.is_ascii_digit()) { "M" } else { "" };
    let file =
        format!("memory-backend-file,id={RAM_ID},size={size}{unit},mem-path={RAM},share={share}");
    ["-object".into(), file, "-machine".into(), format!("memory-backend={RAM_ID}")]
}

/// `waiting`, which goes on with what was saved in the files `state` and `ram`.
pub(crate) fn from(mut waiting: Invocation, state: &Path, ram_file: &Path) -> Invocation {
    waiting.args.extend(ram(&waiting.args, "off"));
    // QEMU reads from a file what a connection to it would say.
    let pipe = format!("pipe,id={GO_ON},path={GO_ON}");
    let monitor = format!("chardev={GO_ON},mode=control");
    waiting
        .args
        .extend(["-chardev", &pipe, "-mon", &monitor, "-incoming", "defer"].map(String::from));
    let command = |name: &str, arguments| json!({ "execute": name, "arguments": arguments });
    let commands = [
        command("qmp_capabilities", json!({})),
        command(CAPABILITIES, ram_stays()),
        command("migrate-incoming", json!({ "uri": format!("exec:cat {STATE}") })),
    ];
    let text = |suffix: &str, lines| BootFile::Text { at: format!("{GO_ON}.{suffix}"), lines };
    let link = |at: &str, to: &Path| BootFile::SavedLink { at: at.into(), to: to.to_owned() };
    waiting.files.extend([
        link(STATE, state),
        link(RAM, ram_file),
        text("in", commands.iter().map(ToString::to_string).collect()),
        text("out", Vec::new()),
    ]);
    waiting
}

/// The argument of QEMU's `migrate-set-capabilities` that leaves the RAM where it is.
fn ram_stays() -> serde_json::Value {
    json!({ "capabilities": [{ "capability": "x-ignore-shared", "state": true }] })
}

/// Saves the machine in `dir`, whose guest waits, and ends it. The CPU must come to rest, and the
/// state to its file, within `patience`.
pub(crate) fn save(dir: &Path, patience: Duration) -> io::Result<()> {
    let mut qmp = Qmp::connect(dir)?;
    let deadline = Instant::now() + patience;
    // A guest that waits leaves the CPU alone every other moment. The CPU is saved while it
    // rests: only then is what QEMU saves of it complete.
    loop {
        qmp.execute("stop", json!({}))?;
        if qmp.is_halted()? {
            break;
        }
        qmp.execute("cont", json!({}))?;
        wait_until(deadline, "the machine is never idle")?;
    }
    qmp.execute(CAPABILITIES, ram_stays())?;
    write_state(&mut qmp, dir, deadline)?;
    // It does not live to answer.
    let _ = qmp.execute("quit", json!({}));
    Ok(())
}

/// Has QEMU write what it saves of a machine that stands still into the file [`STATE`] in its folder
/// `dir`, before the `deadline`.
pub(crate) fn write_state(qmp: &mut Qmp, dir: &Path, deadline: Instant) -> io::Result<()> {
    let written = try_to_write_state(qmp, dir, deadline);
    if written.is_err() {
        let _ = fs::remove_file(dir.join(UNFINISHED));
    }
    written
}

fn try_to_write_state(qmp: &mut Qmp, dir: &Path, deadline: Instant) -> io::Result<()> {
    qmp.execute("migrate-set-parameters", json!({ "max-bandwidth": BANDWIDTH }))?;
    // The command outlives QEMU's word that it is done.
    let command = format!("exec:cat > {UNFINISHED} && mv {UNFINISHED} {STATE}");
    qmp.execute("migrate", json!({ "uri": command }))?;
    loop {
        let migration = qmp.execute("query-migrate", json!({}))?;
        match migration["status"].as_str() {
            Some("completed") => break,
            Some(status @ ("failed" | "cancelled")) => {
                let why = migration["error-desc"].as_str().unwrap_or("QEMU gives no reason");
                return Err(io::Error::other(format!("saving the machine {status}: {why}")));
            }
            _ => wait_until(deadline, "saving the machine does not end")?,
        }
    }
    while !dir.join(STATE).exists() {
        wait_until(deadline, "the saved state never appears in its file")?;
    }
    Ok(())
}

/// Waits a moment, unless it is too late: then `why` tells for what.
fn wait_until(deadline: Instant, why: &str) -> io::Result<()> {
    thread::sleep(BREATH);
    if Instant::now() < deadline { Ok(()) } else { Err(io::Error::other(why.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::config::{Config, Hypervisor};
    use crate::plan::spec::MachineSpec;
    use crate::xen::hypervisor::XenUnderTest;

    /// What goes on from a saved machine is the image that was booted there.
    #[test]
    fn no_two_environments_are_alike() {
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../xtf-runner.toml");
        let qemu = Qemu::of(None, &Config::load(Some(Path::new(config))).unwrap());
        let xen = XenUnderTest::new(&Hypervisor::elsewhere("a"), None);
        let key_of = |environment| {
            let machine = MachineSpec { vcpus: 1, ..MachineSpec::default() };
            key(&qemu, &Boot { xen: &xen, environment, machine, tests: Vec::new() }).unwrap()
        };
        let mut keys = Environment::DOM0.map(key_of).to_vec();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), Environment::DOM0.len());
    }
}

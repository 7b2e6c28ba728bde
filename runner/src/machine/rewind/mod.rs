//! Boots that are made again, and going back in them.
//!
//! A boot whose time advances with instructions is the same each time: [`timeline`] numbers its
//! instructions, and a number is a place in it. [`record`] makes the boot and finds its end,
//! [`replay`] makes it again up to a place, and [`travel`] goes there; [`search`]
//! finds the place that is wanted. Nothing
//! ever runs backwards: to go back is to begin again, and to stop earlier. A long boot begins again at
//! a machine that was [`saved`] on the way. So it takes QEMU no more than to boot, and to migrate.
//!
//! QEMU's own record and replay is not used. It loses the interrupt that ends a run of an HVM guest,
//! which it records as an exception and then waits for for ever, up to QEMU 11.1; and in QEMU 7.2,
//! going back from a debugger can stand still for ever.

pub mod landmarks;
pub mod packet;
pub mod proxy;
pub mod record;
pub mod replay;
mod saved;
mod search;
pub mod stub;
pub mod timeline;
pub mod travel;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use self::timeline::{Moment, Timeline, Watch};

use crate::base::exit::{Error, IoContext, Result};
use crate::base::process::ChildGuard;
use crate::machine::logs::remove;
use crate::machine::plugin::Plugin;
use crate::machine::recipe::Recipe;
use crate::machine::{plugin, qmp};

/// The file in which instructions are numbered.
const TIMELINE: &str = "timeline";
/// The file of a [`Recording`].
const RECORDING: &str = "recording.json";
/// Between two looks at a machine.
const BREATH: Duration = Duration::from_millis(10);
/// A QEMU has its sockets within this time.
const AWAKE: Duration = Duration::from_secs(60);
/// QEMU's option for what the date is, and what of it says that it advances with the machine.
const DATE: &str = "-rtc";
const ADVANCES: &str = "clock=vm";

/// A boot whose end is known.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Recording {
    /// The date at power on.
    pub date: String,
    /// How many instructions began before the end.
    pub end: u64,
    /// What depends on all of their addresses.
    pub hash: u64,
}

impl Recording {
    /// That of the folder `dir`, if it holds one.
    pub fn read(dir: &Path) -> Result<Option<Recording>> {
        let path = dir.join(RECORDING);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read(&path).io("read", &path)?;
        serde_json::from_slice(&text).map(Some).map_err(|why| {
            Error::Data(format!(
                "{}: {why}; it was cut off, or is of another xtf-runner: record that boot again",
                path.display()
            ))
        })
    }

    /// Writes it into the folder `dir`.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(RECORDING);
        let text = serde_json::to_vec_pretty(self).io("write", &path)?;
        fs::write(&path, text).io("write", &path)
    }
}

/// Takes out of a recording's folder `dir` what only a machine that is there has a use for.
pub fn sweep(dir: &Path) -> Result<()> {
    sweep_timeline(dir)?;
    remove(dir, &[stub::SOCKET, qmp::SOCKET])
}

fn sweep_timeline(dir: &Path) -> Result<()> {
    remove(dir, &plugin::FILES)?;
    remove(dir, &[TIMELINE])
}

/// Puts what a machine that stands at `now` needs into its folder `dir`, to number its instructions and
/// to look for what `watch` says, with room for so many hits. Replaces what is there of an earlier one.
/// Returns QEMU's further arguments, and the file.
fn prepare(
    plugin: &Plugin,
    dir: &Path,
    now: Moment,
    watch: Watch,
    room: usize,
) -> Result<(Vec<String>, Timeline)> {
    sweep_timeline(dir)?;
    let mut args = plugin.prepare(dir, &[])?;
    let path = dir.join(TIMELINE);
    let timeline = Timeline::create(&path, now, watch, room).io("create", &path)?;
    if let Some(last) = args.last_mut() {
        *last += &format!(",{}={TIMELINE}", protocol::timeline::TIMELINE);
    }
    Ok((args, timeline))
}

/// The arguments of `recipe` for a machine that starts at `date` each time.
fn arguments(recipe: &Recipe, date: &str) -> Vec<String> {
    let mut args = recipe.args.clone();
    let rtc = args.iter().position(|arg| arg == DATE);
    if let Some(value) = rtc.and_then(|at| args.get_mut(at + 1)) {
        *value = format!("base={date},{ADVANCES}");
    }
    // What the CPU calls random is the same each time, too.
    args.extend(["-seed", "1"].map(String::from));
    // What the machine was when it ended is of interest.
    args.push("-no-shutdown".into());
    args
}

/// Starts the QEMU `program` in the folder `dir`, with its output and its complaints in files called
/// after `what`; waits until one can `connect` to it.
fn start<T>(
    program: &Path,
    args: &[String],
    dir: &Path,
    what: &str,
    connect: impl Fn() -> std::io::Result<T>,
) -> Result<(ChildGuard, T)> {
    let [out, errors] = ["log", "err"].map(|end| dir.join(format!("{what}.{end}")));
    let file = |path: &Path| File::create(path).io("create", path);
    let mut command = Command::new(program);
    command.args(args).current_dir(dir).stdin(Stdio::null());
    command.stdout(file(&out)?).stderr(file(&errors)?);
    let failed = |why: &str| {
        let said = fs::read_to_string(&errors).unwrap_or_default();
        Error::Tool(format!("{} {why}: {}", program.display(), said.trim()))
    };
    let mut qemu =
        ChildGuard::spawn(&mut command).map_err(|e| failed(&format!("does not start ({e})")))?;
    let since = Instant::now();
    loop {
        match connect() {
            Ok(connection) => return Ok((qemu, connection)),
            Err(e) if since.elapsed() > AWAKE => {
                return Err(failed(&format!("opens no socket ({e})")));
            }
            Err(_) if matches!(qemu.child().try_wait(), Ok(None)) => thread::sleep(BREATH),
            Err(e) => return Err(failed(&format!("ended at once ({e})"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_replays_differs_in_its_date_alone() {
        let args = arguments(&Recipe::sample(), "2026-01-02T03:04:05");
        let rtc = "base=2026-01-02T03:04:05,clock=vm";
        assert_eq!(args, ["-rtc", rtc, "-kernel", "xen", "-seed", "1", "-no-shutdown"]);
    }

    #[test]
    fn a_recording_is_read_back_unless_it_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Recording::read(dir.path()).unwrap(), None);
        let recording = Recording { date: "2026-01-02T03:04:05".into(), end: 9, hash: u64::MAX };
        recording.write(dir.path()).unwrap();
        assert_eq!(Recording::read(dir.path()).unwrap(), Some(recording));
        fs::write(dir.path().join(RECORDING), "{\"end\": 9").unwrap();
        let why = Recording::read(dir.path()).unwrap_err().to_string();
        assert!(why.contains("it was cut off"), "{why}");
    }
}

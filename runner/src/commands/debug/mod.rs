//! `xtf-runner debug`: makes a boot again, and opens a debugger at its end, from where time also goes
//! backwards.
//!
//! [`subject`] finds the boot that is meant. It is made again, and once more up to the same end, so
//! that what the debugger shows is known to be repeatable; [`alike`] compares its console with that of
//! then. [`symbols`] finds the names, [`script`] tells gdb what to do, and [`trace`] answers without a
//! debugger.

mod alike;
mod failures;
mod names;
mod script;
mod subject;
mod symbols;
mod trace;

pub use failures::Early;
pub use subject::MB;

use std::fs::File;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::base::exit::{Error, Exit, IoContext, Result};
use crate::base::output::{note, write_out};
use crate::base::process::Tool;
use crate::base::signals::StopSignal;
use crate::cli::DebugArgs;
use crate::machine::debug::GDB_SOCKET;
use crate::machine::logs::remove;
use crate::machine::plugin::Plugin;
use crate::machine::recipe::{self, Recipe};
use crate::machine::rewind::packet::Link;
use crate::machine::rewind::proxy::Proxy;
use crate::machine::rewind::record::record;
use crate::machine::rewind::replay::{Replay, Stage};
use crate::machine::rewind::travel::Travel;
use crate::machine::rewind::{Recording, sweep};
use crate::machine::socket;
use crate::plan::config::Config;
use alike::{Alike, compare};
use script::SCRIPT;
use subject::{Found, Subject, Unrecorded};
use symbols::Symbols;

/// The debugger.
const GDB: &str = "gdb";
/// Between two looks at whether a debugger connects.
const BREATH: Duration = Duration::from_millis(20);

/// Runs the command.
pub fn debug(args: &DebugArgs) -> Result<Exit> {
    let config = Config::load(args.places.config.as_deref())?;
    if !args.no_gdb && !traces(args) {
        // Better now than after the boot.
        Tool::new(GDB).args(["--version"]).run().map_err(|e| {
            Error::Tool(format!("{e}; install gdb, or connect a debugger of yours: --no-gdb"))
        })?;
    }
    for file in &args.commands {
        File::open(file).io("read", file)?;
    }
    let stop = StopSignal::install()?;
    let (subject, found) = Subject::of(args, &config, &stop)?;
    if matches!(found, Found::Recording(_)) {
        subject.check_qemu()?;
    }
    let _alone = alone(&subject.dir)?;
    let done = look_at(args, &config, &subject, found, &stop);
    // Whatever came of it.
    sweep(&subject.dir)?;
    remove(&subject.dir, &[GDB_SOCKET])?;
    match (done, stop.requested()) {
        (Err(error), Some(exit)) => {
            note(&error.to_string());
            Ok(exit)
        }
        (done, _) => done,
    }
}

/// Holds the folder `dir` as long as the file that is returned is open.
fn alone(dir: &Path) -> Result<File> {
    let folder = File::open(dir).io("open", dir)?;
    match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(folder),
        Err(Errno::WOULDBLOCK) => Err(Error::Tool(format!(
            "another debug looks at the boot in {}; end that one, or copy the folder",
            dir.display()
        ))),
        Err(why) => Err(why).io("lock", dir),
    }
}

/// Looks at the boot of `subject`, of which there is what was `found`.
fn look_at(
    args: &DebugArgs,
    config: &Config,
    subject: &Subject,
    found: Found,
    stop: &StopSignal,
) -> Result<Exit> {
    let traces = traces(args);
    let plugin = Plugin::find(args.plugin.as_deref(), config, &subject.recipe.program)?;
    let AtEnd { mut stage, replay, exit: ended } = match found {
        Found::Recording(recording) => reopen(subject, recording, &plugin, stop)?,
        Found::Unrecorded(boot) => {
            write_out(&format!("{:13}recording in {}\n", "", subject.dir.display()))?;
            let mut say = |text: &str| write_out(&format!("{text}\n"));
            remake(subject, *boot, &plugin, stop, &mut say)?
        }
    };
    let Subject { recipe, dir, .. } = subject;
    let symbols = symbols::find(args, config, recipe, dir)?;
    // gdb takes Ctrl-C for itself: it shares the terminal.
    let interruptible = Some(stop).filter(|_| args.no_gdb || traces);
    stage.stop = interruptible;
    let mut travel = Travel::new(stage, replay)?;
    write_out(&format!("{:13}the end is at instruction {}\n", "", travel.end()))?;
    if traces {
        trace::show(args, &mut travel, &symbols)?;
    } else if args.no_gdb {
        wait(&mut travel, &symbols, dir, stop)?;
    } else {
        open(args, &mut travel, &symbols, dir)?;
    }
    Ok(interruptible.and_then(StopSignal::requested).unwrap_or(ended))
}

/// Whether something is to be printed, without a debugger.
fn traces(args: &DebugArgs) -> bool {
    !args.trace.is_empty() || !args.why.is_empty()
}

/// A machine at the end of a boot.
struct AtEnd<'a> {
    stage: Stage<'a>,
    replay: Replay,
    /// Whether it ended as before.
    exit: Exit,
}

/// Makes the boot again, and once more up to its end. Has it said what came of it and, at last, whether
/// it ended as before.
fn remake<'a>(
    subject: &'a Subject,
    boot: Unrecorded,
    plugin: &'a Plugin,
    stop: &'a StopSignal,
    say: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<AtEnd<'a>> {
    let Subject { recipe, dir, .. } = subject;
    let Unrecorded { before, mut logs } = boot;
    // What is not recorded to its end is no boot that anybody can compare with.
    remove(dir, &[recipe::FILE])?;
    let take = record(recipe, plugin, stop, &mut logs, &mut |_| {})?;
    for report in &take.judgement.settled {
        let why = report.told().join("; ");
        say(&format!("{:>12} {}: {why}", report.status, report.name))?;
    }
    let mut stage = Stage::new(recipe, take.date(), dir, plugin, stop);
    let (recording, replay) = take.settle(&mut stage)?;
    recording.write(dir)?;
    recipe.write(dir)?;
    let Some(before) = before else { return Ok(AtEnd { stage, replay, exit: Exit::Success }) };
    let console = stage.console(&replay)?;
    let alike = compare(&String::from_utf8_lossy(&before), &String::from_utf8_lossy(&console));
    say(&format!("{:13}{alike}", ""))?;
    let exit = if matches!(alike, Alike::No(_)) { Exit::Error } else { Exit::Success };
    Ok(AtEnd { stage, replay, exit })
}

/// Makes a recorded boot again, up to its end.
fn reopen<'a>(
    subject: &'a Subject,
    recording: Recording,
    plugin: &'a Plugin,
    stop: &'a StopSignal,
) -> Result<AtEnd<'a>> {
    let Subject { recipe, dir, .. } = subject;
    let mut stage = Stage::new(recipe, &recording.date, dir, plugin, stop);
    let replay = stage.survey(recording.end)?;
    if replay.now()?.hash != recording.hash {
        return Err(Error::Tool(format!(
            "the boot of the recording in {} goes another way here: a file that a link in it leads \
             to has changed, or QEMU, or recording.json; record that boot again",
            dir.display()
        )));
    }
    stage.end = Some(replay.now()?);
    Ok(AtEnd { stage, replay, exit: Exit::Success })
}

/// Has gdb open at the end.
fn open(args: &DebugArgs, travel: &mut Travel<'_>, symbols: &Symbols, dir: &Path) -> Result<()> {
    script::write(symbols, dir)?;
    let listener = listen(dir)?;
    let mut gdb = Command::new(GDB);
    gdb.arg("-q").current_dir(dir);
    if args.batch {
        // Whatever the user's own configuration says.
        gdb.args(["-nx", "-batch"]);
    }
    gdb.args(["-x", SCRIPT]);
    for file in &args.commands {
        gdb.arg("-x").arg(std::path::absolute(file).io("resolve", file)?);
    }
    let mut gdb = gdb.spawn().io("run", Path::new(GDB))?;
    let mut gone = || !matches!(gdb.try_wait(), Ok(None));
    let served = serve(travel, symbols, &listener, &mut gone);
    if served.is_err() {
        // It waits for an answer that does not come.
        let _ = gdb.kill();
    }
    let status = gdb.wait().io("wait for", Path::new(GDB))?;
    served?;
    // What gdb says of a command that fails is on the terminal.
    if args.batch && !status.success() {
        return Err(Error::Tool(format!(
            "gdb ended with {status}: a command of --commands failed"
        )));
    }
    Ok(())
}

/// Says how to connect a debugger, and serves one after the other until it is told to leave.
fn wait(travel: &mut Travel<'_>, symbols: &Symbols, dir: &Path, stop: &StopSignal) -> Result<()> {
    script::write(symbols, dir)?;
    let listener = listen(dir)?;
    let command = script::command(dir);
    write_out(&format!("{:13}debugger: {command}\n", ""))?;
    note("the machine waits; Ctrl-C ends it");
    serve(travel, symbols, &listener, &mut || stop.requested().is_some())
}

/// The socket in the folder `dir` for debuggers.
fn listen(dir: &Path) -> Result<UnixListener> {
    let path = dir.join(GDB_SOCKET);
    remove(dir, &[GDB_SOCKET])?;
    let listener = socket::listen(dir, GDB_SOCKET).io("create", &path)?;
    listener.set_nonblocking(true).io("prepare", &path)?;
    Ok(listener)
}

/// Serves debuggers until there is no need any more.
fn serve(
    travel: &mut Travel<'_>,
    symbols: &Symbols,
    listener: &UnixListener,
    gone: &mut dyn FnMut() -> bool,
) -> Result<()> {
    while !gone() {
        match listener.accept().map(|(socket, _)| blocking(socket)) {
            Ok(socket) => {
                let link = Link::new(socket.io("talk to", Path::new(GDB))?);
                Proxy::new(travel, &symbols.landmarks, link).serve(gone)?;
            }
            Err(_) => thread::sleep(BREATH),
        }
    }
    Ok(())
}

fn blocking(socket: UnixStream) -> io::Result<UnixStream> {
    socket.set_nonblocking(false)?;
    Ok(socket)
}

/// What is said of a boot that can't be recorded.
fn refuse(recipe: &Recipe, whose: &str) -> Result<()> {
    match recipe.not_recordable() {
        Some(why) => Err(Error::Usage(format!("cannot record {whose}: {why}"))),
        None => Ok(()),
    }
}

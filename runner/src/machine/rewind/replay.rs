//! A boot that is made again up to an instruction.
//!
//! QEMU stops between two blocks of code, so a machine is held twice: before the place, from where on
//! blocks have one instruction; and at the place. It is never stopped by a breakpoint, nor led by
//! single steps: with time that does not wait (`sleep=off`), QEMU takes a CPU that stopped for a
//! debugger for one that sleeps, and advances its clock to the next timer, which changes the boot
//! (findings/icount-debugger-clock.sh).

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::saved::{Saved, has_arrived};
use super::stub::{SOCKET, Stub};
use super::timeline::{Hit, Moment, Timeline, Watch};
use super::{TIMELINE, arguments, prepare, start};
use crate::base::exit::{Error, IoContext, Result};
use crate::base::output::note;
use crate::base::process::ChildGuard;
use crate::base::signals::StopSignal;
use crate::machine::debug::server;
use crate::machine::plugin::Plugin;
use crate::machine::qmp;
use crate::machine::recipe::Recipe;

/// Between two machines that are saved are so many instructions, which take about half a second,
const SPACING: u64 = 50_000_000;
/// or more where there would be more machines than this. Each takes up to 20 MB of a disk.
const MOST: u64 = 16;
/// Where none can be saved, this part of the way to the next one brings to another place.
const ASIDE: u64 = 16;
/// Xen's code is at higher addresses than this, and ours at lower ones.
const XEN: u64 = 1 << 63;
/// The files with what a replay prints are called so.
const NAME: &str = "replayed";
/// So many instructions before the place a machine is held for the first time: more than there are in
/// most blocks.
const APPROACH: u64 = 100;
/// A machine that stopped too late is held so much earlier, and longer, the next time,
const FARTHER: u32 = 8;
/// so often.
const TRIES: usize = 4;
/// Between two looks at a machine that runs.
const BREATH: Duration = Duration::from_millis(1);
/// A machine that nobody holds executes something within this time, however busy the host is.
const STALLED: Duration = Duration::from_secs(60);
/// Where the kernel does not tell what QEMU does: QEMU has heard what it was told after this time.
const HEARD: Duration = Duration::from_millis(50);
/// Where it does: QEMU has after this time in any case.
const SURELY_HEARD: Duration = Duration::from_secs(5);
/// How gdb's server begins to say that the machine stands because it was told to.
const TOLD: &[u8] = b"T02";
/// It waits for something else when it is seen to so often in a row.
const SEEN: usize = 3;
/// Commands of QEMU's monitor for blocks of one instruction: since 8.1, and before.
const ONE_BY_ONE: [&str; 2] = ["one-insn-per-tb", "singlestep"];
/// How the monitor says that it knows no such command.
const UNKNOWN: &str = "unknown command";

/// Everything that it takes.
#[derive(Debug)]
pub struct Stage<'a> {
    /// The boot.
    pub recipe: &'a Recipe,
    /// The date at power on.
    pub date: String,
    /// Its folder.
    pub dir: &'a Path,
    /// Who counts.
    pub plugin: &'a Plugin,
    /// Who may have enough of it; not while gdb takes Ctrl-C for itself.
    pub stop: Option<&'a StopSignal>,
    /// Machines that were saved on the way, in its order.
    saved: Vec<Saved>,
    /// Where the boot ends, once that is known.
    pub end: Option<Moment>,
}

/// A machine that stands still.
#[derive(Debug)]
pub struct Replay {
    qemu: ChildGuard,
    /// Where it began: at power on, or where it was saved.
    pub began: u64,
    /// Its gdb server.
    pub stub: Stub,
    timeline: Timeline,
    /// Whether its guest has page tables of its own, below Xen's.
    is_hvm: bool,
}

/// How far a machine went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    There,
    Beyond,
}

impl<'a> Stage<'a> {
    /// For the boot of `recipe` that is powered on at `date`, in its folder `dir`.
    pub fn new(
        recipe: &'a Recipe,
        date: &str,
        dir: &'a Path,
        plugin: &'a Plugin,
        stop: &'a StopSignal,
    ) -> Stage<'a> {
        let date = date.to_owned();
        Stage { recipe, date, dir, plugin, stop: Some(stop), saved: Vec::new(), end: None }
    }

    /// A machine before the instruction of that number.
    pub fn at(&mut self, place: u64) -> Result<Replay> {
        self.on_the_way(place, place, &Watch::default(), 1)
    }

    /// The same, with what was hit on the way, as far as there is room. It began at `from` or before.
    pub fn on_the_way(
        &mut self,
        from: u64,
        place: u64,
        watch: &Watch,
        room: usize,
    ) -> Result<Replay> {
        loop {
            let why = match self.try_on_the_way(from.min(place), place, watch, room) {
                Ok(replay) if !self.is_astray(replay.now()?) => return Ok(replay),
                Ok(_) => self.failed(&io::Error::other("it went another way than before")),
                Err(why) => why,
            };
            let stopped = self.stop.is_some_and(|stop| stop.requested().is_some());
            if self.saved.is_empty() || stopped {
                return Err(why);
            }
            self.forget(&why);
        }
    }

    /// Goes on without saved machines.
    fn forget(&mut self, why: &dyn fmt::Display) {
        note(&format!("going back takes a whole boot, as QEMU saves no machine here: {why}"));
        self.saved.clear();
    }

    fn try_on_the_way(&self, from: u64, place: u64, watch: &Watch, room: usize) -> Result<Replay> {
        let begin = self.saved.iter().rfind(|saved| saved.moment.at <= from);
        let mut scale = 1;
        for _ in 0..TRIES {
            let mut replay = self.begin(begin, watch, room)?;
            let reached = replay.go(place, scale, self.stop);
            match reached.map_err(|why| self.failed(&why))? {
                Reached::There => return Ok(replay),
                Reached::Beyond => scale *= FARTHER,
            }
        }
        Err(self.failed(&io::Error::other(format!("no replay stopped at instruction {place}"))))
    }

    /// Whether a machine that stands at `now` did not come there as before.
    pub fn is_astray(&self, now: Moment) -> bool {
        let mut known = self.saved.iter().map(|saved| saved.moment).chain(self.end);
        known.any(|then| then.at == now.at && then != now)
    }

    /// A machine before the instruction of that number, which began at power on. Machines are saved on
    /// its way.
    pub fn survey(&mut self, place: u64) -> Result<Replay> {
        self.saved.clear();
        let mut replay = self.begin(None, &Watch::default(), 1)?;
        let spacing = SPACING.max(place / MOST);
        let mut at = spacing;
        while at < place {
            replay.go(at, 1, self.stop).map_err(|why| self.failed(&why))?;
            // QEMU does not load what it saved of a CPU that runs an HVM guest.
            if !replay.is_in_xen().map_err(|why| self.failed(&why))? {
                at += spacing / ASIDE;
                continue;
            }
            match self.save(&replay) {
                Ok(saved) => self.saved.push(saved),
                Err(why) => {
                    self.forget(&format!("{why} (is the disk with {} full?)", self.dir.display()));
                    break;
                }
            }
            at += spacing;
        }
        match replay.go(place, 1, self.stop).map_err(|why| self.failed(&why))? {
            Reached::There if !self.is_astray(replay.now()?) => Ok(replay),
            // The next try says what is wrong.
            _ => self.at(place),
        }
    }

    fn save(&self, replay: &Replay) -> io::Result<Saved> {
        Saved::save(self.dir, replay.timeline.now()?, fs::read(self.printed())?)
    }

    /// A machine that stands still: where it was `saved`, or before its first instruction.
    fn begin(&self, saved: Option<&Saved>, watch: &Watch, room: usize) -> Result<Replay> {
        let now = saved.map(|saved| saved.moment).unwrap_or_default();
        let mut args = arguments(self.recipe, &self.date);
        args.extend(["-gdb".into(), server(SOCKET), "-S".into()]);
        args.extend(qmp::args());
        args.extend(saved.into_iter().flat_map(Saved::args));
        let (plugin, timeline) = prepare(self.plugin, self.dir, now, watch.clone(), room)?;
        args.extend(plugin);
        let connect = || {
            if saved.is_some() {
                has_arrived(self.dir)?;
            }
            Stub::connect(self.dir)
        };
        let (qemu, stub) = start(&self.recipe.program, &args, self.dir, NAME, connect)?;
        let is_hvm = self.recipe.environment.is_hvm();
        Ok(Replay { qemu, began: now.at, stub, timeline, is_hvm })
    }

    pub(super) fn failed(&self, why: &io::Error) -> Error {
        let said = fs::read_to_string(self.dir.join(format!("{NAME}.err"))).unwrap_or_default();
        Error::Tool(format!(
            "cannot replay the boot in {}: {why}\n{}",
            self.dir.display(),
            said.trim()
        ))
    }

    /// What the console has said by the time that `replay`, the last one, stands where it does.
    pub fn console(&self, replay: &Replay) -> Result<Vec<u8>> {
        let path = self.printed();
        let since = fs::read(&path).io("read", &path)?;
        let before = self.saved.iter().find(|saved| saved.moment.at == replay.began);
        Ok([before.map_or(&[][..], |saved| &saved.console), &since].concat())
    }

    /// The file with what the last replay prints.
    fn printed(&self) -> PathBuf {
        self.dir.join(format!("{NAME}.log"))
    }
}

impl Replay {
    /// Where it is.
    pub fn now(&self) -> Result<Moment> {
        self.timeline.now().io("read", Path::new(TIMELINE))
    }

    /// Where it was when it put out the last byte.
    pub fn last_output(&self) -> Result<Moment> {
        self.timeline.last_output().io("read", Path::new(TIMELINE))
    }

    /// Whether Xen's own code comes next.
    pub fn is_in_xen(&mut self) -> io::Result<bool> {
        Ok(self.stub.registers()?.rip() >= XEN)
    }

    /// `size` bytes at the virtual address; `None` where there is no memory, or none that can be read.
    pub fn memory(&mut self, address: u64, size: u64) -> io::Result<Option<Vec<u8>>> {
        // QEMU's gdb server does not know nested paging: it has nothing, or shows something else.
        if self.is_hvm && !self.is_in_xen()? {
            return Ok(None);
        }
        self.stub.memory(address, size)
    }

    /// The last hits, and how many there were.
    pub fn hits(&self) -> Result<(Vec<Hit>, u64)> {
        self.timeline.hits().io("read", Path::new(TIMELINE))
    }

    /// Goes on to the instruction `place`, which is none before.
    ///
    /// # Errors
    /// It did not stop there, or something is wrong with it.
    pub fn go_on(&mut self, place: u64) -> io::Result<()> {
        match self.go(place, 1, None)? {
            Reached::There => Ok(()),
            Reached::Beyond => {
                Err(io::Error::other(format!("the machine did not stop at instruction {place}")))
            }
        }
    }

    fn go(&mut self, place: u64, scale: u32, stop: Option<&StopSignal>) -> io::Result<Reached> {
        let near = place.saturating_sub(APPROACH * u64::from(scale));
        if self.timeline.begun()? < near {
            self.run_to(near, scale, stop)?;
        }
        if self.timeline.begun()? < place {
            self.one_by_one(true)?;
            self.run_to(place, scale, stop)?;
            self.one_by_one(false)?;
        }
        let at = self.timeline.begun()?;
        Ok(if at == place { Reached::There } else { Reached::Beyond })
    }

    /// Runs until the instruction `place` begins, and stops at the end of its block.
    fn run_to(&mut self, place: u64, scale: u32, stop: Option<&StopSignal>) -> io::Result<()> {
        self.timeline.hold(place)?;
        let ended = self.run_held(place, scale, stop);
        // Whatever happened: a QEMU that is held cannot even end in good order.
        self.timeline.hold(u64::MAX)?;
        ended?;
        match self.stub.answer()? {
            said if said.starts_with(TOLD) => Ok(()),
            said => Err(ended_early(self.timeline.begun()?, place, &said)),
        }
    }

    /// Runs until the instruction `place` is held, and tells QEMU to stop.
    fn run_held(&mut self, place: u64, scale: u32, stop: Option<&StopSignal>) -> io::Result<()> {
        self.stub.run()?;
        let mut before = (0, Instant::now());
        loop {
            let now = self.timeline.begun()?;
            if now >= place {
                break;
            }
            if let Some(said) = self.stub.stopped(BREATH)? {
                return Err(ended_early(now, place, &said));
            }
            if stop.is_some_and(|stop| stop.requested().is_some()) {
                return Err(io::Error::other("interrupted"));
            }
            if now != before.0 {
                before = (now, Instant::now());
            } else if before.1.elapsed() > STALLED {
                return Err(io::Error::other(format!(
                    "the machine stands still at instruction {now}, before {place}"
                )));
            }
        }
        let main = self.qemu.child().id();
        let idle = does(main);
        self.stub.interrupt()?;
        // The thread that heard it leaves its wait for the world, and waits for the CPU.
        let since = Instant::now();
        let enough = if idle.is_some() { SURELY_HEARD } else { HEARD * scale };
        let mut elsewhere = 0;
        while since.elapsed() < enough && elsewhere < SEEN {
            thread::sleep(BREATH);
            let now = does(main);
            elsewhere =
                if now.is_some() && idle.is_some() && now != idle { elsewhere + 1 } else { 0 };
        }
        Ok(())
    }

    /// Has blocks have one instruction, or as many as usual.
    fn one_by_one(&mut self, on: bool) -> io::Result<()> {
        let switch = if on { "on" } else { "off" };
        for command in ONE_BY_ONE {
            if !self.stub.monitor(&format!("{command} {switch}"))?.contains(UNKNOWN) {
                return Ok(());
            }
        }
        Err(io::Error::other("this QEMU cannot be told to execute one instruction at a time"))
    }
}

/// In which system call the thread waits, if the kernel tells; nothing while it does not wait.
fn does(thread: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{thread}/syscall")).ok()?;
    text.split_whitespace().next().map(str::to_owned).filter(|word| word != "running")
}

fn ended_early(at: u64, place: u64, said: &[u8]) -> io::Error {
    let said = String::from_utf8_lossy(said);
    io::Error::other(format!("the machine stopped at instruction {at}, before {place} ({said})"))
}

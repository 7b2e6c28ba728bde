//! A machine that performs programs: QEMU, Xen, and the guest `fuzz-executor`.

use std::io::Read;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use protocol::console::{DIAGNOSTIC, XEN};
use protocol::mailbox::{HOST, LOST};
use protocol::programs::{DIVERGED_AT, Ending};
use tempfile::TempDir;
use xtf_runner::base::exit::{Error, Result};
use xtf_runner::base::process::ChildGuard;
use xtf_runner::commands::fuzz::{MAILBOX, MAP, Saved, Target, Verbosity, Vitals, XenWatch};
use xtf_runner::judge::splitter::{Speaker, Splitter};

use crate::shared::{Counts, Mailbox};

/// From power on to the guest's first call.
const BOOT_TIME: Duration = Duration::from_secs(60);
/// How often a guest at work is looked after.
const SLICE: Duration = Duration::from_millis(2);
/// A dying Xen has finished speaking after this much silence,
const QUIET: Duration = Duration::from_millis(100);
/// or after this time, whatever it still prints.
const DEATH_SPEECH: Duration = Duration::from_secs(3);
/// The last lines of the guest's that are kept.
const GUEST_LINES: usize = 20;

/// How a program went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgramOutcome {
    /// To its end, and everything was undone.
    Done,
    /// To its end, but not everything could be undone.
    Dirty,
    /// The guest could not perform it.
    Unable,
    /// Xen answered something else than the model; how, in the guest's words.
    Diverged(Vec<String>),
    /// Xen died, or the guest did.
    Died(Death),
    /// There was no end within the time.
    Hung,
}

/// Machines that are ready before they are needed. They go on from one that was saved, where QEMU
/// can save it.
pub struct Spares(Receiver<Result<Instance>>);

impl Spares {
    /// Boots one after the other, as they are taken.
    pub fn new(target: &Arc<Target>, verbosity: Verbosity) -> Spares {
        // A machine dies with the thread that booted it, so this one never ends.
        let (sender, spares) = sync_channel(0);
        let target = Arc::clone(target);
        thread::spawn(move || {
            // Where that fails, a boot may still do.
            let mut saved = target.save(verbosity).ok();
            loop {
                let mut machine = Instance::boot(&target, verbosity, saved.as_ref());
                // What is saved is of use only if somebody can go on from there.
                if machine.is_err() && saved.take().is_some() {
                    machine = Instance::boot(&target, verbosity, None);
                }
                if sender.send(machine).is_err() {
                    return;
                }
            }
        });
        Spares(spares)
    }

    /// The next one.
    pub fn take(&self) -> Result<Instance> {
        let gone = |_| Error::Tool("the thread that boots machines has ended".into());
        self.0.recv().map_err(gone)?
    }
}

/// What was said in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// In one line.
    pub headline: String,
    /// Where it happened, if that was said.
    pub address: Option<u64>,
    /// All of it.
    pub words: Vec<String>,
}

/// What was said so far.
struct Said {
    /// What Xen calls itself, as the guest found it.
    version: Option<String>,
    watch: XenWatch,
    guest: Vec<String>,
    last: Instant,
    over: bool,
}

/// See the module.
pub struct Instance {
    // Dropped first: QEMU ends before its files do.
    _qemu: ChildGuard,
    mailbox: Mailbox,
    counts: Counts,
    said: Arc<Mutex<Said>>,
    _dir: TempDir,
}

impl Instance {
    /// Boots, or goes on from what was `saved`, up to the guest's first call.
    pub fn boot(target: &Target, verbosity: Verbosity, saved: Option<&Saved>) -> Result<Instance> {
        let dir = tempfile::tempdir().map_err(|source| Error::Io {
            what: "cannot create a folder for a machine".into(),
            source,
        })?;
        let invocation = target.prepare(dir.path(), verbosity, saved)?;
        let mailbox = Mailbox::create(&dir.path().join(MAILBOX))?;
        let counts = Counts::open(&dir.path().join(MAP))?;
        let mut command = Command::new(&invocation.program);
        command.args(&invocation.args).current_dir(dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut qemu = ChildGuard::spawn(&mut command).map_err(|e| {
            Error::Tool(format!("cannot start {}: {e}", invocation.program.display()))
        })?;
        let console = qemu.child().stdout.take();
        let console =
            console.ok_or_else(|| Error::Tool("internal error: QEMU has no console".into()))?;
        let said = Arc::new(Mutex::new(Said {
            version: None,
            watch: XenWatch::new(),
            guest: Vec::new(),
            last: Instant::now(),
            over: false,
        }));
        let listener = Arc::clone(&said);
        let before = saved.map(|saved| saved.console.clone()).unwrap_or_default();
        thread::spawn(move || listen(&before, console, &listener));
        let machine = Instance { _qemu: qemu, mailbox, counts, said, _dir: dir };

        match machine.watch(BOOT_TIME) {
            None if machine.mailbox.turn() == HOST => Ok(machine),
            None => Err(Error::Tool(
                "the guest's letterbox is not contiguous in QEMU's memory, so inputs cannot be \
                 written to it"
                    .into(),
            )),
            Some(ProgramOutcome::Died(death)) => Err(Error::Tool(format!(
                "the guest died before its first program: {}\n{}",
                death.headline,
                death.words.join("\n")
            ))),
            Some(_) => Err(Error::Tool(format!(
                "the guest did not ask for a program within {} s; its last lines: {}",
                BOOT_TIME.as_secs(),
                machine.said().guest.join("; ")
            ))),
        }
    }

    /// Performs the program `input`.
    pub fn perform(&mut self, input: &[u8], time: Duration) -> ProgramOutcome {
        self.counts.clear();
        self.mailbox.send(input);
        if let Some(outcome) = self.watch(time) {
            return outcome;
        }
        match Ending::from_word(self.mailbox.answer()[0]) {
            Some(Ending::Done) => ProgramOutcome::Done,
            Some(Ending::Dirty) => ProgramOutcome::Dirty,
            Some(Ending::Diverged) => ProgramOutcome::Diverged(self.last_words()),
            Some(Ending::Unable) | None => ProgramOutcome::Unable,
        }
    }

    /// What Xen calls itself.
    pub fn version(&self) -> Option<String> {
        self.said().version.clone()
    }

    /// What the guest just said of a divergence, which arrives a little later than its answer.
    fn last_words(&self) -> Vec<String> {
        thread::sleep(QUIET);
        divergence(&self.said().guest)
    }

    /// How often the last program executed each block, into `map`.
    pub fn counts(&self, map: &mut [u8]) {
        self.counts.read(map);
    }

    /// Waits for the guest's call; what comes instead, if anything does.
    fn watch(&self, time: Duration) -> Option<ProgramOutcome> {
        let start = Instant::now();
        loop {
            self.mailbox.wait(SLICE);
            if matches!(self.mailbox.turn(), HOST | LOST) {
                return None;
            }
            let (dying, over) = {
                let said = self.said();
                (said.watch.vitals() > Vitals::Alive, said.over)
            };
            if dying || over {
                return Some(ProgramOutcome::Died(self.death()));
            }
            if start.elapsed() > time {
                return Some(ProgramOutcome::Hung);
            }
        }
    }

    /// What a dying Xen says, once it has said it.
    fn death(&self) -> Death {
        let start = Instant::now();
        loop {
            {
                let said = self.said();
                let quiet = said.last.elapsed() > QUIET || said.watch.vitals() == Vitals::Dead;
                if quiet || said.over || start.elapsed() > DEATH_SPEECH {
                    return said.death();
                }
            }
            thread::sleep(SLICE);
        }
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Said {
    fn death(&self) -> Death {
        let words = self.watch.quote();
        let address = words.iter().find_map(|line| {
            let (_, rest) = line.split_once("RIP:")?;
            let (address, _) = rest.split_once("[<")?.1.split_once(">]")?;
            u64::from_str_radix(address, 16).ok()
        });
        let headline = self.watch.headline().or_else(|| self.guest.last().cloned());
        let mut words = words;
        if address.is_none() {
            words.extend(self.guest.iter().cloned());
        }
        Death { headline: headline.unwrap_or_else(|| "QEMU ended".into()), address, words }
    }
}

/// What a diagnostic says.
fn diagnostic(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix(DIAGNOSTIC)
}

/// The guest's last diagnostics, from the step that diverged on; all of its lines if there is none.
fn divergence(guest: &[String]) -> Vec<String> {
    let is_step =
        |line: &String| diagnostic(line).is_some_and(|text| text.starts_with(DIVERGED_AT));
    match guest.iter().rposition(is_step) {
        Some(start) => {
            guest[start..].iter().filter_map(|line| diagnostic(line)).map(str::to_owned).collect()
        }
        None => guest.to_vec(),
    }
}

/// Takes down what was said `before`, and what comes from `console` until its end.
fn listen(before: &[u8], console: ChildStdout, said: &Mutex<Said>) {
    let mut splitter = Splitter::default();
    let mut buffer = vec![0; 64 * 1024];
    let mut console = before.chain(console);
    loop {
        let count = console.read(&mut buffer).unwrap_or(0);
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.last = Instant::now();
        splitter.feed(&buffer[..count], |line| match line.speaker {
            Speaker::Xen => said.watch.line(&line.text),
            Speaker::Guest => {
                if let Some(version) =
                    diagnostic(&line.text).and_then(|text| text.strip_prefix(XEN))
                {
                    said.version = version.split(' ').next().map(str::to_owned);
                }
                if said.guest.len() == GUEST_LINES {
                    said.guest.remove(0);
                }
                said.guest.push(line.text);
            }
        });
        if count == 0 {
            said.over = true;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::divergence;

    #[test]
    fn the_last_divergence_is_quoted() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let said =
            lines("  # step 1: get \"a\"\n  # old\n  # step 2: look\n  # answer: new\nnoise");
        assert_eq!(divergence(&said), ["step 2: look", "answer: new"]);
        let other = lines("  # stepping\nnoise");
        assert_eq!(divergence(&other), other);
    }
}

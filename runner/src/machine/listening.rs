//! Takes the boots of a [`Console`]: what a [session](super::session) is for boots that it carries
//! out itself.
//!
//! Each boot has a judge whose list of tests grows with what is heard. Nobody can stop the machine,
//! or boot it again: what a boot did not reach has no result.

use std::path::Path;
use std::time::{Duration, Instant};

use protocol::metadata::Environment;

use crate::base::exit::{Error, Exit, Result};
use crate::base::output::note;
use crate::base::plural::count;
use crate::base::signals::StopSignal;
use crate::image::Image;
use crate::judge::recording::{Heard, RecordedLine};
use crate::judge::splitter::{Line, Speaker};
use crate::judge::{Catalogue, End, Event, Judge, Judgement, NO_TEST, PlannedTest, Sights, Vitals};
use crate::machine::Boot;
use crate::machine::account::Account;
use crate::machine::boot::{GRACE, Limits, conclude};
use crate::machine::console::{Console, Next};
use crate::machine::debug::Debug;
use crate::machine::findings::Shared;
use crate::machine::job::Job;
use crate::machine::logs::{BootLogs, RunLogs};
use crate::machine::watch::Watch;
use crate::plan::config::Hypervisor;
use crate::plan::spec::MachineSpec;
use crate::results::event::{BootFacts, Listener, RunEvent};
use crate::results::policy::Policy;
use crate::xen::hypervisor::XenUnderTest;

/// Xen's words for what it is going to run, from 4.11 on.
const BUILDS: [(&str, Environment); 2] =
    [("Building a PV Dom0", Environment::Pv64), ("Building a PVH Dom0", Environment::Pvh64)];
/// How another guest's kernel begins.
const LINUX: &str = "Linux version ";
/// Lines that are quoted of those that were not understood, and how much of each.
const QUOTED: usize = 5;
const QUOTED_CHARS: usize = 60;

/// Everything that the boots of a console share.
pub struct Listening<'a> {
    /// The image that ran, or may have.
    pub image: &'a Image,
    /// What it says of its tests.
    pub catalogue: Catalogue,
    /// What the guest runs as, if that is known.
    pub environment: Option<Environment>,
    /// What to call Xen.
    pub xen: Option<&'a str>,
    /// The xen-syms of that Xen.
    pub symbols: Option<&'a Path>,
    /// So many boots are waited for on a stream.
    pub boots: usize,
    /// Where everything is written down.
    pub logs: RunLogs,
    /// Whether the user wants it to end.
    pub stop: &'a StopSignal,
    /// What counts as a success.
    pub policy: Policy,
    /// Time for a test,
    pub test_time: &'a dyn Fn(&str) -> Duration,
    /// from the first line of a boot to its first test, and between two tests.
    pub boot_timeout: Duration,
}

/// What followed the end of a boot.
enum After {
    /// Another boot.
    Boot,
    /// Nothing; the console is over.
    Over,
    /// Nothing for a while; the stream goes on. Whether the boot came to an end of its own.
    Quiet { ended: bool },
    /// A signal.
    Stopped,
    /// The console cannot be read any more.
    Failed(Error),
}

/// Boots so far.
#[derive(Default)]
struct Tally {
    boots: usize,
    judged: usize,
}

/// What is to be known about a boot's console.
#[derive(Default)]
struct Remarks {
    /// As the guest told them.
    sights: Sights,
    /// Another guest's kernel was seen.
    linux: bool,
    /// What Xen said that it is going to run.
    dom0: Option<Environment>,
    puzzles: usize,
    quoted: Vec<String>,
}

impl Remarks {
    /// Whether the boot is none of the tests.
    fn is_of_linux(&self, judge: &Judge) -> bool {
        self.linux && !judge.has_banner()
    }
}

/// A boot that is heard.
struct Hearing<'w> {
    watch: Watch<'w>,
    judge: Judge,
    logs: BootLogs,
    start: Instant,
    is_live: bool,
    remarks: Remarks,
}

impl Listening<'_> {
    /// Judges every boot on `console`.
    pub fn run(&self, console: &mut Console, listener: &mut dyn Listener) -> Result<Exit> {
        let start = Instant::now();
        let (name, logs) = (console.name(), self.logs.dir());
        listener.event(&RunEvent::ListeningStarted { console: name, logs });
        let shared = Shared::new(listener);
        let mut tally = Tally::default();
        if let Err(error) = self.all(console, &shared, &mut tally) {
            shared.lock().error.get_or_insert(error);
        }
        let findings = shared.into_findings();
        let stopped = self.stop.requested();
        if tally.judged == 0 && stopped.is_none() && findings.error.is_none() {
            return Err(Error::Data(nothing_in(console, &tally)));
        }
        findings.end(start.elapsed(), stopped)
    }

    fn all(&self, console: &mut Console, shared: &Shared<'_>, tally: &mut Tally) -> Result<()> {
        if !self.next_boot(console)? {
            return Ok(());
        }
        loop {
            tally.boots += 1;
            let (after, is_ours) = self.boot(tally.boots, console, shared)?;
            tally.judged += usize::from(is_ours);
            let enough = tally.judged >= self.boots;
            match after {
                After::Boot => {}
                After::Over | After::Stopped => return Ok(()),
                After::Failed(error) => return Err(error),
                After::Quiet { ended } if !ended || enough => {
                    note(&format!(
                        "{} goes on; what follows is not judged (--boots N waits for N boots)",
                        console.name()
                    ));
                    return Ok(());
                }
                After::Quiet { .. } if !self.next_boot(console)? => return Ok(()),
                After::Quiet { .. } => {}
            }
        }
    }

    /// Waits until a boot begins; whether one does.
    fn next_boot(&self, console: &mut Console) -> Result<bool> {
        loop {
            match console.next(None, self.stop)? {
                Next::Heard(Heard::Boot) => return Ok(true),
                Next::Heard(Heard::Line(_)) | Next::Late => {}
                Next::Over | Next::Stopped => return Ok(false),
            }
        }
    }

    /// One boot, from its first line to its last; whether it was one of the tests.
    fn boot(
        &self,
        number: usize,
        console: &mut Console,
        shared: &Shared<'_>,
    ) -> Result<(After, bool)> {
        let start = Instant::now();
        let limits = Limits::new(self.boot_timeout, self.test_time);
        let image = Some(self.image.path.as_path()).filter(|path| !path.as_os_str().is_empty());
        let title = console.name().rsplit('/').next().unwrap_or_default();
        let logs = BootLogs::create(self.logs.boot(number, title), None, image)?;
        let waits = Box::new(|| Duration::ZERO);
        let mut hearing = Hearing {
            watch: Watch::with_waits(start, &limits, GRACE, waits),
            judge: Judge::hearing(self.environment, self.catalogue.clone()),
            logs,
            start,
            is_live: console.is_live(),
            remarks: Remarks::default(),
        };

        // Until a test begins it is not known what to call the boot.
        let mut head = Vec::new();
        let began = |judge: &Judge| judge.first_test().is_some();
        let mut ended =
            hearing.listen(console, self.stop, &began, &mut |event| head.push(event.clone()))?;
        if ended.is_some() && hearing.remarks.is_of_linux(&hearing.judge) {
            note(&format!(
                "boot {number} of {} is not judged: Linux starts in it, and none of the tests",
                console.name()
            ));
            hearing.logs.flush()?;
            return Ok((ended.map_or(After::Over, |(_, after)| after), false));
        }

        let xen = self.xen_of(&hearing);
        let environment = self.environment_of(&mut hearing);
        let first = shared.lock().heard.len();
        let column = {
            let test = hearing.judge.first_test().unwrap_or(NO_TEST);
            shared.lock().column(number, xen.name(), environment, test)
        };
        let (machine, tests) = (MachineSpec::default(), Vec::new());
        let boot = Boot { xen: &xen, environment, machine, tests };
        let job = Job { number, attempt: 1, first, planned: Vec::new(), boot, begun: None };
        let account = Account::new(&self.policy, self.image, Debug::No, &job, shared);
        let mut account = account.hearing(column);
        account.begin(
            &BootFacts {
                provenance: console.name(),
                build_id: xen.build_id.as_deref(),
                backend: "console",
                loader: None,
                mode: if console.is_live() { "live" } else { "recorded" },
                command: "",
                logs: hearing.logs.dir(),
                power_on: console.is_live().then_some(start),
            },
            None,
        );
        head.iter().for_each(|event| account.event(event));
        if ended.is_none() {
            ended = hearing.listen(console, self.stop, &|_| false, &mut |event| {
                account.event(event);
            })?;
        }
        let (end, after) = ended.unwrap_or((End::Interrupted, After::Stopped));

        let elapsed = if hearing.is_live { start.elapsed() } else { Duration::ZERO };
        let misfit = hearing.judge.misfit().map(str::to_owned);
        let Hearing { judge, mut logs, mut remarks, .. } = hearing;
        let judgement =
            conclude(judge, end, elapsed, &mut logs, &mut |event| account.event(event))?;
        let judgement = match judgement.inability() {
            Some(why) => {
                logs.decision(&format!("skipped: {why}"))?;
                logs.flush()?;
                skipped(&judgement, environment, why)
            }
            None => judgement,
        };
        self.tell_remarks(&mut remarks, misfit, &judgement, console.name());
        if !remarks.sights.are_none() {
            account.event(&Event::Sights(Box::new(remarks.sights)));
        }
        account.end(&judgement, elapsed, &mut shared.lock());
        Ok((after, true))
    }

    /// The Xen that spoke, as far as it is known.
    fn xen_of(&self, hearing: &Hearing<'_>) -> XenUnderTest {
        let name = self.xen.or(hearing.judge.version()).unwrap_or("Xen");
        let mut xen = XenUnderTest::new(&Hypervisor::elsewhere(name), None);
        xen.build_id = hearing.judge.build_id().map(str::to_owned);
        if let Some(symbols) = self.symbols {
            match xen.is_same_build(symbols) {
                true => xen.symbols = Some(symbols.to_owned()),
                false => note(&format!(
                    "no source lines for Xen's messages: {} is not of the build {} that the \
                     console names",
                    symbols.display(),
                    xen.build_id.as_deref().unwrap_or("(none)")
                )),
            }
        }
        xen
    }

    /// What the guest ran as: as it says, as is known, as Xen says, or as is assumed.
    fn environment_of(&self, hearing: &mut Hearing<'_>) -> Environment {
        let known = hearing.judge.seen_environment().or(self.environment);
        known.unwrap_or_else(|| {
            let (place, why) = match hearing.remarks.dom0 {
                Some(place) => (place, "is what Xen was building"),
                None => (Environment::Pv64, "is assumed (--env ENV)"),
            };
            let name = place.name();
            hearing.remarks.sights.note(format!("the guest names no environment; {name} {why}"));
            place
        })
    }

    /// Adds to the boot's notes what a person has to know of its console.
    fn tell_remarks(
        &self,
        remarks: &mut Remarks,
        misfit: Option<String>,
        judgement: &Judgement,
        console: &str,
    ) {
        let Remarks { sights, puzzles, quoted, .. } = remarks;
        if *puzzles > 0 {
            let more = if *puzzles > quoted.len() { ", ..." } else { "" };
            let quoted = quoted.join(", ");
            let lines = count(*puzzles, "line");
            sights.note(format!("{lines} of {console} not understood: {quoted}{more}"));
        }
        let image = self.image.path.display();
        let has_backtrace = judgement.settled.iter().any(|report| !report.backtrace.is_empty());
        if let Some(why) = misfit {
            sights.note(format!(
                "judged by the protocol alone where {image} does not fit, which is therefore not \
                 what ran: {why}"
            ));
        } else if has_backtrace && !self.image.tests.is_empty() {
            sights.note(format!(
                "the guest's source lines are those of {image}; the console does not tell which \
                 build ran"
            ));
        }
    }
}

impl Hearing<'_> {
    /// Listens until the boot has ended, or `enough` is known of it: how it ended, and what came
    /// then.
    fn listen(
        &mut self,
        console: &mut Console,
        stop: &StopSignal,
        enough: &dyn Fn(&Judge) -> bool,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<Option<(End, After)>> {
        let mut flooded = false;
        while !enough(&self.judge) {
            // Linux may run for days before somebody boots the tests, and Xen may say a word
            // meanwhile.
            let is_alive = self.judge.vitals() == Vitals::Alive;
            let waits = self.remarks.is_of_linux(&self.judge) || is_alive && !self.has_begun();
            let patience = self.watch.patience(&self.judge, Instant::now());
            let next = console.next((!waits).then_some(patience), stop);
            let over = || End::Over(console.name().to_owned());
            let (end, after) = match next {
                Ok(Next::Heard(Heard::Line(_))) if flooded => continue,
                Ok(Next::Heard(Heard::Line(line))) => {
                    self.take(line, on_event)?;
                    // A recording may say much after the tests are over.
                    flooded = self.judge.is_flooded();
                    continue;
                }
                Ok(Next::Heard(Heard::Boot)) => (End::Exited, After::Boot),
                Ok(Next::Over) => (over(), After::Over),
                Ok(Next::Stopped) => (End::Interrupted, After::Stopped),
                Err(error) => (End::ToolDied(error.to_string()), After::Failed(error)),
                Ok(Next::Late) => {
                    let end = self.watch.verdict(&self.judge, self.logs.dir());
                    let ended = !matches!(end, End::TimedOut(_));
                    (end, After::Quiet { ended })
                }
            };
            let is_cut = flooded && !self.judge.has_result() && !matches!(end, End::Interrupted);
            return Ok(Some((if is_cut { End::Flooded } else { end }, after)));
        }
        Ok(None)
    }

    /// Whether the first line of the boot was heard: a stream may have been joined in the middle of
    /// another one.
    fn has_begun(&self) -> bool {
        self.judge.version().is_some() || self.judge.has_banner()
    }

    /// Takes a line.
    fn take(&mut self, line: RecordedLine, on_event: &mut dyn FnMut(&Event)) -> Result<()> {
        let had_begun = self.has_begun();
        let Hearing { watch, judge, logs, start, is_live, remarks } = self;
        let RecordedLine { number, raw, text, puzzle } = line;
        logs.console(&raw)?;
        let now = if *is_live { Instant::now() } else { *start };
        watch.bytes_at(now, text.as_bytes(), judge, logs, &mut |event| {
            match event {
                Event::Line(Line { speaker: Speaker::Guest, text }) => {
                    remarks.linux |= text.contains(LINUX);
                }
                Event::Line(Line { text, .. }) => {
                    let said = BUILDS.iter().find(|(words, _)| text.contains(words));
                    remarks.dom0 = said.map(|(_, place)| *place).or(remarks.dom0);
                }
                Event::Sights(sights) => {
                    remarks.sights.changes.clone_from(&sights.changes);
                    remarks.sights.notes.extend(sights.notes.iter().cloned());
                }
                _ => {}
            }
            on_event(event);
        })?;
        if *is_live {
            logs.flush()?;
        }
        if let Some(text) = puzzle {
            remarks.puzzles += 1;
            if remarks.quoted.len() < QUOTED {
                let text = text.trim();
                let end = text.char_indices().nth(QUOTED_CHARS).map(|(end, _)| end);
                let (text, more) = end.map_or((text, ""), |end| (&text[..end], "..."));
                remarks.quoted.push(format!("line {number} `{text}{more}`"));
            }
        }
        if !had_begun && self.has_begun() {
            self.watch.restart(now);
        }
        Ok(())
    }
}

/// The same boot, in which Xen cannot run the image for the reason `why`.
fn skipped(judgement: &Judgement, environment: Environment, why: &str) -> Judgement {
    let settled = judgement.settled.iter().map(|report| &report.name);
    let planned = settled
        .chain(&judgement.rerun)
        .map(|name| PlannedTest { name: name.clone(), cases: Vec::new() });
    Judge::new(environment.banner(), planned.collect()).skip(why)
}

/// Why there is nothing to judge.
fn nothing_in(console: &Console, tally: &Tally) -> String {
    let name = console.name();
    let lines = console.lines();
    if lines == 0 {
        return format!("{name} is empty; is it a console that was recorded?");
    }
    if tally.boots > 0 {
        let boots = count(tally.boots, "boot");
        return format!("{name} holds {boots}, and none of the tests: Linux starts in each");
    }
    format!(
        "{name} is no console of the tests: none of its {} begins with `(XEN)` or is the guest's \
         first line, `{}`",
        count(lines, "line"),
        protocol::console::BANNER
    )
}

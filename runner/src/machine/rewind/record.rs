//! Making a boot again, up to its end.
//!
//! The machine is watched as in a run, and held at its end: when Xen has died, when time is over, or
//! when it has shut down. It goes on for a while until the runner sees that, so where it is held is
//! not the same twice. A boot ends where the last byte leaves a machine that shut down, or the last one
//! before a silence when Xen has died. One whose time was over, which may have hung in silence, ends
//! some more instructions later.

use std::path::Path;
use std::time::Duration;

use super::replay::{Replay, Stage};
use super::timeline::{Moment, Timeline, Watch};
use super::{Recording, TIMELINE, arguments, prepare};
use crate::base::exit::{Error, IoContext, Result};
use crate::base::signals::StopSignal;
use crate::base::status::Status;
use crate::judge::{Event, Judgement};
use crate::machine::boot::{self, Limits};
use crate::machine::debug::{Debug, has_shut_down};
use crate::machine::logs::BootLogs;
use crate::machine::plugin::Plugin;
use crate::machine::qemu::Invocation;
use crate::machine::qmp;
use crate::machine::recipe::Recipe;

/// Where something hangs it does so again and again.
const HANGS: u64 = 1_000_000;
/// A Xen that dies has said all when it says nothing for so many instructions: 13 ms of its time.
const SILENCE: u64 = 200_000;
/// So many bytes may come before that.
const LONGEST_SPEECH: usize = 1000;
/// How QEMU wants dates.
const FORMAT: &str = "%Y-%m-%dT%H:%M:%S";

/// What came of making a boot again.
#[derive(Debug)]
pub struct Take {
    /// What was judged.
    pub judgement: Judgement,
    /// The date at power on.
    date: String,
    /// Where it ends.
    end: End,
}

/// What is known of a boot's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// There, and how it got there.
    Known(Moment),
    /// After so many instructions.
    At(u64),
    /// Before a silence, which begins then or later.
    Silence(u64),
}

/// Makes the boot of `recipe` in the folder of `logs`, which has the links.
pub fn record(
    recipe: &Recipe,
    plugin: &Plugin,
    stop: &StopSignal,
    logs: &mut BootLogs,
    on_event: &mut dyn FnMut(&Event),
) -> Result<Take> {
    let date = chrono::Local::now().to_utc().format(FORMAT).to_string();
    let mut args = arguments(recipe, &date);
    args.extend(qmp::args());
    let (more, timeline) = prepare(plugin, logs.dir(), Watch::default(), 1)?;
    args.extend(more);
    let carrier = Invocation {
        program: recipe.program.clone(),
        args,
        xen_cmdline: String::new(),
        files: Vec::new(),
    };
    let test_time = |name: &str| recipe.test_time(name);
    let boot_time = Duration::from_secs(recipe.boot_s);
    let limits = Limits { debug: Debug::Keep, ..Limits::new(boot_time, &test_time) };
    let result = boot::run(&carrier, recipe.judge(), &limits, stop, logs, on_event)?;
    if result.kept.is_none() {
        let said = result.tool_failure.map(|failure| failure.what);
        let reasons = result.judgement.settled.iter().flat_map(|report| &report.reasons);
        let why = said.unwrap_or_else(|| reasons.cloned().collect::<Vec<_>>().join("; "));
        return Err(Error::Tool(match stop.requested() {
            Some(_) => "the recording was interrupted".into(),
            None => format!("QEMU ended before it could be held: {why}"),
        }));
    }
    let judgement = result.judgement;
    let hangs = judgement.settled.iter().any(|report| report.status == Status::Timeout);
    let (begun, last) = state(&timeline).io("read", Path::new(TIMELINE))?;
    let end = match last.at {
        0 => End::At(begun),
        at if hangs => End::At(begun.min(at + HANGS)),
        _ if has_shut_down(logs.dir()) => End::Known(last),
        at => End::Silence(at),
    };
    Ok(Take { judgement, date, end })
}

/// How many instructions have begun, and where the last byte came from.
fn state(timeline: &Timeline) -> std::io::Result<(u64, Moment)> {
    Ok((timeline.begun()?, timeline.last_output()?))
}

impl Take {
    /// Makes the boot of `stage` once more, up to its end. Returns what is known of it then, and the
    /// machine.
    ///
    /// # Errors
    /// It did not go the same way.
    pub fn settle(&self, stage: &Stage<'_>) -> Result<(Recording, Replay)> {
        let end = match self.end {
            End::Known(Moment { at, .. }) | End::At(at) => at,
            End::Silence(from) => silence(stage, from)?,
        };
        let replay = stage.at(end, &Watch::default(), 1)?;
        let now = replay.now()?;
        if matches!(self.end, End::Known(then) if then != now) {
            return Err(Error::Tool(format!(
                "a replay came to instruction {end} in another way than the boot before it: this QEMU \
                 does not make this boot the same twice"
            )));
        }
        Ok((Recording { date: self.date.clone(), end, hash: now.hash }, replay))
    }

    /// The date at power on.
    pub fn date(&self) -> &str {
        &self.date
    }
}

/// Where the last byte comes from before a silence, which begins at `from` or later.
fn silence(stage: &Stage<'_>, from: u64) -> Result<u64> {
    let mut replay = stage.at(from + SILENCE, &Watch::default(), 1)?;
    let mut last = from;
    for _ in 0..LONGEST_SPEECH {
        match replay.last_output()?.at {
            at if at <= last => return Ok(last),
            at => last = at,
        }
        replay.go_on(last + SILENCE).map_err(|why| stage.failed(&why))?;
    }
    Ok(last)
}

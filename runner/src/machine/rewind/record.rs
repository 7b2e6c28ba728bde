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
    Silence(Moment),
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
    let (more, timeline) = prepare(plugin, logs.dir(), Moment::default(), Watch::default(), 1)?;
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
        _ => End::Silence(last),
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
    pub fn settle(&self, stage: &mut Stage<'_>) -> Result<(Recording, Replay)> {
        let replay = match self.end {
            End::Known(then) => {
                stage.end = Some(then);
                stage.survey(then.at)?
            }
            End::At(at) => stage.survey(at)?,
            End::Silence(from) => {
                let then = silence(stage, from)?;
                stage.end = Some(then);
                stage.at(then.at)?
            }
        };
        let now = replay.now()?;
        stage.end = Some(now);
        Ok((Recording { date: self.date.clone(), end: now.at, hash: now.hash }, replay))
    }

    /// The date at power on.
    pub fn date(&self) -> &str {
        &self.date
    }
}

/// Where the last byte comes from before a silence, which begins at `from` or later.
fn silence(stage: &mut Stage<'_>, from: Moment) -> Result<Moment> {
    let mut replay = stage.survey(from.at + SILENCE)?;
    let mut last = from;
    for _ in 0..LONGEST_SPEECH {
        match replay.last_output()? {
            now if now.at <= last.at => return Ok(last),
            now => last = now,
        }
        replay.go_on(last.at + SILENCE).map_err(|why| stage.failed(&why))?;
    }
    Ok(last)
}

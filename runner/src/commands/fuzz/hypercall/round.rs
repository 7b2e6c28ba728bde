//! One domain, and what came of its calls.

use std::borrow::Cow;
use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::time::Duration;

use protocol::metadata::Environment;
use protocol::programs::{EVERY, FROM, PERFORMED, SEED, STEP, STEPS};

use super::flaw::{Flaw, Host};
use crate::base::exit::{Error, IoContext, Result};
use crate::base::signals::StopSignal;
use crate::base::status::Status;
use crate::judge::{Event, splitter};
use crate::machine::Boot;
use crate::machine::boot::Limits;
use crate::machine::logs::RunLogs;
use crate::machine::trial::{Trial, Tried};
use crate::machine::xl::Domains;
use crate::plan::config::Config;
use crate::plan::select::Selected;
use crate::plan::spec::join;
use crate::xen::hypervisor::XenUnderTest;

/// What makes a domain's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls {
    pub environment: Environment,
    pub seed: u64,
    pub from: u64,
    pub steps: u64,
    pub every: u64,
}

/// What came of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Went {
    /// It made all its calls.
    Well,
    /// It died; how.
    Died(String),
    /// It has shown that something is wrong with Xen.
    Wrong(Flaw),
}

/// One domain.
pub struct Round {
    pub went: Went,
    /// The step and text of the last call.
    pub last: Option<(u64, String)>,
    pub version: Option<String>,
    pub provenance: String,
}

/// What makes domains, one after the other.
pub struct Rounds<'a> {
    /// The Xen that they run on,
    pub xen: &'a XenUnderTest,
    /// and what creates them there.
    pub backend: &'a Domains,
    /// The machines' settings and time limits.
    pub config: &'a Config,
    /// The test that makes the calls,
    pub test: &'a Selected,
    /// how it is told which ones,
    pub selection: String,
    /// and its image.
    pub image: &'a Path,
    /// Where their logs go.
    pub logs: RunLogs,
    /// Whether the user wants it to end.
    pub stop: &'a StopSignal,
    /// How many there were, second attempts among them.
    pub count: Cell<usize>,
}

impl Rounds<'_> {
    /// How the guest is told of `calls`.
    pub fn words(&self, calls: Calls) -> String {
        let Calls { seed, from, steps, every, .. } = calls;
        let calls = format!("{SEED}={seed} {FROM}={from} {STEPS}={steps} {EVERY}={every}");
        join([&calls, &self.selection])
    }

    /// A domain makes these calls.
    pub fn round(&self, calls: Calls) -> Result<Round> {
        let Calls { environment, seed, .. } = calls;
        let mut machine = self.config.machine(&self.xen.hypervisor, &self.test.test);
        machine.guest_cmdline = join([&machine.guest_cmdline, &self.words(calls)]);
        let boot =
            Boot { xen: self.xen, environment, machine, tests: vec![Cow::Borrowed(self.test)] };
        let time = self.config.test_time(&self.test.test);
        let boot_time = Duration::from_secs(self.config.qemu.boot_timeout_s);
        let of_test = |_: &str| time;
        let limits = Limits::new(boot_time, &of_test);
        self.count.set(self.count.get() + 1);
        let dir = self.logs.boot(self.count.get(), &format!("{}-{seed}", environment.name()));
        let trial = Trial { image: self.image, limits: &limits, stop: self.stop };
        let mut last = None;
        let Tried { provenance, result } =
            trial.boot(dir.clone(), self.backend, &boot, &mut |event| {
                if let Event::Line(line) = event
                    && line.speaker == splitter::Speaker::Guest
                    && let Some((_, call)) = line.text.split_once(PERFORMED)
                    && let Some(step) = step(call)
                {
                    last = Some((step, call.to_owned()));
                }
            })?;
        let went = match result.judgement.settled.first() {
            Some(report) if report.status == Status::Success => Went::Well,
            Some(report) if report.status == Status::Skip => {
                return Err(Error::Tool(format!(
                    "the guest skipped its test: {}",
                    report.reasons.join("; ")
                )));
            }
            Some(report) => Flaw::of(report, self.host())
                .map_or_else(|| Went::Died(report.told().join("; ")), Went::Wrong),
            None => Went::Died("stopped".into()),
        };
        if !matches!(went, Went::Wrong(_)) && last.is_some() {
            // Thousands of them would fill the disk; the seed tells it all again.
            fs::remove_dir_all(&dir).io("remove", &dir)?;
        }
        Ok(Round { went, last, version: result.judgement.version, provenance })
    }

    /// What is left of the host.
    pub fn host(&self) -> Host {
        match (self.backend.is_powered(self.xen), self.backend.answers(self.xen)) {
            (_, true) => Host::Alive,
            (true, false) => Host::Silent,
            (false, false) => Host::Gone,
        }
    }
}

/// The step of a call as it is on the console.
fn step(call: &str) -> Option<u64> {
    let value = |word: &str| word.split_once('=').filter(|(key, _)| *key == STEP)?.1.parse().ok();
    call.split(' ').find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_is_read_off_the_console() {
        assert_eq!(step("seed=2 step=1302 event_channel_op [5, 3443e8]"), Some(1302));
        assert_eq!(step("seed=2 step=x event_channel_op"), None);
        assert_eq!(step("event_channel_op"), None);
    }
}

//! One boot outside of any session: to try something, and see what comes of it.

use std::path::{Path, PathBuf};

use crate::base::exit::{Error, Result};
use crate::base::signals::StopSignal;
use crate::judge::{Event, Judge, PlannedTest};
use crate::machine::Boot;
use crate::machine::backend::{Backend, Prepared};
use crate::machine::boot::{self, BootResult, ConsoleProcess, Limits};
use crate::machine::logs::BootLogs;

/// What boots, and for how long.
#[derive(Clone, Copy)]
pub struct Trial<'a> {
    /// The image.
    pub image: &'a Path,
    /// How long things may take.
    pub limits: &'a Limits<'a>,
    /// Whether the user wants it to end.
    pub stop: &'a StopSignal,
}

/// What came of a trial's boot.
pub struct Tried {
    /// Where its Xen came from.
    pub provenance: String,
    /// What was judged.
    pub result: BootResult,
}

impl Trial<'_> {
    /// Has `backend` carry out `boot`, with logs in the new folder `dir`.
    pub fn boot(
        &self,
        dir: PathBuf,
        backend: &dyn Backend,
        boot: &Boot<'_>,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<Tried> {
        let mut logs = BootLogs::create(dir, Some(boot.xen), Some(self.image))?;
        let prepared = backend.prepare(boot, self.limits, self.stop, &mut logs)?;
        let Prepared { provenance, start, .. } = prepared;
        let (carrier, judge) = start.map_err(|why| {
            let environment = boot.environment.name();
            Error::Usage(format!("{why}; remove {environment} from --env"))
        })?;
        let result =
            boot::run(carrier.as_ref(), judge, self.limits, self.stop, &mut logs, on_event)?;
        Ok(Tried { provenance, result })
    }

    /// The same with `carrier` and a guest that is given no tests; returns whether the guest came
    /// to its last line, or why it did not.
    pub fn idle(
        &self,
        dir: PathBuf,
        boot: &Boot<'_>,
        carrier: &dyn ConsoleProcess,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<std::result::Result<(), String>> {
        let mut logs = BootLogs::create(dir, Some(boot.xen), Some(self.image))?;
        // Somebody has to be blamed, so that there is a report of what happened.
        let blamed = PlannedTest { name: "trial".into(), cases: Vec::new() };
        let judge = Judge::new(boot.environment.banner(), vec![blamed]);
        let mut last = false;
        let result = boot::run(carrier, judge, self.limits, self.stop, &mut logs, &mut |event| {
            last |= *event == Event::Final;
            on_event(event);
        })?;
        let reasons = result.judgement.settled.into_iter().flat_map(|report| report.reasons);
        let why = reasons.collect::<Vec<_>>().join("; ");
        Ok(if last { Ok(()) } else { Err(why) })
    }
}

//! What the workers of a [session](super::session) have found so far, and who is told of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::metadata::Environment;

use crate::base::exit::{Error, Exit, Result};
use crate::base::status::Status;
use crate::machine::Boot;
use crate::results::Unit;
use crate::results::event::{Listener, RunEvent};

/// What the workers have found so far.
pub(super) struct Findings<'l> {
    pub(super) listener: &'l mut dyn Listener,
    /// By index in the plan; of several attempts the last counts.
    pub(super) statuses: BTreeMap<usize, Status>,
    pub(super) tool_failed: bool,
    /// Xens that cannot be dom0's in an environment, as a boot has shown, and why.
    pub(super) inabilities: Vec<(String, Environment, &'static str)>,
    /// What ended the session.
    pub(super) error: Option<Error>,
    /// All tests so far, where they were not planned.
    pub(super) heard: Vec<Unit>,
}

impl Findings<'_> {
    /// Nothing more comes: tells so, and how the runner ends.
    pub(super) fn end(self, elapsed: Duration, stopped: Option<Exit>) -> Result<Exit> {
        let results = Status::of_parts(self.statuses.into_values());
        let results = results.map_or(Exit::Success, Exit::from);
        let tool = self.tool_failed.then_some(Exit::Tool);
        let failed = self.error.as_ref().map(Error::exit);
        let exit = [Some(results), tool, stopped, failed].into_iter().flatten().max();
        let exit = exit.unwrap_or(results);
        let error = self.error.as_ref().map(Error::to_string);
        let error = error.as_deref();
        self.listener.event(&RunEvent::RunEnded { elapsed, stopped, error, exit });
        self.error.map_or(Ok(exit), Err)
    }

    /// What the tests of boot `number` are told under, the `first` of which nobody planned: the name
    /// of its Xen, unless an earlier boot has the same test there.
    pub(super) fn column(
        &self,
        number: usize,
        xen: &str,
        environment: Environment,
        first: &str,
    ) -> String {
        let same = |unit: &Unit| {
            (unit.xen.as_str(), unit.environment, unit.test.as_str()) == (xen, environment, first)
        };
        match self.heard.iter().any(same) {
            true => format!("{xen} boot {number}"),
            false => xen.to_owned(),
        }
    }

    /// The place of `unit` among the tests that nobody planned, of which the boot at hand has those
    /// from `first` on; it is told of when it is new.
    pub(super) fn place_of(&mut self, boot: usize, first: usize, unit: &Unit) -> usize {
        let own = self.heard.iter().skip(first);
        if let Some(index) = own.map(|known| &known.test).position(|test| *test == unit.test) {
            return first + index;
        }
        let index = self.heard.len();
        self.heard.push(unit.clone());
        self.listener.event(&RunEvent::TestHeardOf { boot, index, unit });
        index
    }
}

/// [`Findings`], for one worker at a time.
pub(super) struct Shared<'l>(Mutex<Findings<'l>>);

impl<'l> Shared<'l> {
    /// Nothing yet.
    pub(super) fn new(listener: &'l mut dyn Listener) -> Shared<'l> {
        Shared(Mutex::new(Findings {
            listener,
            statuses: BTreeMap::new(),
            tool_failed: false,
            inabilities: Vec::new(),
            error: None,
            heard: Vec::new(),
        }))
    }

    /// All that was found.
    pub(super) fn into_findings(self) -> Findings<'l> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why `boot` cannot be, if one like it has shown that.
    pub(super) fn inability(&self, boot: &Boot<'_>) -> Option<&'static str> {
        let findings = self.lock();
        let mut known = findings.inabilities.iter();
        let same =
            |xen: &str, environment| (xen, environment) == (boot.xen.name(), boot.environment);
        known.find(|(xen, environment, _)| same(xen, *environment)).map(|(.., why)| *why)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Findings<'l>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

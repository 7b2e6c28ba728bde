//! What the workers of a [session](super::session) have found so far, and who is told of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::metadata::Environment;

use crate::base::exit::Error;
use crate::base::status::Status;
use crate::machine::Boot;
use crate::results::event::Listener;

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

//! Tests and cases, and what a case may use.

use alloc::format;
use core::fmt;

use protocol::metadata::{Category, Environment, Need};

use crate::cmdline;
use crate::livepatch::Livepatch;
use crate::observe;
use crate::outcome::{Outcome, Stop};
use crate::xen::{Change, Xen};

/// A unit of selection, with one XTF result. Declared once, as a constant, in its own file.
#[derive(Clone, Copy)]
pub struct Test {
    /// Lower case, words joined by `-`; unique.
    pub name: &'static str,
    /// One line for people.
    pub title: &'static str,
    /// What it is for.
    pub category: Category,
    /// Where it makes sense.
    pub environments: &'static [Environment],
    /// What it cannot do without.
    pub needs: &'static [Need],
    /// Whether it may leave the hypervisor in a state that other tests would trip over.
    pub own_boot: bool,
    /// Virtual (and, under the runner, physical) CPUs.
    pub vcpus: u32,
    /// After how many seconds of a slow emulator's time it must be stuck.
    pub timeout_s: u32,
    /// Whether it runs when nothing is named.
    pub default: bool,
    /// Words `name=VALUE` of the command line that it understands, besides the framework's own.
    pub parameters: &'static [&'static str],
    /// What it claims, in the order in which it is checked.
    pub cases: &'static [Case],
}

impl Test {
    /// What most tests are: for every environment, without needs, sharing a boot. A test sets
    /// its own name, title and cases.
    pub const DEFAULT: Self = Self {
        name: "",
        title: "",
        category: Category::Functional,
        environments: &Environment::ALL,
        needs: &[],
        own_boot: false,
        vcpus: 1,
        timeout_s: 60,
        default: true,
        parameters: &[],
        cases: &[],
    };
}

/// One claim about Xen.
#[derive(Clone, Copy)]
pub struct Case {
    /// A path that reads as the claim: `list/nr_1025_is_e2big`.
    pub name: &'static str,
    /// Checks it.
    pub run: fn(&Context) -> Outcome,
}

impl Case {
    /// A claim and how to check it.
    pub const fn new(name: &'static str, run: fn(&Context) -> Outcome) -> Self {
        Self { name, run }
    }
}

/// What a case may use.
pub struct Context {
    /// The Xen underneath.
    pub xen: Xen,
    /// The kind of guest we are.
    pub environment: Environment,
    /// Whether we are the control domain.
    pub privileged: bool,
    livepatch: Option<Livepatch>,
}

impl Context {
    /// Asks Xen and the entry code.
    pub(crate) fn new() -> Self {
        let xen = Xen::detect();
        let boot = arch::boot();
        Self {
            livepatch: Livepatch::new(&xen),
            xen,
            environment: boot.environment,
            privileged: boot.privileged,
        }
    }

    /// Looks which changes Xen has.
    pub(crate) fn observe(&mut self) {
        if let Some(livepatch) = &self.livepatch {
            observe::observe(livepatch, &mut self.xen);
        }
    }

    /// Passes if Xen has a change; for what only a Xen with it can show, or survives.
    ///
    /// # Errors
    /// A [`Stop::Skip`] that names it.
    pub fn needs(&self, change: Change) -> Outcome {
        if self.xen.has(change) {
            return Ok(());
        }
        Err(Stop::skip(format_args!("this Xen lacks {change}")))
    }

    /// The verdict of a change's own case, which has seen whether Xen has it: passes if it has, is
    /// a tolerated deviation if it is not expected to.
    ///
    /// # Errors
    /// [`Stop::Failure`] if Xen lacks a change that it should have, here or as observed at the
    /// start, and if it has one that is stated to be missing; [`Stop::Deviation`] if it is too old.
    pub fn judge_change(&self, change: Change, present: bool, how: fmt::Arguments<'_>) -> Outcome {
        let Xen { findings, release, .. } = &self.xen;
        let (expected, stated) = (findings.expects(change), findings.stated(change).is_some());
        let whole = present && findings.observed(change) != Some(false);
        match (whole, expected) {
            (true, false) if stated => {
                Err(Stop::failure(format_args!("Xen has {change}, though it is stated not to")))
            }
            (true, _) => Ok(()),
            (false, true) if stated => Err(Stop::failure(format_args!(
                "{how}: Xen lacks {change}, though it is stated to have it"
            ))),
            (false, true) => {
                Err(Stop::failure(format_args!("{how}: Xen lacks {change}, which {release} has")))
            }
            (false, false) => Err(Stop::Deviation(change.entry().deviation, format!("{how}"))),
        }
    }

    /// The livepatch interface, for tests that declare [`Need::Livepatch`].
    ///
    /// # Panics
    /// Where there is none, which that need has ruled out.
    pub fn livepatch(&self) -> &Livepatch {
        self.livepatch.as_ref().expect("the test declares Need::Livepatch")
    }

    /// A number that the command line sets, or this one.
    ///
    /// # Errors
    /// A [`Stop::Error`] when what it says is no number.
    pub fn parameter(&self, name: &str, otherwise: u64) -> Result<u64, Stop> {
        let Some(text) = self.word(name) else { return Ok(otherwise) };
        let number = match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => text.parse(),
        };
        number.map_err(|_| Stop::error(format_args!("command line: {name}={text} is not a number")))
    }

    /// What the command line sets, as it is.
    pub fn word(&self, name: &str) -> Option<&'static str> {
        cmdline::parameter(name)
    }

    /// The livepatch interface, if it was found.
    pub fn try_livepatch(&self) -> Option<&Livepatch> {
        self.livepatch.as_ref()
    }
}

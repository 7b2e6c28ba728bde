//! Changes to Xen that a guest can see, each once: what it changes, its commit, the releases that
//! have it, and how a guest finds out whether the Xen underneath does.
//!
//! Expectations ask for a [`Change`] and never for a release. A vendor's tree has changes that its
//! version number does not tell of, and may lack others: what a Xen does counts, not its name. So
//! [`Findings`] puts together what the release says, what the user states about a vendor's tree,
//! and what was observed ([`probe`]).

pub mod probe;
mod release;
mod table;

use core::fmt;

pub use release::Release;
pub use table::Change;

/// How a guest knows whether a Xen has a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Evidence {
    /// It asks Xen once, at its start ([`probe::questions`]).
    Observed,
    /// As for another change, which is observed: the two belong to one series, and every branch
    /// that got one got the other in the same point release.
    With(Change),
    /// The release decides, because observing it takes what stands here.
    Release(&'static str),
}

/// What is known of a change.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Which change.
    pub change: Change,
    /// Its name in reports and in `xtf-runner.toml`.
    pub name: &'static str,
    /// The commit on Xen's master, in ten digits.
    pub commit: &'static str,
    /// What a Xen without it is said to deviate by: `history-` and the commit.
    pub deviation: &'static str,
    /// The first release with it.
    pub first: Release,
    /// Point releases of older branches from which on these have it, rising.
    pub backports: &'static [Release],
    /// How a guest finds out.
    pub evidence: Evidence,
    /// What it changes, in one line.
    pub text: &'static str,
}

impl Entry {
    /// Whether `release` has the change, going by its number.
    pub fn is_in(&self, release: Release) -> bool {
        release >= self.first
            || self.backports.iter().any(|port| release.shares_branch(*port) && release >= *port)
    }
}

impl Change {
    /// Its entry in the table.
    pub const fn entry(self) -> &'static Entry {
        &Self::TABLE[self as usize]
    }

    /// Its name in reports and in `xtf-runner.toml`.
    pub const fn name(self) -> &'static str {
        self.entry().name
    }

    /// The commit on Xen's master, in ten digits.
    pub const fn commit(self) -> &'static str {
        self.entry().commit
    }

    /// The change of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::TABLE.iter().find(|entry| entry.name == name).map(|entry| entry.change)
    }
}

/// `fa49f4be41 (xen-depends-first)`
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.commit(), self.name())
    }
}

/// A set of changes.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes(u64);

const _: () = assert!(Change::TABLE.len() <= 64, "a set has a bit for each change");

impl Changes {
    /// None at all.
    pub const NONE: Self = Self(0);

    /// Those that a release has, going by its number.
    pub fn of(release: Release) -> Self {
        let mut changes = Self::NONE;
        for entry in Change::TABLE {
            changes.set(entry.change, entry.is_in(release));
        }
        changes
    }

    /// Whether the change is in it.
    pub const fn has(self, change: Change) -> bool {
        self.0 >> change as u32 & 1 != 0
    }

    /// Puts a change in, or takes it out.
    pub const fn set(&mut self, change: Change, present: bool) {
        let bit = 1 << change as u32;
        self.0 = if present { self.0 | bit } else { self.0 & !bit };
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let present = Change::TABLE.iter().filter(|entry| self.has(entry.change));
        f.debug_set().entries(present.map(|entry| entry.name)).finish()
    }
}

/// Some changes, and whether a Xen has them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Partial {
    known: Changes,
    present: Changes,
}

impl Partial {
    fn get(&self, change: Change) -> Option<bool> {
        self.known.has(change).then(|| self.present.has(change))
    }

    fn set(&mut self, change: Change, present: bool) {
        self.known.set(change, true);
        self.present.set(change, present);
    }
}

/// All that is known about which changes a Xen has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Findings {
    release: Changes,
    stated: Partial,
    observed: Partial,
}

impl Findings {
    /// Going by the release alone.
    pub fn of(release: Release) -> Self {
        Self {
            release: Changes::of(release),
            stated: Partial::default(),
            observed: Partial::default(),
        }
    }

    /// Takes in what the user states about a tree that differs from its release on purpose.
    pub fn state(&mut self, change: Change, present: bool) {
        self.stated.set(change, present);
    }

    /// Takes in what was observed.
    pub fn observe(&mut self, change: Change, present: bool) {
        self.observed.set(change, present);
    }

    /// Whether it was observed to have the change, or not to have it.
    pub fn observed(&self, change: Change) -> Option<bool> {
        self.observed.get(change)
    }

    /// Whether the user states that it has the change, or that it has not.
    pub fn stated(&self, change: Change) -> Option<bool> {
        self.stated.get(change)
    }

    /// Whether it should have the change: as stated, else by its release.
    pub fn expects(&self, change: Change) -> bool {
        self.stated(change).unwrap_or_else(|| self.release.has(change))
    }

    /// Whether it has the change: as observed, else as it should.
    pub fn has(&self, change: Change) -> bool {
        let companion = match change.entry().evidence {
            Evidence::With(companion) if self.stated(change).is_none() => self.observed(companion),
            _ => None,
        };
        self.observed(change).or(companion).unwrap_or_else(|| self.expects(change))
    }

    /// The changes that it has.
    pub fn changes(&self) -> Changes {
        let mut changes = Changes::NONE;
        for entry in Change::TABLE {
            changes.set(entry.change, self.has(entry.change));
        }
        changes
    }
}

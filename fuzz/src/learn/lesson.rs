//! A lesson, and what it is about.

use super::Reach;

/// A feature, by its number.
pub type Id = u32;
/// Features of a scope, rising.
pub type Ids = Vec<Id>;

/// A program, as far as it matters here: the features of its scopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen(pub(super) Vec<Ids>);

impl Seen {
    /// Of its scopes.
    pub fn of(scopes: Vec<Ids>) -> Seen {
        Seen(scopes)
    }

    /// Whether one of its scopes has all `features`.
    pub fn has(&self, features: &Ids) -> bool {
        self.0.iter().any(|scope| features.iter().all(|id| scope.binary_search(id).is_ok()))
    }
}

/// See [`learn`](super).
#[derive(Clone, Debug)]
pub struct Lesson {
    pub place: String,
    /// A program with all of these is expected to end Xen.
    pub features: Ids,
    /// All that those had in common that did; `features` are among them.
    pub shared: Ids,
    /// What all of those have executed.
    pub reach: Reach,
    /// Programs from which it was learned.
    pub killers: u64,
    /// Programs that it was about,
    pub met: u64,
    /// those of them that were tried all the same,
    pub tried: u64,
    /// those that ended Xen,
    pub died: u64,
    /// and those that came as far and did not, in this run.
    pub lived: u64,
}

impl Lesson {
    /// What one program teaches.
    pub fn new(place: &str, features: Ids, shared: Ids, reach: Reach) -> Lesson {
        let place = place.to_owned();
        Lesson { place, features, shared, reach, killers: 1, met: 0, tried: 0, died: 0, lived: 0 }
    }

    pub fn is_about(&self, seen: &Seen) -> bool {
        seen.has(&self.features)
    }

    /// Programs of which it is known that they end Xen.
    pub fn deaths(&self) -> u64 {
        self.killers + self.died
    }
}

/// A program that has ended Xen, nobody knows where yet.
#[derive(Clone, Debug)]
pub struct Suspect {
    /// What is suspicious, in each of its scopes.
    pub scopes: Vec<Ids>,
    pub reach: Reach,
}

impl Suspect {
    /// Whether a program has all that is suspicious in a scope.
    pub fn resembles(&self, seen: &Seen) -> bool {
        self.scopes.iter().any(|features| seen.has(features))
    }
}

/// What is in both.
pub fn common(a: &Ids, b: &Ids) -> Ids {
    a.iter().copied().filter(|id| b.binary_search(id).is_ok()).collect()
}

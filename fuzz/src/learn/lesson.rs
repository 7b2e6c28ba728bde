//! A lesson, and what it is about.

use super::Reach;

/// What a lesson has for a place that is about a feature which ends Xen in several.
pub const ANYWHERE: &str = "several places";

/// A feature, by its number.
pub type Id = u32;
/// Features of a scope, rising.
pub type Ids = Vec<Id>;

/// The features of a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scoped {
    pub ids: Ids,
    /// Whether it is a program as a whole, and not a payload with what is done with it.
    pub whole: bool,
}

impl Scoped {
    fn has(&self, features: &Ids) -> bool {
        features.iter().all(|id| self.ids.binary_search(id).is_ok())
    }
}

/// A program, as far as it matters here: the features of its scopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen(pub(super) Vec<Scoped>);

impl Seen {
    /// Of its payloads, and of the program as a whole where it has not just one.
    pub fn of(payloads: Vec<Ids>, whole: Option<Ids>) -> Seen {
        let payloads = payloads.into_iter().map(|ids| Scoped { ids, whole: false });
        Seen(payloads.chain(whole.map(|ids| Scoped { ids, whole: true })).collect())
    }

    /// All features.
    pub fn ids(&self) -> impl Iterator<Item = Id> {
        self.0.iter().flat_map(|scope| scope.ids.iter().copied())
    }

    /// The scope that has executed what the program has: of several payloads nobody knows which of
    /// them it was.
    pub fn came(&self) -> Option<&Scoped> {
        self.0.last().filter(|last| last.whole || self.0.len() == 1)
    }
}

/// See [`learn`](super).
#[derive(Clone, Debug)]
pub struct Lesson {
    pub place: String,
    /// Whether it is about programs as a whole, and not about payloads.
    pub whole: bool,
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
    pub fn new(place: &str, features: Ids, shared: Scoped, reach: Reach) -> Lesson {
        Lesson {
            place: place.to_owned(),
            whole: shared.whole,
            features,
            shared: shared.ids,
            reach,
            killers: 1,
            met: 0,
            tried: 0,
            died: 0,
            lived: 0,
        }
    }

    pub fn is_about(&self, seen: &Seen) -> bool {
        seen.0.iter().any(|scope| self.is_of(scope))
    }

    /// Whether it is about the scope.
    pub fn is_of(&self, scope: &Scoped) -> bool {
        (self.place == ANYWHERE || scope.whole == self.whole) && scope.has(&self.features)
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
    pub scopes: Vec<Scoped>,
    pub reach: Reach,
}

impl Suspect {
    /// Whether a program has all that is suspicious in a scope.
    pub fn resembles(&self, seen: &Seen) -> bool {
        seen.0.iter().any(|scope| self.is_of(scope))
    }

    /// Whether a scope has.
    pub fn is_of(&self, scope: &Scoped) -> bool {
        self.scopes.iter().any(|own| own.whole == scope.whole && scope.has(&own.ids))
    }
}

/// What is in both.
pub fn common(a: &Ids, b: &Ids) -> Ids {
    a.iter().copied().filter(|id| b.binary_search(id).is_ok()).collect()
}

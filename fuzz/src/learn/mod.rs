//! What ends a Xen, learned from the programs that did and from those that did not.
//!
//! A [`Lesson`] is a set of [`features`](crate::features) which the programs that ended Xen in the
//! same place have in common, and which programs that Xen survived lack. Of these only those count
//! that came as far in Xen ([`Reach`]): what Xen refuses before it comes to the deadly code says
//! nothing. A program that has all features of a lesson is left out, but for one now and then: if
//! Xen survives that one, the lesson was wrong, and is narrowed or dropped. So the fuzzer spends
//! its time beside what it knows. Where a feature ends Xen in ever other places, but not always,
//! the lesson is the feature itself.
//!
//! A death teaches in steps. At once it is a suspicion, so that what is alike need not die, too;
//! then its place is known, and may fit a lesson; if not, a smaller program that dies there is the
//! next lesson. Nothing here knows a Xen, a livepatch call, or what a feature means.

mod evidence;
mod file;
mod lesson;
mod reach;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use livepatch::program::Rng;
use xtf_runner::base::exit::Result;

#[cfg(test)]
use crate::features::Scope;
use evidence::Evidence;
use file::{Entries, Entry};
use lesson::{ANYWHERE, Id, Lesson, Scoped, Suspect, common};

pub use file::LessonFile;
pub use lesson::{Ids, Seen};
pub use reach::Reach;

/// Of programs like those that a new lesson is about, one in so many is tried.
const TRIED: u64 = 200;
/// Each death that is known makes that so many times as many,
const SURER: u64 = 4;
/// up to so many times.
const SUREST: u64 = 6;
/// After one that ended Xen, so many programs are performed before another is tried, and twice as many
/// after the next one: what is expected again and again is known.
const REST: u64 = 20_000;
/// At most so many. A run that begins with lessons begins with a rest, too.
const REST_MAX: u64 = REST << 6;
/// A lesson may leave out one in so many of the survivors, as far as they did not come as far,
const SHARE: usize = 100;
/// or this many, for each program that ended Xen
const LEFT_OUT: usize = 8;
/// up to so many of these.
const COSTLY: u64 = 5;
/// For each further program that ended Xen, so many of those that came as far may have survived.
const GRACE: u64 = 4;
/// Different places in which a feature has to end Xen to be a lesson by itself,
const PLACES: usize = 2;
/// by so many programs,
const KILLERS: u64 = 3;
/// if of so many programs with it at least one dies,
const DEADLY: u64 = 10;
/// if it is rare: one in so many programs that Xen survives has it,
const RARE: u64 = 20;
/// and if so many programs have shown that.
const ENOUGH: u64 = 500;

/// What to do with a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Perform it: nothing is known of it.
    Perform,
    /// Perform it although it is expected to end Xen.
    Try,
    /// Leave it out.
    Skip,
}

/// Which of the features that may have ended Xen are taken for the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Belief {
    /// Those that few survivors have had.
    Likely,
    /// Those that most programs have.
    Careful,
}

/// How often a feature was met.
#[derive(Clone, Debug, Default)]
struct Tally {
    /// In programs, before it was known how they go,
    met: u64,
    lived: u64,
    died: u64,
    places: BTreeSet<String>,
}

/// See the module.
pub struct Learned {
    names: Vec<String>,
    ids: HashMap<String, Id>,
    tallies: Vec<Tally>,
    /// Of payloads that Xen has survived, with what is done with them,
    payloads: Evidence,
    /// and of programs as a whole.
    programs: Evidence,
    /// Names of Xen's blocks.
    blocks: Vec<String>,
    /// Programs that Xen has survived.
    survived: u64,
    lessons: Vec<Lesson>,
    /// What was wrong, so that nobody else's file brings it back.
    wrong: HashSet<(String, Ids)>,
    suspects: BTreeMap<u64, Suspect>,
    next: u64,
    rng: Rng,
    /// None is tried before so many have been survived,
    rests_until: u64,
    /// and so many more after the next that ends Xen.
    rest: u64,
    /// Names of programs of the corpus that ended Xen.
    ended: BTreeSet<String>,
    /// Programs that a lesson was about in this run,
    pub met: u64,
    /// and those that were tried all the same.
    pub tried: u64,
}

impl Learned {
    /// Nothing yet, of a Xen whose blocks have these names.
    pub fn new(seed: u64, blocks: Vec<String>) -> Learned {
        Learned {
            names: Vec::new(),
            ids: HashMap::new(),
            tallies: Vec::new(),
            payloads: Evidence::default(),
            programs: Evidence::default(),
            blocks,
            survived: 0,
            lessons: Vec::new(),
            wrong: HashSet::new(),
            suspects: BTreeMap::new(),
            next: 0,
            rng: Rng::new(seed),
            rests_until: 0,
            rest: REST,
            ended: BTreeSet::new(),
            met: 0,
            tried: 0,
        }
    }

    /// How many lessons there are.
    pub fn count(&self) -> usize {
        self.lessons.len()
    }

    /// A program with these payloads.
    #[cfg(test)]
    pub fn see(&mut self, payloads: &[Scope]) -> Seen {
        let mut whole = None;
        if payloads.len() != 1 {
            whole = Some(self.encode(payloads.iter().flatten()));
        }
        Seen::of(payloads.iter().map(|scope| self.encode(scope)).collect(), whole)
    }

    /// What is known of scopes like those.
    fn evidence(&self, whole: bool) -> &Evidence {
        if whole { &self.programs } else { &self.payloads }
    }

    /// Features by their numbers.
    pub fn encode<'f>(&mut self, features: impl IntoIterator<Item = &'f String>) -> Ids {
        let mut ids: Ids = features.into_iter().map(|feature| self.id(feature)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    fn id(&mut self, feature: &str) -> Id {
        if let Some(&id) = self.ids.get(feature) {
            return id;
        }
        let id = self.names.len() as Id;
        self.names.push(feature.to_owned());
        self.tallies.push(Tally::default());
        self.ids.insert(feature.to_owned(), id);
        id
    }

    /// What to do with a program before it is performed.
    pub fn advise(&mut self, seen: &Seen) -> Advice {
        seen.ids().for_each(|id| self.tallies[id as usize].met += 1);
        if self.suspects(seen) {
            return Advice::Skip;
        }
        let rests = self.survived < self.rests_until;
        let mut advice = Advice::Perform;
        for lesson in self.lessons.iter_mut().filter(|lesson| lesson.is_about(seen)) {
            lesson.met += 1;
            let sure = (lesson.deaths().saturating_sub(1)).min(SUREST);
            let tries = self.rng.next_u64().is_multiple_of(TRIED * SURER.pow(sure as u32));
            advice = match advice {
                // Each of them has to agree that it is worth a try.
                Advice::Perform | Advice::Try if tries && !rests => Advice::Try,
                _ => Advice::Skip,
            };
        }
        if advice != Advice::Perform {
            self.met += 1;
        }
        if advice == Advice::Try {
            self.tried += 1;
            let about = self.lessons.iter_mut().filter(|lesson| lesson.is_about(seen));
            about.for_each(|lesson| lesson.tried += 1);
        }
        advice
    }

    /// Whether it has what is suspicious at the moment.
    pub fn suspects(&self, seen: &Seen) -> bool {
        self.suspects.values().any(|suspect| suspect.resembles(seen))
    }

    /// What to do with a program called `name` of the corpus, which Xen has survived once.
    pub fn advise_on_known(&self, name: &str) -> Advice {
        if self.ended.contains(name) { Advice::Skip } else { Advice::Perform }
    }

    /// It did not survive it this time.
    pub fn known_died(&mut self, name: &str) {
        self.ended.insert(name.to_owned());
    }

    /// Xen has survived the program, which has executed `reach`.
    pub fn lived(&mut self, seen: &Seen, reach: &Reach) {
        self.survived += 1;
        seen.ids().for_each(|id| self.tallies[id as usize].lived += 1);
        let came = seen.came();
        let nowhere = Reach::default();
        for scope in &seen.0 {
            let evidence = if scope.whole { &mut self.programs } else { &mut self.payloads };
            let reach = if came == Some(scope) { reach } else { &nowhere };
            evidence.add(&scope.ids, reach);
        }
        let Some(came) = came else { return };
        // By its field, so that the suspects can be changed meanwhile.
        let evidence = if came.whole { &self.programs } else { &self.payloads };
        let came_as_far =
            |other: &Reach| evidence.telling(other).into_iter().all(|block| reach.has(block));
        self.suspects.retain(|_, suspect| !suspect.is_of(came) || !came_as_far(&suspect.reach));
        let refuted = |lesson: &Lesson| lesson.is_of(came) && came_as_far(&lesson.reach);
        let refuted: Vec<bool> = self.lessons.iter().map(refuted).collect();
        for index in (0..refuted.len()).rev().filter(|&index| refuted[index]) {
            self.rest = REST;
            if !self.correct(index) {
                let lesson = self.lessons.remove(index);
                self.wrong.insert((lesson.place, lesson.features));
            }
        }
    }

    /// Narrows a lesson that a survivor has refuted; false if nothing is left of it.
    fn correct(&mut self, index: usize) -> bool {
        let lesson = &mut self.lessons[index];
        lesson.lived += 1;
        if lesson.place == ANYWHERE {
            return lesson.features.iter().all(|&id| {
                let Tally { lived, died, .. } = self.tallies[id as usize];
                lived < DEADLY * 2 * died.max(lesson.deaths())
            });
        }
        if lesson.lived <= grace(lesson.deaths()) {
            return true;
        }
        let lesson = &self.lessons[index];
        let told = self.telling(&lesson.shared, lesson.whole, &lesson.reach, 1, Belief::Likely);
        let Some(features) = told else { return false };
        let lesson = &mut self.lessons[index];
        let before = std::mem::replace(&mut lesson.features, features);
        (lesson.met, lesson.tried, lesson.died, lesson.lived) = (0, 0, 0, 0);
        self.wrong.insert((lesson.place.clone(), before));
        true
    }

    /// A program that was tried has ended Xen, as expected.
    pub fn died_as_expected(&mut self, seen: &Seen) {
        self.rests_until = self.survived + self.rest;
        self.rest = (self.rest * 2).min(REST_MAX);
        let about = self.lessons.iter_mut().filter(|lesson| lesson.is_about(seen));
        about.for_each(|lesson| lesson.died += 1);
    }

    /// A program has ended Xen after it had executed `reach`; where is not known yet. Returns how
    /// to speak of it.
    pub fn suspect(&mut self, seen: &Seen, reach: &Reach) -> u64 {
        let telling = |scope: &Scoped| {
            let ids = self.telling(&scope.ids, scope.whole, reach, 1, Belief::Careful)?;
            Some(Scoped { ids, ..*scope })
        };
        let scopes = seen.0.iter().filter_map(telling).collect();
        self.next += 1;
        self.suspects.insert(self.next, Suspect { scopes, reach: reach.clone() });
        self.next
    }

    /// It was another program's doing.
    pub fn acquit(&mut self, suspect: u64) {
        self.suspects.remove(&suspect);
    }

    /// A program has ended Xen in `place`. Whether what is known of that place explains it, now
    /// that it is taken into account; if not, it remains under suspicion until it is
    /// [learned](Learned::learn).
    pub fn explains(&mut self, suspect: u64, place: &str, seen: &Seen, reach: &Reach) -> bool {
        for id in seen.ids().collect::<BTreeSet<_>>() {
            let tally = &mut self.tallies[id as usize];
            tally.died += 1;
            tally.places.insert(place.to_owned());
        }
        let known = self.lessons.iter().any(|lesson| lesson.is_about(seen));
        let explained = known || self.widen(place, seen, reach) || self.scatters(seen);
        if explained {
            self.suspects.remove(&suspect);
        }
        explained
    }

    /// Takes a further program into a lesson of the same place.
    fn widen(&mut self, place: &str, seen: &Seen, reach: &Reach) -> bool {
        for index in 0..self.lessons.len() {
            let lesson = &self.lessons[index];
            if lesson.place != place {
                continue;
            }
            let reach = lesson.reach.common(reach);
            let (killers, whole) = (lesson.killers + 1, lesson.whole);
            for Scoped { ids: scope, .. } in seen.0.iter().filter(|scope| scope.whole == whole) {
                let shared = common(&lesson.shared, scope);
                let kept = common(&lesson.features, scope);
                let mut told = self.telling(&kept, whole, &reach, killers, Belief::Likely);
                if told.is_none() {
                    told = self.telling(&shared, whole, &reach, killers, Belief::Likely);
                }
                if let Some(features) = told {
                    let before = (lesson.place.clone(), lesson.features.clone());
                    if before.1 != features {
                        self.wrong.insert(before);
                    }
                    let lesson = &mut self.lessons[index];
                    (lesson.shared, lesson.features) = (shared, features);
                    (lesson.reach, lesson.killers) = (reach, killers);
                    return true;
                }
            }
        }
        false
    }

    /// Whether a feature of the program ends Xen in ever other places; then that is a lesson.
    fn scatters(&mut self, seen: &Seen) -> bool {
        if self.survived < ENOUGH {
            return false;
        }
        let deadliest = seen.ids().filter(|&id| {
            let tally = &self.tallies[id as usize];
            tally.places.len() >= PLACES
                && tally.died >= KILLERS
                && tally.lived < DEADLY * tally.died
                && tally.lived * RARE < self.survived
        });
        // Of those that are as deadly, the one that was met most.
        let Some(id) = deadliest.max_by_key(|&id| {
            let Tally { lived, died, .. } = self.tallies[id as usize];
            (1000 * died / (lived + died), died)
        }) else {
            return false;
        };
        let shared = Scoped { ids: vec![id], whole: false };
        let mut lesson = Lesson::new(ANYWHERE, vec![id], shared, Reach::default());
        lesson.killers = self.tallies[id as usize].died;
        self.lessons.push(lesson);
        true
    }

    /// Learns from a program that has ended Xen in `place` after it had executed `reach`, as small
    /// as it could be made. Whether there was anything to learn.
    pub fn learn(&mut self, suspect: u64, place: &str, seen: &Seen, reach: &Reach) -> bool {
        self.suspects.remove(&suspect);
        if self.widen(place, seen, reach) {
            return true;
        }
        // The scope with the most that no survivor has is the one that did it.
        let telling = |scope: &'_ Scoped| {
            let told = self.telling(&scope.ids, scope.whole, reach, 1, Belief::Likely)?;
            Some((told, scope.clone()))
        };
        let Some((features, shared)) =
            seen.0.iter().filter_map(telling).max_by_key(|(_, scope)| {
                scope.ids.iter().filter(|&&id| self.tallies[id as usize].lived == 0).count()
            })
        else {
            return false;
        };
        self.lessons.push(Lesson::new(place, features, shared, reach.clone()));
        true
    }

    /// Those features of `shared` without which programs that come as far as `reach` survive, as
    /// far as the survivors show: hardly any of those that came as far have them all, and few of
    /// the others. `killers` have ended Xen. `None` if that is not even so of all of `shared`.
    fn telling(
        &self,
        shared: &Ids,
        whole: bool,
        reach: &Reach,
        killers: u64,
        belief: Belief,
    ) -> Option<Ids> {
        let evidence = self.evidence(whole);
        let near = evidence.near(&evidence.telling(reach));
        let everybody = evidence.everybody();
        let bearable = LEFT_OUT.max(evidence.len() / SHARE) * killers.clamp(1, COSTLY) as usize;
        let fits = |features: &[Id]| {
            !features.is_empty()
                && evidence.count(features, &near) as u64 <= grace(killers)
                && evidence.count(features, &everybody) <= bearable
        };
        if !fits(shared) {
            return None;
        }
        let mut candidates = shared.clone();
        candidates.sort_by_key(|&id| {
            let Tally { met, lived, .. } = self.tallies[id as usize];
            let lived = if belief == Belief::Careful { 0 } else { lived };
            // Of what no survivor had, that remains which most programs have.
            (Reverse(evidence.count(&[id], &near)), Reverse(lived), met)
        });
        let mut telling = shared.clone();
        for id in candidates {
            let fewer: Ids = telling.iter().copied().filter(|&other| other != id).collect();
            if fits(&fewer) {
                telling = fewer;
            }
        }
        Some(telling)
    }

    /// Drops from the lessons what survivors have shown not to matter since.
    fn refine(&mut self) {
        if self.survived < ENOUGH {
            return;
        }
        for index in 0..self.lessons.len() {
            let lesson = &self.lessons[index];
            let Lesson { features, whole, reach, killers, .. } = lesson;
            let told = self.telling(features, *whole, reach, *killers, Belief::Likely);
            if let Some(features) = told {
                self.lessons[index].features = features;
            }
        }
        while self.unite() {}
    }

    /// Makes one lesson of two about the same place, if what their programs had in common explains
    /// all of them.
    fn unite(&mut self) -> bool {
        for first in 0..self.lessons.len() {
            for second in first + 1..self.lessons.len() {
                let (a, b) = (&self.lessons[first], &self.lessons[second]);
                if a.place != b.place || a.whole != b.whole || a.place == ANYWHERE {
                    continue;
                }
                let (shared, reach) = (common(&a.shared, &b.shared), a.reach.common(&b.reach));
                let killers = a.killers + b.killers;
                let told = self.telling(&shared, a.whole, &reach, killers, Belief::Likely);
                let Some(features) = told else { continue };
                let b = self.lessons.remove(second);
                let a = &mut self.lessons[first];
                let old = std::mem::replace(&mut a.features, features);
                (a.shared, a.reach, a.killers) = (shared, reach, killers);
                (a.met, a.tried, a.died) = (a.met + b.met, a.tried + b.tried, a.died + b.died);
                let outdated = [old, b.features].into_iter().filter(|old| *old != a.features);
                let outdated: Vec<_> = outdated.map(|old| (b.place.clone(), old)).collect();
                self.wrong.extend(outdated);
                return true;
            }
        }
        false
    }

    /// Reads what others, or an earlier run, have written into `file`, and writes down all of it.
    pub fn share(&mut self, file: &LessonFile) -> Result<()> {
        self.refine();
        file.update(|before| {
            self.adopt(Entries::parse(before)?);
            Ok(self.entries().text())
        })
    }

    /// Takes over what nobody here knows, or knows better.
    fn adopt(&mut self, entries: Entries) {
        self.ended.extend(entries.ended);
        if self.survived == 0 && !entries.lesson.is_empty() {
            self.rest = entries.rest.clamp(self.rest, REST_MAX);
            self.rests_until = self.rest;
        }
        for entry in entries.lesson {
            let features = self.encode(&entry.features);
            let mut shared = self.encode(&entry.also);
            shared.extend(&features);
            shared.sort_unstable();
            shared.dedup();
            let known = (entry.place, features);
            let (place, features) = &known;
            let here = self.lessons.iter().any(|lesson| {
                lesson.place == *place
                    && lesson.whole == entry.whole
                    && lesson.features.iter().all(|id| features.contains(id))
            });
            if here || features.is_empty() || self.wrong.contains(&known) {
                continue;
            }
            let number = |name| self.blocks.iter().position(|block| block == name);
            let reach = entry.through.iter().filter_map(number).collect();
            let (place, features) = known;
            self.lessons.push(Lesson {
                killers: entry.killers,
                met: entry.met,
                tried: entry.tried,
                died: entry.died,
                ..Lesson::new(&place, features, Scoped { ids: shared, whole: entry.whole }, reach)
            });
        }
    }

    fn entries(&self) -> Entries {
        let named = |ids: &mut dyn Iterator<Item = &Id>| {
            let mut names: Vec<String> = ids.map(|&id| self.names[id as usize].clone()).collect();
            names.sort();
            names
        };
        let block = |number: usize| self.blocks.get(number).cloned();
        let entry = |lesson: &Lesson| Entry {
            place: lesson.place.clone(),
            whole: lesson.whole,
            features: named(&mut lesson.features.iter()),
            also: named(&mut lesson.shared.iter().filter(|id| !lesson.features.contains(id))),
            through: self
                .evidence(lesson.whole)
                .telling(&lesson.reach)
                .into_iter()
                .filter_map(block)
                .collect(),
            killers: lesson.killers,
            met: lesson.met,
            tried: lesson.tried,
            died: lesson.died,
        };
        let (ended, rest) = (self.ended.clone(), self.rest);
        Entries { ended, rest, lesson: self.lessons.iter().map(entry).collect() }
    }
}

/// How many of those that came as far may survive what has ended Xen so often.
fn grace(deaths: u64) -> u64 {
    GRACE * deaths.saturating_sub(1)
}

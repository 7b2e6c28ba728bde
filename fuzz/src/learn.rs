//! What ends a Xen, learned from the programs that did and from those that did not.
//!
//! A [`Lesson`] is a set of [`features`](crate::features) which the programs that ended Xen in the
//! same place have in common, and which no program had that Xen survived. A program that has all of
//! them is left out, but for one now and then: if Xen survives that one, the lesson was wrong, and
//! is narrowed or dropped. So the fuzzer spends its time beside what it knows. Where a feature ends
//! Xen in ever other places, but not always, the lesson is the feature itself.
//!
//! A death teaches in steps. At once it is a suspicion, so that what is alike need not die, too;
//! then its place is known, and may fit a lesson; if not, a smaller program that dies there is the
//! next lesson. Nothing here knows a Xen, a livepatch call, or what a feature means.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use livepatch::program::Rng;
use serde::{Deserialize, Serialize};
use xtf_runner::base::exit::{Error, IoContext, Result};

use crate::features::Scope;

/// Of programs like those that a new lesson is about, one in so many is tried.
const TRIED: u64 = 200;
/// Each death that was foreseen makes that so many times as many,
const SURER: u64 = 4;
/// up to so many times.
const SUREST: u64 = 6;
/// As many survivors are remembered.
const SURVIVORS_MAX: usize = 1 << 15;
/// Different places in which a feature has to end Xen to be a lesson by itself,
const PLACES: usize = 3;
/// if of so many programs with it at least one dies,
const DEADLY: u64 = 10;
/// if it is rare: one in so many programs that Xen survives has it,
const RARE: u64 = 20;
/// and if so many programs have shown that.
const ENOUGH: u64 = 1000;
/// What such a lesson has for a place.
const ANYWHERE: &str = "several places";
/// The first lines of the file.
const HEAD: &str = "\
# What xtf-fuzz has learned of this Xen: programs with all `features` of a lesson ended it in that
# `place`, and none with all of them did not. `also` is what the programs that ended it had in common
# besides. Programs that fit are left out, but for a few that are tried. Remove a lesson, or the
# file, or say --forget, to have it learned anew.
";

type Id = u32;
/// Features of a scope, rising.
type Ids = Vec<Id>;

/// A program, as far as it matters here: the features of its scopes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen(Vec<Ids>);

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

/// See the module.
#[derive(Clone, Debug)]
struct Lesson {
    place: String,
    /// A program with all of these is expected to end Xen.
    features: Ids,
    /// All that those had in common that did; `features` are among them.
    shared: Ids,
    /// Programs from which it was learned.
    killers: u64,
    /// Programs that it was about,
    met: u64,
    /// those of them that were tried all the same,
    tried: u64,
    /// and those that ended Xen.
    died: u64,
}

/// A lesson as it is written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    place: String,
    features: Vec<String>,
    #[serde(default)]
    also: Vec<String>,
    #[serde(default)]
    killers: u64,
    #[serde(default)]
    met: u64,
    #[serde(default)]
    tried: u64,
    #[serde(default)]
    died: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entries {
    #[serde(default)]
    lesson: Vec<Entry>,
}

/// How often a feature was met.
#[derive(Clone, Debug, Default)]
struct Tally {
    lived: u64,
    died: u64,
    places: BTreeSet<String>,
}

/// See the module.
pub struct Learned {
    names: Vec<String>,
    ids: HashMap<String, Id>,
    tallies: Vec<Tally>,
    survivors: Survivors,
    /// Programs that Xen has survived.
    survived: u64,
    lessons: Vec<Lesson>,
    /// What was wrong, so that nobody else's file brings it back.
    wrong: HashSet<(String, Ids)>,
    suspects: BTreeMap<u64, Vec<Ids>>,
    next: u64,
    rng: Rng,
    /// Programs that a lesson was about in this run,
    pub met: u64,
    /// and those that were tried all the same.
    pub tried: u64,
}

impl Learned {
    /// Nothing yet.
    pub fn new(seed: u64) -> Learned {
        Learned {
            names: Vec::new(),
            ids: HashMap::new(),
            tallies: Vec::new(),
            survivors: Survivors::default(),
            survived: 0,
            lessons: Vec::new(),
            wrong: HashSet::new(),
            suspects: BTreeMap::new(),
            next: 0,
            rng: Rng::new(seed),
            met: 0,
            tried: 0,
        }
    }

    /// How many lessons there are.
    pub fn count(&self) -> usize {
        self.lessons.len()
    }

    /// A program of these scopes.
    pub fn see(&mut self, scopes: &[Scope]) -> Seen {
        Seen(scopes.iter().map(|scope| self.encode(scope)).collect())
    }

    fn encode<'f>(&mut self, features: impl IntoIterator<Item = &'f String>) -> Ids {
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
        if self.suspects.values().any(|suspect| resembles(seen, suspect)) {
            return Advice::Skip;
        }
        let mut advice = Advice::Perform;
        for lesson in self.lessons.iter_mut().filter(|lesson| lesson.is_about(seen)) {
            lesson.met += 1;
            let odds = TRIED.saturating_mul(SURER.pow(lesson.died.min(SUREST) as u32));
            let tries = self.rng.next_u64().is_multiple_of(odds);
            advice = match advice {
                // Each of them has to agree that it is worth a try.
                Advice::Perform | Advice::Try if tries => Advice::Try,
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

    /// Xen has survived the program.
    pub fn lived(&mut self, seen: &Seen) {
        self.survived += 1;
        for scope in &seen.0 {
            scope.iter().for_each(|&id| self.tallies[id as usize].lived += 1);
            self.survivors.add(scope);
        }
        self.suspects.retain(|_, suspect| !resembles(seen, suspect));
        let mut index = 0;
        while index < self.lessons.len() {
            if self.lessons[index].is_about(seen) && !self.correct(index) {
                let lesson = self.lessons.remove(index);
                self.wrong.insert((lesson.place, lesson.features));
            } else {
                index += 1;
            }
        }
    }

    /// Narrows a lesson that a survivor has refuted; false if nothing is left of it.
    fn correct(&mut self, index: usize) -> bool {
        let lesson = &self.lessons[index];
        if lesson.place == ANYWHERE {
            return lesson.features.iter().all(|&id| {
                let Tally { lived, died, .. } = self.tallies[id as usize];
                lived < DEADLY * 2 * died.max(lesson.died)
            });
        }
        let Some(features) = self.telling(&lesson.shared) else { return false };
        let lesson = &mut self.lessons[index];
        let before = std::mem::replace(&mut lesson.features, features);
        (lesson.met, lesson.tried, lesson.died) = (0, 0, 0);
        self.wrong.insert((lesson.place.clone(), before));
        true
    }

    /// A program that was tried has ended Xen, as expected.
    pub fn died_as_expected(&mut self, seen: &Seen) {
        let about = self.lessons.iter_mut().filter(|lesson| lesson.is_about(seen));
        about.for_each(|lesson| lesson.died += 1);
    }

    /// A program has ended Xen; where is not known yet. Returns how to speak of it.
    pub fn suspect(&mut self, seen: &Seen) -> u64 {
        let scopes = seen.0.iter().filter_map(|scope| self.telling(scope)).collect();
        self.next += 1;
        self.suspects.insert(self.next, scopes);
        self.next
    }

    /// It was another program's doing.
    pub fn acquit(&mut self, suspect: u64) {
        self.suspects.remove(&suspect);
    }

    /// A program has ended Xen in `place`. Whether what is known of that place explains it, now
    /// that it is taken into account; if not, it remains under suspicion until it is
    /// [learned](Learned::learn).
    pub fn explains(&mut self, suspect: u64, place: &str, seen: &Seen) -> bool {
        for id in seen.0.iter().flatten().collect::<BTreeSet<_>>() {
            let tally = &mut self.tallies[*id as usize];
            tally.died += 1;
            tally.places.insert(place.to_owned());
        }
        let known = self.lessons.iter().any(|lesson| lesson.is_about(seen));
        let explained = known || self.widen(place, seen) || self.scatters(seen);
        if explained {
            self.suspects.remove(&suspect);
        }
        explained
    }

    /// Takes a further program into a lesson of the same place.
    fn widen(&mut self, place: &str, seen: &Seen) -> bool {
        for index in 0..self.lessons.len() {
            let lesson = &self.lessons[index];
            if lesson.place != place {
                continue;
            }
            for scope in &seen.0 {
                let (shared, still) =
                    (common(&lesson.shared, scope), common(&lesson.features, scope));
                let still = !still.is_empty() && !self.survivors.have(&still);
                let features = match still {
                    true => Some(common(&lesson.features, scope)),
                    false => self.telling(&shared),
                };
                if let Some(features) = features {
                    let before = (lesson.place.clone(), lesson.features.clone());
                    if before.1 != features {
                        self.wrong.insert(before);
                    }
                    let lesson = &mut self.lessons[index];
                    (lesson.shared, lesson.features) = (shared, features);
                    lesson.killers += 1;
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
        let deadliest = seen.0.iter().flatten().filter(|&&id| {
            let tally = &self.tallies[id as usize];
            tally.places.len() >= PLACES
                && tally.lived < DEADLY * tally.died
                && tally.lived * RARE < self.survived
        });
        // Of those that are as deadly, the one that was met most.
        let Some(&id) = deadliest.max_by_key(|&&id| {
            let Tally { lived, died, .. } = self.tallies[id as usize];
            (1000 * died / (lived + died), died)
        }) else {
            return false;
        };
        let killers = self.tallies[id as usize].died;
        let lesson = Lesson {
            place: ANYWHERE.into(),
            features: vec![id],
            shared: vec![id],
            killers,
            met: 0,
            tried: 0,
            died: 0,
        };
        self.lessons.push(lesson);
        true
    }

    /// Learns from a program that has ended Xen in `place`, as small as it could be made. Whether
    /// there was anything to learn.
    pub fn learn(&mut self, suspect: u64, place: &str, seen: &Seen) -> bool {
        self.suspects.remove(&suspect);
        if self.widen(place, seen) {
            return true;
        }
        // The scope with the most that no survivor has is the one that did it.
        let telling = seen.0.iter().filter_map(|scope| Some((self.telling(scope)?, scope)));
        let Some((features, shared)) = telling.max_by_key(|(features, _)| {
            features.iter().filter(|&&id| self.tallies[id as usize].lived == 0).count()
        }) else {
            return false;
        };
        let lesson = Lesson {
            place: place.into(),
            features,
            shared: shared.clone(),
            killers: 1,
            met: 0,
            tried: 0,
            died: 0,
        };
        self.lessons.push(lesson);
        true
    }

    /// Those features of `shared` which no survivor has all of: without the ones that do not matter
    /// as far as the survivors show. `None` if a survivor has all of `shared`.
    fn telling(&self, shared: &Ids) -> Option<Ids> {
        if shared.is_empty() || self.survivors.have(shared) {
            return None;
        }
        let lived = |id: &Id| self.tallies[*id as usize].lived;
        let mut harmless: Ids = shared.iter().copied().filter(|id| lived(id) > 0).collect();
        harmless.sort_by_key(|id| std::cmp::Reverse(lived(id)));
        let mut telling = shared.clone();
        for id in harmless {
            let fewer: Ids = telling.iter().copied().filter(|&other| other != id).collect();
            if !fewer.is_empty() && !self.survivors.have(&fewer) {
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
            if let Some(features) = self.telling(&self.lessons[index].features) {
                self.lessons[index].features = features;
            }
        }
    }

    /// Reads what others, or an earlier run, have written into `file`, and writes down all of it.
    pub fn share(&mut self, file: &LessonFile) -> Result<()> {
        let path = &file.0;
        let mut options = File::options();
        options.create(true).truncate(false).read(true).write(true);
        let mut open = options.open(path).io("open", path)?;
        open.lock().io("lock", path)?;
        let before = io::read_to_string(&open).io("read", path)?;
        self.refine();
        self.adopt(&before).map_err(|why| {
            Error::Data(format!("{}: {why}; repair it, or say --forget", path.display()))
        })?;
        let text = self.text();
        if text != before {
            open.rewind().io("write", path)?;
            open.set_len(0).io("write", path)?;
            open.write_all(text.as_bytes()).io("write", path)?;
        }
        Ok(())
    }

    /// Takes over what `text` has and nobody here knows, or knows better.
    fn adopt(&mut self, text: &str) -> std::result::Result<(), String> {
        let entries: Entries = toml::from_str(text).map_err(|e| e.to_string())?;
        for entry in entries.lesson {
            let features = self.encode(&entry.features);
            let mut shared = self.encode(&entry.also);
            shared.extend(&features);
            shared.sort_unstable();
            shared.dedup();
            let known = (entry.place.clone(), features);
            let here = self.lessons.iter().any(|lesson| {
                lesson.place == known.0 && lesson.features.iter().all(|id| known.1.contains(id))
            });
            if here || known.1.is_empty() || self.wrong.contains(&known) {
                continue;
            }
            let Entry { killers, met, tried, died, .. } = entry;
            let (place, features) = known;
            self.lessons.push(Lesson { place, features, shared, killers, met, tried, died });
        }
        Ok(())
    }

    /// All of it, for people and for the next run.
    fn text(&self) -> String {
        let named = |ids: &mut dyn Iterator<Item = &Id>| {
            let mut names: Vec<String> = ids.map(|&id| self.names[id as usize].clone()).collect();
            names.sort();
            names
        };
        let mut lesson: Vec<Entry> = self
            .lessons
            .iter()
            .map(|lesson| Entry {
                place: lesson.place.clone(),
                features: named(&mut lesson.features.iter()),
                also: named(&mut lesson.shared.iter().filter(|id| !lesson.features.contains(id))),
                killers: lesson.killers,
                met: lesson.met,
                tried: lesson.tried,
                died: lesson.died,
            })
            .collect();
        lesson.sort_by(|a, b| (&a.place, &a.features).cmp(&(&b.place, &b.features)));
        let text = toml::to_string_pretty(&Entries { lesson });
        format!("{HEAD}\n{}", text.unwrap_or_else(|e| format!("# {e}\n")))
    }
}

impl Lesson {
    fn is_about(&self, seen: &Seen) -> bool {
        seen.0.iter().any(|scope| has_all(scope, &self.features))
    }
}

/// Whether a program has all that is suspicious in a scope of another.
fn resembles(seen: &Seen, suspect: &[Ids]) -> bool {
    suspect.iter().any(|features| seen.0.iter().any(|scope| has_all(scope, features)))
}

fn has_all(scope: &Ids, features: &Ids) -> bool {
    features.iter().all(|id| scope.binary_search(id).is_ok())
}

fn common(a: &Ids, b: &Ids) -> Ids {
    a.iter().copied().filter(|id| b.binary_search(id).is_ok()).collect()
}

/// Where lessons about a build of Xen are kept.
#[derive(Clone, Debug)]
pub struct LessonFile(PathBuf);

impl LessonFile {
    /// The file in the folder `dir`.
    pub fn of(dir: &Path, build_id: &str) -> LessonFile {
        LessonFile(dir.join(format!("learned-{build_id}.toml")))
    }

    /// Forgets what is in it.
    pub fn forget(&self) -> Result<()> {
        match fs::remove_file(&self.0) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.io("remove", &self.0),
        }
    }
}

/// Scopes that Xen has survived, each once; for each feature a bit for each of them.
#[derive(Clone, Debug, Default)]
struct Survivors {
    known: HashSet<Ids>,
    with: HashMap<Id, Vec<u64>>,
}

impl Survivors {
    fn add(&mut self, scope: &Ids) {
        if self.known.len() >= SURVIVORS_MAX || self.known.contains(scope) {
            return;
        }
        let (index, bit) = (self.known.len() / 64, self.known.len() % 64);
        for &id in scope {
            let bits = self.with.entry(id).or_default();
            if bits.len() <= index {
                bits.resize(index + 1, 0);
            }
            bits[index] |= 1 << bit;
        }
        self.known.insert(scope.clone());
    }

    /// Whether one of them has all `features`.
    fn have(&self, features: &Ids) -> bool {
        let bits: Option<Vec<&Vec<u64>>> = features.iter().map(|id| self.with.get(id)).collect();
        let Some(bits) = bits else { return false };
        let Some(words) = bits.iter().map(|bits| bits.len()).min() else {
            return !self.known.is_empty();
        };
        (0..words).any(|word| bits.iter().fold(u64::MAX, |all, bits| all & bits[word]) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(words: &str) -> Scope {
        words.split_whitespace().map(str::to_owned).collect()
    }

    /// A hypervisor that ends of certain words, in certain places.
    fn oracle(words: &str) -> Option<&'static str> {
        let has = |word| words.split_whitespace().any(|other| other == word);
        match () {
            () if has("red") && has("round") => Some("ball"),
            () if has("blue") => Some("sky"),
            () => None,
        }
    }

    struct Run {
        learned: Learned,
        deaths: usize,
        skipped: usize,
    }

    impl Run {
        fn new() -> Run {
            Run { learned: Learned::new(1), deaths: 0, skipped: 0 }
        }

        /// Performs what a fuzzer would.
        fn perform(&mut self, words: &str, place: Option<&str>) {
            let seen = self.learned.see(&[scope(words)]);
            match (self.learned.advise(&seen), place) {
                (Advice::Skip, _) => self.skipped += 1,
                (_, None) => self.learned.lived(&seen),
                (Advice::Try, Some(_)) => {
                    self.deaths += 1;
                    self.learned.died_as_expected(&seen);
                }
                (Advice::Perform, Some(place)) => {
                    self.deaths += 1;
                    let suspect = self.learned.suspect(&seen);
                    if !self.learned.explains(suspect, place, &seen) {
                        self.learned.learn(suspect, place, &seen);
                    }
                }
            }
        }

        fn lessons(&self) -> Vec<(String, Vec<&str>)> {
            let mut all: Vec<_> = self
                .learned
                .lessons
                .iter()
                .map(|lesson| {
                    let names = lesson.features.iter().map(|&id| &*self.learned.names[id as usize]);
                    let mut names: Vec<&str> = names.collect();
                    names.sort_unstable();
                    (lesson.place.clone(), names)
                })
                .collect();
            all.sort();
            all
        }
    }

    /// Every combination of a colour, a shape and a size, over and over.
    fn noise(run: &mut Run, rounds: u64) {
        let mut rng = Rng::new(3);
        for _ in 0..rounds {
            let colour = rng.pick(&["red", "green", "blue", "white"]);
            let shape = rng.pick(&["round", "square", "flat"]);
            let size = rng.pick(&["big", "small"]);
            let words = format!("{colour} {shape} {size}");
            run.perform(&words, oracle(&words));
        }
    }

    #[test]
    fn what_ends_it_is_learned_and_left_out() {
        let mut run = Run::new();
        noise(&mut run, 2000);
        assert_eq!(
            run.lessons(),
            [("ball".into(), vec!["red", "round"]), ("sky".into(), vec!["blue"])]
        );
        assert!(run.deaths < 30, "{} deaths", run.deaths);
        assert!(run.skipped > 500, "{} skipped", run.skipped);
        assert!(run.learned.tried > 0 && run.learned.tried < 20, "{} tried", run.learned.tried);
    }

    #[test]
    fn a_second_run_begins_with_what_the_first_has_learned() {
        let dir = tempfile::tempdir().unwrap();
        let file = LessonFile::of(dir.path(), "00ff");
        let mut first = Run::new();
        noise(&mut first, 2000);
        first.learned.share(&file).unwrap();
        let text = fs::read_to_string(dir.path().join("learned-00ff.toml")).unwrap();
        assert!(text.contains("place = \"ball\"") && text.contains("\"round\""), "{text}");

        let mut second = Run::new();
        second.learned.share(&file).unwrap();
        assert_eq!(second.lessons(), first.lessons());
        noise(&mut second, 2000);
        assert!(second.deaths * 4 <= first.deaths, "{} of {}", second.deaths, first.deaths);
        // Two that work at the same time tell each other.
        second.learned.share(&file).unwrap();
        first.learned.share(&file).unwrap();
        assert_eq!(first.lessons(), second.lessons());

        file.forget().unwrap();
        let mut third = Run::new();
        third.learned.share(&file).unwrap();
        assert_eq!(third.learned.count(), 0);
        file.forget().unwrap();
        file.forget().unwrap();
    }

    #[test]
    fn a_wrong_lesson_is_narrowed() {
        let mut run = Run::new();
        // All that is known points to the colour.
        run.perform("white flat", None);
        run.perform("red round hot", Some("ball"));
        run.perform("red round cold", Some("ball"));
        assert_eq!(run.lessons(), [("ball".into(), vec!["red", "round"])]);
        run.perform("green round", None);
        let seen = run.learned.see(&[scope("red round")]);
        let before = run.learned.advise(&seen);
        assert_eq!(before, Advice::Skip);
        run.learned.lived(&seen);
        // Only what one of them had besides could be it, and they had nothing in common.
        assert_eq!(run.lessons(), []);
        assert_eq!(run.learned.advise(&seen), Advice::Perform);

        let mut run = Run::new();
        run.perform("white flat", None);
        run.perform("red square", None);
        run.perform("round hot red", Some("ball"));
        assert_eq!(run.lessons(), [("ball".into(), vec!["hot", "round"])]);
        let seen = run.learned.see(&[scope("hot round")]);
        run.learned.lived(&seen);
        assert_eq!(run.lessons(), [("ball".into(), vec!["red", "round"])]);
    }

    #[test]
    fn two_places_are_two_lessons_and_two_causes_in_one_place_are_too() {
        let mut run = Run::new();
        for words in ["a x", "b x", "c x", "a y", "b y"] {
            run.perform(words, None);
        }
        run.perform("a k x", Some("here"));
        run.perform("b l y", Some("there"));
        run.perform("c m x", Some("here"));
        assert_eq!(run.learned.count(), 3);
        assert_eq!(
            run.lessons(),
            [("here".into(), vec!["k"]), ("here".into(), vec!["m"]), ("there".into(), vec!["l"])]
        );
    }

    #[test]
    fn a_suspect_keeps_its_like_from_being_tried_until_it_is_acquitted() {
        let mut run = Run::new();
        run.perform("a", None);
        let seen = run.learned.see(&[scope("a strange")]);
        let suspect = run.learned.suspect(&seen);
        assert_eq!(run.learned.advise(&seen), Advice::Skip);
        let other = run.learned.see(&[scope("a b")]);
        assert_eq!(run.learned.advise(&other), Advice::Perform);
        run.learned.acquit(suspect);
        assert_eq!(run.learned.advise(&seen), Advice::Perform);
    }

    #[test]
    fn what_ends_it_anywhere_now_and_then_is_a_lesson_too() {
        let mut run = Run::new();
        let mut rng = Rng::new(5);
        for round in 0..10_000 {
            let words = if rng.one_in(40) { "code harm" } else { "code" };
            let place = format!("place {round}");
            let dies = words.ends_with("harm") && rng.one_in(3);
            run.perform(words, dies.then_some(&*place));
        }
        assert_eq!(run.lessons(), [(ANYWHERE.into(), vec!["harm"])]);
        assert!(run.deaths < 40, "{} deaths", run.deaths);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = LessonFile::of(dir.path(), "00ff");
        fs::write(dir.path().join("learned-00ff.toml"), "[[lesson]]\nplace = 1\n").unwrap();
        let error = Learned::new(1).share(&file).unwrap_err().to_string();
        assert!(error.contains("learned-00ff.toml") && error.contains("--forget"), "{error}");
    }
}

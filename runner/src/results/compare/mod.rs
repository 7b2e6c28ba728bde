//! The differences between two runs, for `diff` and for `--baseline`.
//!
//! [`pairs`] finds out which Xens are to be compared, [`difference`] the changes. Tests are the same if
//! Xen, environment and name are, and cases in them if their names are.

mod baseline;
mod pairs;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::Hash;

use serde::Serialize;

pub use self::baseline::Baseline;
pub use self::pairs::{Identity, Pair, short};
use super::counts::{CaseCounts, Counts};
use super::document::{Attempt, Case, Document, KnownVerdict, Test, Unit};
use super::verdict::VerdictKind;
use crate::base::exit::Result;
use crate::base::status::Status;

/// Name and version of the form of `--json`.
const SCHEMA: &str = "xtf-rs/diff/1";
/// From how many times as long a thing is shown as slower.
pub const SLOWER: f64 = 2.0;

/// A way to be different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Worse, and bad.
    Regressed,
    /// It is no longer there.
    Vanished,
    /// It succeeded, and is skipped.
    Skipped,
    /// It takes much longer.
    Slower,
    /// It failed and then passed.
    Flaky,
    /// Still bad or still tolerated, but otherwise.
    Changed,
    /// It is no longer bad.
    Fixed,
    /// It was not there.
    Appeared,
}

/// A difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// In what way.
    pub kind: Kind,
    /// Whether it is held against the new run.
    pub regression: bool,
    /// Where.
    #[serde(flatten)]
    pub unit: Unit,
    /// In which case, if not in the test as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// What it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<State>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<State>,
}

/// What there is to say of a test or a case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct State {
    /// Its status or verdict; KNOWN and NEWS where something else was expected.
    pub word: String,
    /// What was said of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// How long it took.
    pub elapsed_s: f64,
    #[serde(skip)]
    pub status: Status,
    /// Counts as a success, but is not what it should be.
    #[serde(skip)]
    tolerated: bool,
    #[serde(skip)]
    flaky: bool,
}

/// The differences between two runs.
#[derive(Clone, Debug, Serialize)]
pub struct Diff {
    schema: &'static str,
    /// Whether any of it is held against the new run.
    pub regressed: bool,
    /// The run before.
    pub old: Origin,
    /// The run after.
    pub new: Origin,
    /// Places that both have.
    pub compared: usize,
    /// Tests of the run before that the run after has, but was not to run.
    #[serde(skip_serializing_if = "is_zero")]
    pub unselected: usize,
    /// The Xens that are compared.
    pub xens: Vec<Pair>,
    /// The worst first.
    pub changes: Vec<Change>,
}

/// A run that is compared.
#[derive(Clone, Debug, Serialize)]
pub struct Origin {
    /// When it began.
    pub started: String,
    /// The runner's version.
    pub runner: String,
    /// Which image it ran.
    pub image_sha256: String,
    /// Whether every test that was selected has a result.
    pub complete: bool,
    /// How its tests count,
    pub tests: Counts,
    /// and its cases.
    pub cases: CaseCounts,
}

/// Which times are different.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// From how many times as long on.
    pub factor: f64,
    /// From how many seconds more on.
    pub floor: f64,
    /// Whether that is held against the new run.
    pub regress: bool,
}

/// What is different in `new`. Xens are compared as in `map` (old and new name), or as [`pairs`] says.
pub fn compare(
    mut old: Document,
    new: &Document,
    map: &[(String, String)],
    times: Times,
) -> Result<Diff> {
    let xens = pairs::pairs(&old, new, map)?;
    pairs::rename(&mut old, &xens);
    Ok(Diff { xens, ..difference(&old, new, times) })
}

/// What is different in `new`, where a Xen has the same name in both.
fn difference(old: &Document, new: &Document, times: Times) -> Diff {
    let olds: BTreeMap<&Unit, &Test> = old.tests.iter().map(|test| (&test.unit, test)).collect();
    let news: BTreeMap<&Unit, &Test> = new.tests.iter().map(|test| (&test.unit, test)).collect();
    let (old_not_run, new_not_run) = (set(&old.not_run), set(&new.not_run));
    let mut changes = Vec::new();
    for (unit, test) in &olds {
        let (old_state, new_test) = (State::of_test(test), news.get(unit));
        match new_test {
            Some(new_test) => {
                let new_state = State::of_test(new_test);
                changes.extend(change(unit, None, Some(old_state), Some(new_state), times));
                of_cases(unit, &test.last, &new_test.last, times, &mut changes);
            }
            // A partial run has not lost what it did not come to.
            None if new_not_run.contains(unit) => {}
            None => changes.extend(change(unit, None, Some(old_state), None, times)),
        }
    }
    for (unit, test) in &news {
        if !olds.contains_key(unit) && !old_not_run.contains(unit) {
            changes.extend(change(unit, None, None, Some(State::of_test(test)), times));
        }
    }
    changes.sort_by(|a, b| {
        (a.kind, &a.unit, a.case.is_some()).cmp(&(b.kind, &b.unit, b.case.is_some()))
    });
    Diff {
        schema: SCHEMA,
        regressed: changes.iter().any(|change| change.regression),
        old: Origin::of(old),
        new: Origin::of(new),
        xens: Vec::new(),
        unselected: 0,
        compared: olds.keys().filter(|unit| news.contains_key(*unit)).count(),
        changes,
    }
}

fn of_cases(unit: &Unit, old: &Attempt, new: &Attempt, times: Times, changes: &mut Vec<Change>) {
    let olds: BTreeSet<&str> = old.cases.iter().map(|case| case.name.as_str()).collect();
    let news: BTreeMap<&str, &Case> =
        new.cases.iter().rev().map(|case| (case.name.as_str(), case)).collect();
    let (old_not_run, new_not_run) = (set(&old.not_run), set(&new.not_run));
    let all_ran = |attempt: &Attempt| attempt.cause.is_none() && attempt.status != Status::Skip;
    for case in &old.cases {
        let new_state = news.get(case.name.as_str()).map(|case| State::of_case(case));
        // A test that ended early or was skipped has already been told of.
        if new_state.is_none() && (!all_ran(new) || new_not_run.contains(&case.name)) {
            continue;
        }
        let old_state = Some(State::of_case(case));
        changes.extend(change(unit, Some(&case.name), old_state, new_state, times));
    }
    for case in &new.cases {
        let missed = !all_ran(old) || old_not_run.contains(&case.name);
        if !olds.contains(case.name.as_str()) && !missed {
            let new_state = Some(State::of_case(case));
            changes.extend(change(unit, Some(&case.name), None, new_state, times));
        }
    }
}

/// To look up one after the other: a test may have very many cases.
fn set<T: Eq + Hash>(all: &[T]) -> HashSet<&T> {
    all.iter().collect()
}

/// How a unit differs, if it does.
fn change(
    unit: &Unit,
    case: Option<&str>,
    old: Option<State>,
    new: Option<State>,
    times: Times,
) -> Option<Change> {
    let (kind, regression) = match (&old, &new) {
        (Some(_), None) => (Kind::Vanished, true),
        // Whatever is new has no past to fall behind; its own run fails for it.
        (None, Some(_)) => (Kind::Appeared, false),
        (Some(old), Some(new)) => State::compare(old, new, times)?,
        (None, None) => return None,
    };
    let case = case.map(str::to_owned);
    Some(Change { kind, regression, unit: unit.clone(), case, old, new })
}

impl State {
    fn of_test(test: &Test) -> State {
        let last = &test.last;
        let known = last.known.as_ref().filter(|_| last.status == Status::Success);
        let word = match known.map(|known| known.verdict) {
            Some(KnownVerdict::Known) => "KNOWN".into(),
            Some(KnownVerdict::News) => "NEWS".into(),
            None if test.flaky => "FLAKY".into(),
            None => last.status.to_string(),
        };
        State {
            word,
            why: last.reasons.join("; "),
            elapsed_s: last.elapsed_s,
            status: last.status,
            tolerated: known.is_some_and(|known| known.verdict == KnownVerdict::Known),
            flaky: test.flaky,
        }
    }

    fn of_case(case: &Case) -> State {
        let known = case.known.as_ref();
        let word = match known.map(|known| known.verdict) {
            Some(KnownVerdict::Known) => "KNOWN",
            Some(KnownVerdict::News) => "NEWS",
            None => case.verdict.name(),
        };
        State {
            word: word.into(),
            why: case.said(),
            elapsed_s: case.elapsed_s,
            status: case.status(),
            tolerated: case.verdict == VerdictKind::Deviation || case.is_tolerated(),
            flaky: false,
        }
    }

    /// How `new` differs from `old`, if it does, and whether that is a regression.
    fn compare(old: &State, new: &State, times: Times) -> Option<(Kind, bool)> {
        if new.status.is_bad() {
            return match new.status.cmp(&old.status) {
                std::cmp::Ordering::Greater => Some((Kind::Regressed, true)),
                std::cmp::Ordering::Less => Some((Kind::Changed, false)),
                std::cmp::Ordering::Equal => (new.why != old.why).then_some((Kind::Changed, false)),
            };
        }
        if old.status.is_bad() {
            return Some((Kind::Fixed, false));
        }
        if new.status == Status::Skip && old.status == Status::Success {
            return Some((Kind::Skipped, true));
        }
        if new.flaky && !old.flaky {
            return Some((Kind::Flaky, false));
        }
        // Diagnostics of a success may hold times and addresses; only what is tolerated or skipped
        // has reasons that matter.
        let reasoned = |state: &State| state.tolerated || state.status == Status::Skip;
        if new.word != old.word || (reasoned(new) && new.why != old.why) {
            return Some((Kind::Changed, false));
        }
        let (before, now) = (old.elapsed_s, new.elapsed_s);
        let slower = now > before * times.factor && now - before >= times.floor;
        slower.then_some((Kind::Slower, times.regress))
    }
}

impl Origin {
    fn of(document: &Document) -> Origin {
        Origin {
            started: document.run.started.clone(),
            runner: document.run.runner.clone(),
            image_sha256: document.run.image_sha256.clone(),
            complete: document.complete,
            tests: document.counts(),
            cases: document.case_counts(),
        }
    }
}

/// For serde, which passes a reference.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::sample;

    const TIMES: Times = Times { factor: 2.0, floor: 1.0, regress: false };

    fn test_of<'d>(document: &'d mut Document, xen: &str, name: &str) -> &'d mut Test {
        let mut tests = document.tests.iter_mut();
        tests.find(|test| test.unit.xen == xen && test.unit.test == name).unwrap()
    }

    #[test]
    fn a_run_does_not_differ_from_itself() {
        let document = sample::whole();
        let diff = difference(&document, &document, TIMES);
        assert!(!diff.regressed && diff.changes.is_empty(), "{:?}", diff.changes);
        assert_eq!(diff.compared, 24);
    }

    /// The other way round, nothing that was lost is missed and what was mended is fixed.
    #[test]
    fn a_better_run_has_not_regressed() {
        let mut old = sample::whole();
        let new = old.clone();
        let elf = &mut test_of(&mut old, "4.17", "elf").last;
        elf.status = Status::Failure;
        elf.cases[0].verdict = VerdictKind::Failure;
        old.tests.retain(|test| test.unit.test != "priv");
        let diff = difference(&old, &new, TIMES);
        assert!(!diff.regressed);
        let kinds: Vec<Kind> = diff.changes.iter().map(|change| change.kind).collect();
        assert_eq!(kinds[..2], [Kind::Fixed; 2]);
        assert_eq!(kinds[2..], [Kind::Appeared; 3]);
    }

    #[test]
    fn a_limit_for_times_makes_them_regressions() {
        let old = sample::whole();
        let mut new = old.clone();
        let list = &mut test_of(&mut new, "4.20", "list").last;
        list.elapsed_s *= 1.6;
        let strict = Times { factor: 1.5, floor: 1.0, regress: true };
        assert!(difference(&old, &new, strict).regressed);
        assert!(!difference(&old, &new, Times { floor: 60.0, ..strict }).regressed);
        assert!(difference(&old, &new, TIMES).changes.is_empty());
    }

    #[test]
    fn what_a_stopped_run_did_not_come_to_is_not_missed() {
        let diff = difference(&sample::whole(), &sample::stopped(), TIMES);
        assert_eq!((diff.regressed, diff.compared), (false, 2));
        assert!(diff.changes.is_empty(), "{:?}", diff.changes);
    }
}

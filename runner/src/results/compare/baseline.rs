//! An earlier run, with which a run is compared when it has ended, and while it goes on.

use std::collections::{BTreeMap, BTreeSet};

use super::super::document::{Document, Test, Unit};
use super::{Diff, SLOWER, Times, difference, pairs};
use crate::image::TestMeta;

/// As `diff` has it where nobody says otherwise.
const TIMES: Times = Times { factor: SLOWER, floor: 1.0, regress: false };

/// See the module.
#[derive(Clone, Debug)]
pub struct Baseline {
    document: Document,
}

impl Baseline {
    /// The run that `document` is about.
    pub fn of(document: Document) -> Baseline {
        Baseline { document }
    }

    /// What is different in `new`. If all `tests` of its image are known, it need not have been told
    /// to run as much as the run before: nothing is missed that the image has and nobody selected.
    pub fn against(&self, new: &Document, tests: &[TestMeta]) -> Diff {
        let mut old = self.document.clone();
        let xens = pairs::of_themselves(&old, new);
        pairs::rename(&mut old, &xens);
        let unselected = if tests.is_empty() { 0 } else { narrow(&mut old, new, tests) };
        Diff { xens, unselected, ..difference(&old, new, TIMES) }
    }
}

/// Takes out of `old` what `new` was not to run; returns how many tests that are.
fn narrow(old: &mut Document, new: &Document, tests: &[TestMeta]) -> usize {
    let image: BTreeMap<&str, &TestMeta> =
        tests.iter().map(|test| (test.name.as_str(), test)).collect();
    let results: BTreeMap<&Unit, &Test> = new.tests.iter().map(|test| (&test.unit, test)).collect();
    let planned: BTreeSet<&Unit> = results.keys().copied().chain(&new.not_run).collect();
    let places: BTreeSet<_> = planned.iter().map(|unit| (&unit.xen, unit.environment)).collect();
    let before = old.tests.len();
    old.tests.retain(|test| {
        let unit = &test.unit;
        let is_gone = !image.contains_key(unit.test.as_str());
        planned.contains(unit) || (is_gone && places.contains(&(&unit.xen, unit.environment)))
    });
    for test in &mut old.tests {
        let (Some(meta), Some(result)) =
            (image.get(test.unit.test.as_str()), results.get(&test.unit))
        else {
            continue;
        };
        let known: BTreeSet<&str> = meta.cases.iter().map(String::as_str).collect();
        let last = &result.last;
        let ran = last.cases.iter().map(|case| &case.name).chain(&last.not_run);
        let ran: BTreeSet<&str> = ran.map(String::as_str).collect();
        let is_wanted = |case: &str| ran.contains(case) || !known.contains(case);
        test.last.cases.retain(|case| is_wanted(&case.name));
    }
    before - old.tests.len()
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;
    use crate::results::sample;

    fn told(diff: &Diff) -> Vec<(Kind, &str, Option<&str>)> {
        let told = diff.changes.iter();
        told.map(|change| (change.kind, change.unit.test.as_str(), change.case.as_deref()))
            .collect()
    }

    #[test]
    fn what_was_not_selected_is_not_missed() {
        let old = Baseline::of(sample::whole());
        let mut new = sample::whole();
        new.tests.retain(|test| test.unit.xen == "4.17" && test.unit.test == "list");
        for test in &mut new.tests {
            test.last.cases.truncate(1);
        }
        let diff = old.against(&new, &sample::tests());
        assert_eq!((told(&diff), diff.unselected, diff.regressed), (Vec::new(), 22, false));
        assert_eq!((diff.old.tests, diff.old.cases), (diff.new.tests, diff.new.cases));
        // Who does not know the image can't tell.
        let diff = old.against(&new, &[]);
        assert_eq!((diff.unselected, diff.regressed), (0, true));
    }

    #[test]
    fn what_the_image_no_longer_has_has_vanished() {
        let old = Baseline::of(sample::whole());
        let mut image = sample::tests();
        let mut new = sample::whole();
        new.tests.retain(|test| test.unit.environment == protocol::metadata::Environment::Pvh64);
        image.retain(|test| test.name != "priv");
        new.tests.retain(|test| test.unit.test != "priv");
        let elf = image.iter_mut().find(|test| test.name == "elf").unwrap();
        elf.cases.retain(|case| case != "hooks");
        let results = new.tests.iter_mut().find(|test| test.unit.test == "elf").unwrap();
        results.last.cases.retain(|case| case.name != "hooks");
        let diff = old.against(&new, &image);
        let expected = [(Kind::Vanished, "elf", Some("hooks")), (Kind::Vanished, "priv", None)];
        assert_eq!((told(&diff).as_slice(), diff.unselected), (&expected[..], 16));
    }

    #[test]
    fn a_run_that_goes_on_has_lost_nothing() {
        let diff = Baseline::of(sample::whole()).against(&sample::stopped(), &sample::tests());
        assert_eq!((told(&diff), diff.unselected), (Vec::new(), 0));
    }
}

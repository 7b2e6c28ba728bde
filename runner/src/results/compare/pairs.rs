//! Which Xen of the one run is to be compared with which of the other.
//!
//! Xens of the same name are the same to the user. For others there is `--map`; else two of the same
//! build are one, and so are the only Xens of either run.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::super::document::{Document, Test, is_development};
use crate::base::exit::{Error, Result};

/// A Xen, as a run has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// What the user calls it.
    pub xen: String,
    /// The version that it told the guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The build-id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
}

/// Two that are compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// In the old run.
    pub old: Identity,
    /// In the new run.
    pub new: Identity,
}

impl Identity {
    /// Of the Xen that `document` calls so.
    pub fn of(document: &Document, xen: &str) -> Identity {
        let mut boots = document.boots.iter().filter(|boot| boot.xen == xen);
        Identity {
            xen: xen.to_owned(),
            version: boots.clone().find_map(|boot| boot.version.clone()),
            build_id: boots.find_map(|boot| boot.build_id.clone()),
        }
    }

    /// Of the Xen that `test` ran on last.
    pub fn under(document: &Document, test: &Test) -> Identity {
        let named = Identity::of(document, &test.unit.xen);
        let boot = document.boot(test.last.boot);
        // A Xen that died early has told no version; another boot may know it.
        Identity {
            version: boot.and_then(|boot| boot.version.clone()).or(named.version),
            build_id: boot.and_then(|boot| boot.build_id.clone()).or(named.build_id),
            xen: named.xen,
        }
    }

    /// For people, with as much of the build-id as tells it.
    pub fn told(&self) -> String {
        let version = self.version.as_deref().unwrap_or("version unknown");
        let id = match self.build_id.as_deref() {
            Some(id) => format!("build-id {}", short(id)),
            None => "no build-id".into(),
        };
        format!("{} ({version}, {id})", self.xen)
    }
}

impl Pair {
    /// Whether it is one Xen, under one name.
    pub fn is_the_same(&self) -> bool {
        self.old == self.new
    }

    /// Whether only the build-ids tell that these are two: a version of a development branch.
    pub fn is_told_by_build_id_alone(&self) -> bool {
        let version = self.old.version.as_deref().filter(|_| self.old.version == self.new.version);
        let differ = self.old.build_id != self.new.build_id;
        differ && version.is_some_and(is_development)
    }
}

/// As much of a hash as tells it from others.
pub fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// The Xens of both runs that are to be compared, by `map` (old and new name) first.
pub fn pairs(old: &Document, new: &Document, map: &[(String, String)]) -> Result<Vec<Pair>> {
    let (olds, news) = (names(old), names(new));
    let mut paired: BTreeMap<String, String> = BTreeMap::new();
    for (from, to) in map {
        for (side, names, name) in [("old", &olds, from), ("new", &news, to)] {
            if !names.contains(name) {
                let all = names.join(", ");
                return Err(Error::Usage(format!(
                    "--map {from}={to}: the {side} run has no Xen {name}; it has {all}"
                )));
            }
        }
        let again = paired.iter().any(|(one, other)| one == from || other == to);
        if again {
            let why = format!("--map {from}={to}: one of them is in another --map already");
            return Err(Error::Usage(why));
        }
        paired.insert(from.clone(), to.clone());
    }
    Ok(completed(old, new, paired))
}

/// The same where nobody says which are to be compared.
pub fn of_themselves(old: &Document, new: &Document) -> Vec<Pair> {
    completed(old, new, BTreeMap::new())
}

fn names(document: &Document) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let columns = document.columns().into_iter().map(|(xen, _)| xen.to_owned());
    columns.filter(|xen| seen.insert(xen.clone())).collect()
}

/// The pairs that are `paired` already, and those that show by themselves.
fn completed(old: &Document, new: &Document, mut paired: BTreeMap<String, String>) -> Vec<Pair> {
    let (olds, news) = (names(old), names(new));
    let free = |paired: &BTreeMap<String, String>, name: &String| {
        !paired.contains_key(name) && !paired.values().any(|other| other == name)
    };
    for name in olds.iter().filter(|name| news.contains(name)) {
        if free(&paired, name) {
            paired.insert(name.clone(), name.clone());
        }
    }
    for name in &olds {
        let id = Identity::of(old, name).build_id;
        let alike = |other: &&String| {
            id.is_some()
                && !paired.values().any(|taken| taken == *other)
                && Identity::of(new, other).build_id == id
        };
        if !paired.contains_key(name)
            && let Some(other) = news.iter().find(alike)
        {
            paired.insert(name.clone(), other.clone());
        }
    }
    if let ([one], [other], true) = (olds.as_slice(), news.as_slice(), paired.is_empty()) {
        paired.insert(one.clone(), other.clone());
    }
    let pair = |(from, to): (&String, &String)| Pair {
        old: Identity::of(old, from),
        new: Identity::of(new, to),
    };
    paired.iter().map(pair).collect()
}

/// Gives each Xen of `old` the name that it has in the new run.
pub fn rename(old: &mut Document, pairs: &[Pair]) {
    let new_name = |xen: &mut String| match pairs.iter().find(|pair| pair.old.xen == *xen) {
        Some(pair) => xen.clone_from(&pair.new.xen),
        // It must not be taken for another one.
        None if pairs.iter().any(|pair| pair.new.xen == *xen) => xen.push_str(" (old)"),
        None => {}
    };
    let tests = old.tests.iter_mut().map(|test| &mut test.unit.xen);
    let missing = old.not_run.iter_mut().map(|unit| &mut unit.xen);
    let boots = old.boots.iter_mut().map(|boot| &mut boot.xen);
    tests.chain(missing).chain(boots).for_each(new_name);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::sample;

    fn called(names: &[(&str, &str)]) -> Document {
        let mut document = sample::whole();
        let tests = document.tests.iter_mut().map(|test| &mut test.unit.xen);
        let boots = document.boots.iter_mut().map(|boot| &mut boot.xen);
        for xen in tests.chain(boots) {
            if let Some((_, new)) = names.iter().find(|(old, _)| old == xen) {
                *xen = (*new).to_owned();
            }
        }
        document
    }

    fn only(name: &str, id: &str) -> Document {
        let mut document = called(&[("4.17", name)]);
        document.tests.retain(|test| test.unit.xen == name);
        document.boots.retain(|boot| boot.xen == name);
        for boot in &mut document.boots {
            boot.build_id = Some(id.into());
        }
        document
    }

    fn names(pairs: &[Pair]) -> Vec<(&str, &str)> {
        pairs.iter().map(|pair| (pair.old.xen.as_str(), pair.new.xen.as_str())).collect()
    }

    #[test]
    fn the_only_xens_of_two_runs_are_paired() {
        let (old, new) = (only("before/xen.gz", "aa"), only("after/xen.gz", "bb"));
        let found = pairs(&old, &new, &[]).unwrap();
        assert_eq!(names(&found), [("before/xen.gz", "after/xen.gz")]);
        assert!(!found[0].is_the_same());
        let mut renamed = old.clone();
        rename(&mut renamed, &found);
        assert!(renamed.tests.iter().all(|test| test.unit.xen == "after/xen.gz"));
    }

    #[test]
    fn a_build_is_the_same_under_any_name() {
        let build = |names: [(&str, &str); 2], ids: [&str; 2]| {
            let mut document = called(&names);
            for ((_, xen), id) in names.into_iter().zip(ids) {
                let boots = document.boots.iter_mut().filter(|boot| boot.xen == xen);
                boots.for_each(|boot| boot.build_id = Some(id.into()));
            }
            document
        };
        let old = build([("4.17", "a"), ("4.20", "b")], ["11", "22"]);
        let new = build([("4.17", "c"), ("4.20", "d")], ["22", "33"]);
        assert_eq!(names(&pairs(&old, &new, &[]).unwrap()), [("b", "c")]);
        let map = [("a".to_owned(), "d".to_owned())];
        assert_eq!(names(&pairs(&old, &new, &map).unwrap()), [("a", "d"), ("b", "c")]);
        for (from, to, why) in [
            ("x", "d", "the old run has no Xen x; it has a, b"),
            ("a", "x", "the new run has no Xen x; it has c, d"),
        ] {
            let error = pairs(&old, &new, &[(from.into(), to.into())]).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    /// A name that another Xen of the new run has is given to no other one.
    #[test]
    fn names_that_are_exchanged_stay_apart() {
        let mut old = sample::whole();
        old.boots.iter_mut().for_each(|boot| boot.build_id = None);
        let new = old.clone();
        let map = [("4.17".to_owned(), "4.20".to_owned())];
        let found = pairs(&old, &new, &map).unwrap();
        assert_eq!(names(&found), [("4.17", "4.20")]);
        rename(&mut old, &found);
        let mut xens: Vec<&str> = old.tests.iter().map(|test| test.unit.xen.as_str()).collect();
        xens.dedup();
        xens.sort_unstable();
        xens.dedup();
        assert_eq!(xens, ["4.20", "4.20 (old)"]);
    }

    #[test]
    fn a_development_version_is_not_one_build() {
        let pair = |version: &str, ids: [&str; 2]| {
            let identity = |id: &str| Identity {
                xen: "x".into(),
                version: Some(version.into()),
                build_id: Some(id.into()),
            };
            Pair { old: identity(ids[0]), new: identity(ids[1]) }
        };
        for version in ["4.23-unstable", "4.22.0-rc3", "4.20.1-pre"] {
            assert!(pair(version, ["aa", "bb"]).is_told_by_build_id_alone(), "{version}");
            assert!(!pair(version, ["aa", "aa"]).is_told_by_build_id_alone(), "{version}");
        }
        assert!(!pair("4.17.7", ["aa", "bb"]).is_told_by_build_id_alone());
    }
}

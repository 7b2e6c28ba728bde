//! Which tests, and which of their cases, a list of names selects.
//!
//! The list is that of [`protocol::cmdline::TESTS`]. A test runs once, however many names speak of
//! it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use protocol::cmdline::{AMONG, BEHIND, TESTS, is_among};
use protocol::wildcard::fits;

use crate::test::{Case, Test};

/// A test and the cases of it that shall run.
#[derive(Clone)]
pub struct Selected<'t> {
    /// The test.
    pub test: &'t Test,
    /// At least one, in the test's order.
    pub cases: Vec<&'t Case>,
}

impl<'t> Selected<'t> {
    /// A test with all its cases.
    pub fn whole(test: &'t Test) -> Self {
        Self { test, cases: test.cases.iter().collect() }
    }
}

/// What `list` selects from `tests`, in the list's order.
///
/// # Errors
/// The first name that selects nothing.
pub fn select<'t>(tests: &[&'t Test], list: &str) -> Result<Vec<Selected<'t>>, String> {
    let complain = |what: &str| format!("command line: {TESTS}={list}: {what}");
    let mut selected: Vec<Selected<'t>> = Vec::new();
    for (name, _) in list.split(',').map(parts) {
        if selected.iter().any(|earlier| earlier.test.name == name) {
            continue;
        }
        let found = tests.iter().copied().find(|test| test.name == name);
        let test = found.ok_or_else(|| complain(&format!("there is no test '{name}'")))?;
        let patterns: Vec<Option<&str>> =
            list.split(',').map(parts).filter(|part| part.0 == name).map(|part| part.1).collect();
        let rest = behind(&patterns, test.cases)
            .ok_or_else(|| complain(&format!("there is no case to go on behind in '{name}'")))?;
        let mut cases = Vec::new();
        for (number, case) in test.cases.iter().enumerate().skip(rest) {
            let among = among(&patterns, number)
                .ok_or_else(|| complain(&format!("the numbers of cases of '{name}' are wrong")))?;
            if among && wanted(&patterns, case.name) {
                cases.push(case);
            }
        }
        if cases.is_empty() {
            return Err(complain(&format!("'{name}' selects no case")));
        }
        selected.push(Selected { test, cases });
    }
    Ok(selected)
}

/// A name's test, and its pattern for cases.
fn parts(name: &str) -> (&str, Option<&str>) {
    match name.split_once('/') {
        Some((test, pattern)) => (test, Some(pattern)),
        None => (name, None),
    }
}

/// The number of the first case behind the one that a pattern names with [`BEHIND`].
fn behind(patterns: &[Option<&str>], cases: &[Case]) -> Option<usize> {
    let Some(last) = patterns.iter().flatten().find_map(|text| text.strip_prefix(BEHIND)) else {
        return Some(0);
    };
    cases.iter().position(|case| case.name == last).map(|place| place + 1)
}

/// Whether the case with that number is one of those that a pattern counts with [`AMONG`], if one
/// does; `None` where that can't be read.
fn among(patterns: &[Option<&str>], number: usize) -> Option<bool> {
    let mut digits = patterns.iter().flatten().filter_map(|text| text.strip_prefix(AMONG));
    digits.next().map_or(Some(true), |digits| is_among(digits, number))
}

/// Whether all that is said of a test, together, wants `case`, wherever it stands.
fn wanted(patterns: &[Option<&str>], case: &str) -> bool {
    let patterns =
        || patterns.iter().filter(|p| p.is_none_or(|text| !text.starts_with([AMONG, BEHIND])));
    let out = |pattern: &&str| pattern.strip_prefix('!').is_some_and(|inner| fits(inner, case));
    if patterns().flatten().any(out) {
        return false;
    }
    let mut positive =
        patterns().filter(|pattern| pattern.is_none_or(|text| !text.starts_with('!')));
    let fitting = |pattern: &Option<&str>| pattern.is_none_or(|text| fits(text, case));
    positive.clone().next().is_none() || positive.any(fitting)
}

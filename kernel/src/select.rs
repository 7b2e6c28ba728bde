//! Which tests, and which of their cases, a list of names selects.
//!
//! The list is that of [`protocol::cmdline::TESTS`]. A test runs once, however many names speak of it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use protocol::cmdline::TESTS;
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
        let cases: Vec<&Case> =
            test.cases.iter().filter(|case| wanted(&patterns, case.name)).collect();
        if cases.is_empty() {
            return Err(complain(&format!("no case of '{name}' is left")));
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

/// Whether all that is said of a test, together, wants `case`.
fn wanted(patterns: &[Option<&str>], case: &str) -> bool {
    let out = |pattern: &&str| pattern.strip_prefix('!').is_some_and(|inner| fits(inner, case));
    if patterns.iter().flatten().any(out) {
        return false;
    }
    let mut positive =
        patterns.iter().filter(|pattern| pattern.is_none_or(|text| !text.starts_with('!')));
    let fitting = |pattern: &Option<&str>| pattern.is_none_or(|text| fits(text, case));
    positive.clone().next().is_none() || positive.any(fitting)
}

//! tests/baseline.txt: what the suite shows, to be compared with what it shows later.
//!
//! docs/tests.md has the names of all cases, and the judge misses a case without a result. So the number
//! of cases, and the names of those that are no success, are enough to notice any other verdict.

use std::fmt::Write;
use std::path::Path;

use crate::base::exit::Result;
use crate::results::{Document, VerdictKind};

/// The lines of the document at `path`, without the tests called `without`, whose results depend on the
/// machine.
pub fn of_file(path: &Path, without: &[String]) -> Result<String> {
    Ok(text(&Document::read(path)?, without))
}

fn text(document: &Document, without: &[String]) -> String {
    let mut tests: Vec<_> =
        document.tests.iter().filter(|test| !without.contains(&test.unit.test)).collect();
    tests.sort_by_key(|test| &test.unit);
    let mut text = String::new();
    for test in tests {
        let (unit, last) = (&test.unit, &test.last);
        let (environment, cases) = (unit.environment.name(), last.cases.len());
        let _ =
            writeln!(text, "{} {environment} {}: {}, {cases}", unit.xen, unit.test, last.status);
        for case in last.cases.iter().filter(|case| case.verdict != VerdictKind::Success) {
            let _ = writeln!(text, "  {} {}", case.verdict, case.name);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::sample;

    #[test]
    fn any_other_verdict_and_any_missing_case_shows() {
        let document = sample::whole();
        let before = text(&document, &[]);
        assert!(before.contains("\n  DEVIATION "), "{before}");
        let changes: [fn(&mut Document); 4] = [
            |document| document.tests[0].last.cases.truncate(1),
            |document| document.tests[0].last.cases[0].verdict = VerdictKind::Skip,
            |document| drop(document.tests.pop()),
            |document| document.tests[0].last.status = crate::base::status::Status::Skip,
        ];
        for change in changes {
            let mut other = document.clone();
            change(&mut other);
            assert_ne!(text(&other, &[]), before);
        }
        let without = text(&document, &[document.tests[0].unit.test.clone()]);
        assert!(without.len() < before.len());
    }
}

//! What stands at the end: the evidence of what went wrong, the table, the sums.

use std::fmt::Write as _;

use super::style::{BOLD, INDENT, YELLOW, count};
use crate::report::matrix;
use crate::results::{Document, Test};

/// Of a long quotation of Xen, this many lines from each end.
const QUOTE_ENDS: usize = 16;

/// What remains to be said when everything is over.
pub(super) fn summary(document: &Document) -> String {
    let mut text = String::from("------------\n");
    let bad: Vec<&Test> = document.tests.iter().filter(|test| test.last.status.is_bad()).collect();
    if !bad.is_empty() {
        text += "What went wrong:\n\n";
    }
    for test in bad {
        text += &evidence(document, test);
        text.push('\n');
    }

    let table = matrix::table(document);
    if !table.is_empty() {
        text += &table;
        text.push('\n');
    }
    for (xen, note) in document.notes() {
        let _ = writeln!(text, "{YELLOW}{:>12}{YELLOW:#} Xen {xen}: {note}", "NOTE");
    }
    for expected in document.expectations.iter().filter(|expected| expected.stale) {
        let _ = writeln!(
            text,
            "{YELLOW}{:>12}{YELLOW:#} {}: no test here matches `{}` on Xen `{}` in `{}`: {}",
            "STALE",
            expected.source,
            expected.test,
            expected.xen,
            expected.environment,
            expected.reason
        );
    }

    text += &sums(document);
    text
}

/// The sums: first of all cases, then of all tests.
fn sums(document: &Document) -> String {
    let mut text = String::new();
    let cases = document.case_counts();
    let mut parts = vec![
        format!("{} passed", cases.passed),
        format!("{} failed", cases.failed),
        format!("{} in error", cases.errors),
        format!("{} skipped", cases.skipped),
        count(cases.deviations, "deviation"),
    ];
    if cases.known > 0 {
        parts.push(format!("{} known", cases.known));
    }
    let _ = writeln!(
        text,
        "{BOLD}{:>12}{BOLD:#} [{:>7.3}s] {}, {}; cases: {}",
        "Summary",
        document.run.elapsed_s,
        count(document.boots.len(), "boot"),
        count(document.tests.len(), "test"),
        parts.join(", "),
    );
    if let Some(why) = &document.incomplete_because {
        let left = document.not_run.len();
        let _ = writeln!(text, "{INDENT}{why}; {} not run", count(left, "test"));
    }
    let counts = document.counts();
    let of = |wanted: fn(&Test) -> bool| document.tests.iter().filter(|test| wanted(test)).count();
    let kinds = [
        (of(|test| test.flaky && !test.last.status.is_bad()), "flaky"),
        (of(|test| test.is_known() && !test.last.status.is_bad()), "known"),
        (of(|test| test.is_news() && !test.last.status.is_bad()), "news"),
        (of(|test| test.last.slow && !test.last.status.is_bad()), "slow"),
    ];
    let kinds: Vec<String> = kinds
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{number} {word}"))
        .collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
    let _ = writeln!(
        text,
        "{} passed{kinds}, {} failed, {} skipped",
        counts.passed, counts.failed, counts.skipped
    );
    text
}

/// The evidence for a bad test: what was too long to be shown at once.
fn evidence(document: &Document, test: &Test) -> String {
    let attempt = &test.last;
    let (word, style) = attempt.status.label();
    let unit = &test.unit;
    let mut text = format!(
        "{style}{word:>12}{style:#} [{:>7.3}s] {} {:<5} {}",
        attempt.elapsed_s,
        unit.xen,
        unit.environment.name(),
        unit.test
    );
    if test.attempts() > 1 {
        let _ = write!(text, ", {} attempts", test.attempts());
    }
    text.push('\n');
    let bad: Vec<&str> = attempt
        .cases
        .iter()
        .filter(|case| case.status().is_bad())
        .map(|case| case.name.as_str())
        .chain(attempt.at_case.as_deref())
        .collect();
    if !bad.is_empty() {
        let _ = writeln!(text, "{INDENT}cases: {}", bad.join(", "));
    }
    for reason in &attempt.reasons {
        let _ = writeln!(text, "{INDENT}{reason}");
    }
    for line in &attempt.diagnostics {
        let _ = writeln!(text, "{INDENT}# {line}");
    }
    for frame in &attempt.backtrace {
        let _ = writeln!(text, "{INDENT}at {frame}");
    }
    let words = &attempt.xen_words;
    let hidden = words.len().saturating_sub(2 * QUOTE_ENDS);
    for (index, line) in words.iter().enumerate() {
        if hidden == 0 || index < QUOTE_ENDS || index >= QUOTE_ENDS + hidden {
            let _ = writeln!(text, "{INDENT}| {line}");
        } else if index == QUOTE_ENDS {
            let _ = writeln!(text, "{INDENT}| ... {hidden} more lines in xen.log");
        }
    }
    for attempt in test.earlier.iter().chain([attempt]) {
        if let Some(dir) = document.logs_of(attempt.boot) {
            let _ = writeln!(text, "{INDENT}logs: {}", dir.display());
        }
    }
    text
}

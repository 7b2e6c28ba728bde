//! `--ktap`: all boots in one KTAP document, as kernel tooling reads it.
//!
//! Three levels: a Xen in an environment, a test, a case. What has no place in KTAP is a diagnostic
//! line. What is tolerated is `ok`, with a diagnostic that says so: prove, tap.py and the kernel's
//! kunit.py count each `not ok` as a failure, whatever its directive. They also end a name at the first
//! `#`, so that a name has another sign in its place. The plan comes first: tappy looks for it nowhere
//! else.

use std::fmt::Write;

use protocol::metadata::Environment;

use crate::base::status::Status;
use crate::results::{Attempt, Case, Document, Known, KnownVerdict, Test, Unit, VerdictKind};

/// The report.
pub fn text(document: &Document) -> String {
    let columns = document.columns();
    let mut lines = Lines { text: String::new() };
    lines.add(0, "KTAP version 1");
    // Of a run that did not start it is not known how many there would be.
    if document.complete || !columns.is_empty() {
        lines.add(0, &format!("1..{}", columns.len()));
    }
    for boot in &document.boots {
        let version = boot.version.as_deref().unwrap_or("of unknown version");
        lines.note(0, &format!("boot {}: Xen {version}, {}", boot.number, boot.provenance));
        for note in &boot.notes {
            lines.note(0, &format!("boot {}: {note}", boot.number));
        }
    }
    for expected in document.expectations.iter().filter(|expected| expected.stale) {
        lines.note(0, &format!("STALE {}: {}", expected.source, expected.reason));
    }
    for (index, column) in columns.into_iter().enumerate() {
        of_column(document, column, index + 1, &mut lines);
    }
    if let Some(why) = &document.incomplete_because {
        lines.add(0, &format!("Bail out! {}", plain(why)));
    }
    lines.text
}

/// Lines, each at its depth.
struct Lines {
    text: String,
}

impl Lines {
    fn add(&mut self, depth: usize, line: &str) {
        let _ = writeln!(self.text, "{:1$}{line}", "", 2 * depth);
    }

    /// A diagnostic, which may have several lines.
    fn note(&mut self, depth: usize, text: &str) {
        for line in text.lines() {
            self.add(depth, &format!("# {line}"));
        }
    }

    fn begin(&mut self, depth: usize, name: &str, plan: usize) {
        self.add(depth, "KTAP version 1");
        self.add(depth, &format!("# Subtest: {}", plain(name)));
        self.add(depth, &format!("1..{plan}"));
    }

    fn result(&mut self, depth: usize, number: usize, name: &str, outcome: &ResultLine) {
        let ok = if outcome.ok { "ok" } else { "not ok" };
        let mut line = format!("{ok} {number} {}", plain(name));
        if let Some((directive, why)) = &outcome.directive {
            let _ = write!(line, " # {directive} {}", why.replace(['\n', '\r'], " "));
        }
        self.add(depth, line.trim_end());
    }
}

/// A result line's meaning.
struct ResultLine {
    ok: bool,
    directive: Option<(&'static str, String)>,
}

impl ResultLine {
    fn ok() -> ResultLine {
        ResultLine { ok: true, directive: None }
    }

    fn not_ok(directive: Option<&'static str>, why: String) -> ResultLine {
        ResultLine { ok: false, directive: directive.map(|directive| (directive, why)) }
    }

    /// Of what was not run.
    fn missing() -> ResultLine {
        ResultLine::not_ok(Some("ERROR"), "it has no result".into())
    }

    fn of_status(status: Status, why: String) -> ResultLine {
        match status {
            Status::Success => ResultLine::ok(),
            Status::Skip => ResultLine { ok: true, directive: Some(("SKIP", why)) },
            Status::Failure => ResultLine::not_ok(None, why),
            Status::Timeout => ResultLine::not_ok(Some("TIMEOUT"), why),
            Status::Error => ResultLine::not_ok(Some("ERROR"), why),
            // KTAP has no word for it.
            Status::Crash => ResultLine::not_ok(Some("ERROR"), format!("CRASH: {why}")),
        }
    }
}

/// A name in which nothing looks like a directive.
fn plain(text: &str) -> String {
    text.replace(['\n', '\r'], " ").replace('#', "\u{ff03}")
}

fn of_column(
    document: &Document,
    (xen, environment): (&str, Environment),
    number: usize,
    lines: &mut Lines,
) {
    let here = |unit: &&Unit| (unit.xen.as_str(), unit.environment) == (xen, environment);
    let tests: Vec<&Test> = document.tests.iter().filter(|test| here(&&test.unit)).collect();
    let missing: Vec<&Unit> = document.not_run.iter().filter(here).collect();
    let name = format!("{xen}/{}", environment.name());
    lines.begin(1, &name, tests.len() + missing.len());
    for (index, test) in tests.iter().enumerate() {
        of_test(document, test, index + 1, lines);
    }
    for (index, unit) in missing.iter().enumerate() {
        lines.result(1, tests.len() + index + 1, &unit.test, &ResultLine::missing());
    }
    let status = Status::of_parts(tests.iter().map(|test| test.last.status));
    let status = match (status, missing.is_empty()) {
        (Some(status), true) => status,
        (status, _) => status.unwrap_or(Status::Error).max(Status::Error),
    };
    let why = if status == Status::Skip { "all of it" } else { "see above" };
    lines.result(0, number, &name, &ResultLine::of_status(status, why.into()));
}

fn of_test(document: &Document, test: &Test, number: usize, lines: &mut Lines) {
    let last = &test.last;
    let plan = last.cases.len() + last.not_run.len();
    if plan > 0 {
        lines.begin(2, &test.unit.test, plan);
        for (index, case) in last.cases.iter().enumerate() {
            of_case(case, index + 1, lines);
        }
        for (index, name) in last.not_run.iter().enumerate() {
            lines.result(2, last.cases.len() + index + 1, name, &ResultLine::missing());
        }
    }
    for attempt in &test.earlier {
        let why = why(attempt);
        lines.note(1, &format!("FLAKY: boot {} was a {}: {why}", attempt.boot, attempt.status));
    }
    if last.slow {
        lines.note(1, &format!("SLOW: {:.3} s", last.elapsed_s));
    }
    news(last.known.as_ref(), 1, lines);
    if last.status.is_bad() || test.is_known() {
        for line in &last.reasons {
            lines.note(1, line);
        }
        for (number, seen, how) in last.story() {
            let frames = seen.backtrace.iter().map(|frame| format!("at {frame}"));
            let logs = document.logs_of(number).map(|dir| format!("logs: {}", dir.display()));
            let said = seen.diagnostics.iter().cloned().chain(frames);
            let all = said.chain(seen.xen_words.iter().cloned()).chain(logs).chain(how);
            all.for_each(|line| lines.note(1, &line));
        }
    }
    if let Some(known) = tolerated(last) {
        lines.note(1, &format!("KNOWN {}: {}", known.expected, known.told()));
        lines.result(1, number, &test.unit.test, &ResultLine::ok());
    } else {
        lines.result(1, number, &test.unit.test, &ResultLine::of_status(last.status, why(last)));
    }
}

fn news(known: Option<&Known>, depth: usize, lines: &mut Lines) {
    if let Some(known) = known.filter(|known| known.verdict == KnownVerdict::News) {
        lines.note(depth, &format!("NEWS: {} was expected, {}", known.expected, known.told()));
    }
}

/// What was expected to go wrong with a test as a whole, and did.
fn tolerated(attempt: &Attempt) -> Option<&Known> {
    let known = attempt.known.as_ref();
    known.filter(|known| known.verdict == KnownVerdict::Known && !attempt.status.is_bad())
}

/// Why it went wrong: in its own words, or in those of the worst of its cases.
fn why(attempt: &Attempt) -> String {
    let worst = || attempt.cases.iter().find(|case| case.status() == attempt.status);
    match (attempt.reasons.as_slice(), worst()) {
        ([], Some(case)) => format!("{}: {}", case.name, case.said()),
        (reasons, _) => reasons.join("; "),
    }
}

fn of_case(case: &Case, number: usize, lines: &mut Lines) {
    let why = case.why.clone().unwrap_or_default();
    for line in &case.diagnostics {
        lines.note(2, line);
    }
    if case.slow {
        lines.note(2, &format!("SLOW: {:.3} s", case.elapsed_s));
    }
    news(case.known.as_ref(), 2, lines);
    let outcome = match (case.verdict, &case.known) {
        (word, Some(known)) if known.verdict == KnownVerdict::Known => {
            lines.note(2, &format!("KNOWN {}: {}", word.name(), known.told()));
            ResultLine::ok()
        }
        (VerdictKind::Deviation, _) => {
            lines.note(2, &format!("DEVIATION {why}"));
            ResultLine::ok()
        }
        (word, _) => ResultLine::of_status(word.status(), why),
    };
    lines.result(2, number, &case.name, &outcome);
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;
    use crate::results::sample;

    #[test]
    fn all_that_there_is_to_show() {
        let text = text(&sample::whole());
        expect_file!["../../tests/fixtures/results/whole.ktap"].assert_eq(&text);
        check(&text);
    }

    /// What the readers of prove, tap.py and kunit.py make of a line: a failure is a `not ok`, and a name
    /// ends at the first `#`.
    #[test]
    fn every_reader_sees_as_many_failures_and_the_whole_names() {
        let mut document = sample::whole();
        document.tests[0].last.cases[0].name = "a/#1".into();
        let text = text(&document);
        let failed = text.lines().filter(|line| line.starts_with("    not ok ")).count();
        let counts = document.case_counts();
        assert!(counts.deviations > 0 && counts.known > 0);
        assert_eq!(failed, counts.failed + counts.ended + counts.errors + counts.not_run);
        let results = text.lines().filter(|line| line.starts_with("    ok "));
        let names = results.map(|line| line.split('#').next().unwrap().trim_end());
        assert!(names.clone().any(|name| name.ends_with(" a/\u{ff03}1")), "{text}");
        let tests = text.lines().filter(|line| line.starts_with("  not ok ")).count();
        assert_eq!(tests, document.counts().failed);
    }

    #[test]
    fn a_partial_report_bails_out() {
        let text = text(&sample::stopped());
        assert!(text.ends_with("Bail out! stopped by SIGINT\n"), "{text}");
        assert_eq!(text.matches("# ERROR it has no result").count(), 22);
        assert!(text.contains("\nnot ok 1 4.17/pv64 # ERROR see above\n"), "{text}");
        check(&text);
    }

    #[test]
    fn a_run_that_did_not_start_bails_out_without_a_plan() {
        let why = "the run did not start: apt-get is not installed";
        assert_eq!(text(&sample::not_started()), format!("KTAP version 1\nBail out! {why}\n"));
    }

    /// KTAP's grammar: at every depth a version, a plan, and as many results as it says, numbered;
    /// a result right after a nested document is that document's.
    fn check(text: &str) {
        let mut open: Vec<(usize, usize)> = Vec::new();
        let mut versions = 0;
        for line in text.lines() {
            let body = line.trim_start();
            let depth = (line.len() - body.len()) / 2;
            if body == "KTAP version 1" {
                versions += 1;
                assert_eq!(depth, versions - 1, "{line}");
            } else if let Some(plan) = body.strip_prefix("1..") {
                open.push((plan.parse().unwrap(), 0));
                assert_eq!(open.len(), depth + 1, "{line}");
            } else if let Some(rest) =
                body.strip_prefix("ok ").or_else(|| body.strip_prefix("not ok "))
            {
                while open.len() > depth + 1 {
                    let (plan, seen) = open.pop().unwrap();
                    versions -= 1;
                    assert_eq!(seen, plan, "before {line}");
                }
                let (plan, seen) = open.last_mut().unwrap();
                *seen += 1;
                assert!(rest.starts_with(&format!("{seen} ")) && seen <= plan, "{line}");
            } else {
                assert!(body.starts_with("# ") || body.starts_with("Bail out! "), "{line}");
            }
        }
        let ends: Vec<bool> = open.iter().map(|(plan, seen)| plan == seen).collect();
        assert_eq!(ends, [true]);
    }
}

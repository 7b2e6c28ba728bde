//! What stands at the end: the evidence of what went wrong, the table, the sums.

use std::fmt::Write as _;

use protocol::metadata::Environment;

use super::lines::not_run;
use super::style::{BOLD, INDENT, YELLOW, count};
use crate::base::status::Status;
use crate::report::differences::told;
use crate::report::matrix;
use crate::results::again;
use crate::results::compare::{Diff, Identity, short};
use crate::results::{Attempt, Document, Evidence, Test};

/// Of a long quotation of Xen, this many lines from each end.
const QUOTE_ENDS: usize = 16;
/// So many failed tests are repeated at the very end,
const FAILED_TESTS: usize = 20;
/// with so many failed cases each,
const FAILED_CASES: usize = 5;
/// and so many characters of a reason.
const REASON: usize = 160;
/// Of each kind of difference, so many are shown.
const CHANGES: usize = 10;

/// What remains to be said when everything is over.
pub(super) fn summary(document: &Document, diff: Option<&Diff>) -> String {
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
    text += &skips(document);
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

    if let Some(diff) = diff {
        let _ = writeln!(text, "Compared with the run of {}:\n", diff.old.started);
        text += &told(diff, CHANGES);
        text.push('\n');
    }
    text += &sums(document);
    text += &failures(document);
    text
}

/// A Xen, an environment, and why tests are skipped there.
pub(super) type Skipped = (String, Environment, String);

/// Why a test was skipped as a whole, if it was.
pub(super) fn skipped(xen: &str, environment: Environment, attempt: &Attempt) -> Option<Skipped> {
    let why = attempt.reasons.join("; ");
    (attempt.is_skipped_as_a_whole() && !why.is_empty()).then(|| (xen.to_owned(), environment, why))
}

/// A line for each reason for which tests are skipped on a Xen.
fn skips(document: &Document) -> String {
    let mut reasons: Vec<(Skipped, usize)> = Vec::new();
    for test in &document.tests {
        let Some(why) = skipped(&test.unit.xen, test.unit.environment, &test.last) else {
            continue;
        };
        match reasons.iter_mut().find(|(other, _)| *other == why) {
            Some((_, tests)) => *tests += 1,
            None => reasons.push((why, 1)),
        }
    }
    let (word, style) = Status::Skip.label();
    let line = |((xen, environment, why), tests): ((String, Environment, String), usize)| {
        let (place, tests) = (environment.name(), count(tests, "test"));
        format!("{style}{word:>12}{style:#} Xen {xen} {place}, {tests}: {why}\n")
    };
    reasons.into_iter().map(line).collect()
}

/// The failed tests once more, with a line for each failed case: the end of a long log tells by
/// itself what failed.
fn failures(document: &Document) -> String {
    let bad = || document.tests.iter().filter(|test| test.last.status.is_bad());
    let mut text = String::new();
    for test in bad().take(FAILED_TESTS) {
        text += &unit_line(test);
        text.push('\n');
        let lines = failed_cases(&test.last);
        for line in lines.iter().take(FAILED_CASES) {
            let _ = writeln!(text, "{INDENT}{line}");
        }
        let hidden = lines.len().saturating_sub(FAILED_CASES);
        if hidden > 0 {
            let _ = writeln!(text, "{INDENT}and {hidden} more");
        }
        text += &way_back(document, test);
    }
    let hidden = bad().count().saturating_sub(FAILED_TESTS);
    if hidden > 0 {
        let _ = writeln!(text, "{INDENT}and {}", count(hidden, "more failed test"));
    }
    text
}

/// How to see `test` fail again, on what it failed, and where its logs are.
fn way_back(document: &Document, test: &Test) -> String {
    let mut text = String::new();
    if let Some(command) = &test.again {
        let _ = writeln!(text, "{INDENT}again: {command}");
    }
    if let Some(command) = again::debug_test(document, test) {
        let _ = writeln!(text, "{INDENT}debug: {command}");
    }
    let mut on = format!("Xen {}", Identity::under(document, test).told());
    if !document.run.image_sha256.is_empty() {
        let _ = write!(on, ", image sha256 {}", short(&document.run.image_sha256));
    }
    let _ = writeln!(text, "{INDENT}on: {on}");
    if let Some(dir) = test.last.boots().last().and_then(|boot| document.logs_of(boot)) {
        let _ = writeln!(text, "{INDENT}logs: {}", dir.display());
    }
    text
}

/// What failed in a test: a line with a reason for each case, and for the test; what has no result.
fn failed_cases(attempt: &Attempt) -> Vec<String> {
    let cases = attempt.cases.iter().filter(|case| case.status().is_bad());
    let mut lines: Vec<String> = cases.map(|case| reason(&case.name, &case.said())).collect();
    lines.extend(attempt.reasons.first().map(|why| shortened(why)));
    lines.extend(not_run(attempt));
    lines
}

fn reason(case: &str, why: &str) -> String {
    let colon = if why.is_empty() { "" } else { ": " };
    format!("{case}{colon}{}", shortened(why))
}

/// The first line of `text`, as much of it as one reads at a glance.
fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(REASON) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

/// The sums: first of all cases, then of all tests.
fn sums(document: &Document) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{BOLD}{:>12}{BOLD:#} [{:>7.3}s] {}, {}; cases: {}",
        "Summary",
        document.run.elapsed_s,
        count(document.boots.len(), "boot"),
        count(document.tests.len(), "test"),
        document.case_counts(),
    );
    if let Some(why) = &document.incomplete_because {
        let missing = document.missing().unwrap_or_else(|| "0 tests not run".into());
        let _ = writeln!(text, "{INDENT}{why}; {missing}");
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

/// A test with its status, its time, and where it ran.
fn unit_line(test: &Test) -> String {
    let (word, style) = test.last.status.label();
    let unit = &test.unit;
    format!(
        "{style}{word:>12}{style:#} [{:>7.3}s] {} {:<5} {}",
        test.last.elapsed_s,
        unit.xen,
        unit.environment.name(),
        unit.test
    )
}

/// The evidence for a bad test: what was too long to be shown at once.
fn evidence(document: &Document, test: &Test) -> String {
    let attempt = &test.last;
    let mut text = unit_line(test);
    if test.attempts() > 1 {
        let _ = write!(text, ", {} attempts", test.attempts());
    }
    text.push('\n');
    let bad: Vec<&str> = attempt
        .cases
        .iter()
        .filter(|case| case.status().is_bad())
        .map(|case| case.name.as_str())
        .collect();
    if !bad.is_empty() {
        let _ = writeln!(text, "{INDENT}cases: {}", bad.join(", "));
    }
    for reason in &attempt.reasons {
        let _ = writeln!(text, "{INDENT}{reason}");
    }
    for (_, seen, how) in attempt.story() {
        text += &quotation(seen);
        how.into_iter().for_each(|line| text += &format!("{INDENT}{line}\n"));
    }
    if let Some(line) = not_run(attempt) {
        let _ = writeln!(text, "{INDENT}{line}");
    }
    for number in test.earlier.iter().chain([attempt]).flat_map(Attempt::boots) {
        if let Some(dir) = document.logs_of(number) {
            let _ = writeln!(text, "{INDENT}logs: {}", dir.display());
        }
    }
    text
}

/// What was seen in a boot.
fn quotation(seen: &Evidence) -> String {
    let mut text = String::new();
    for line in &seen.diagnostics {
        let _ = writeln!(text, "{INDENT}# {line}");
    }
    for frame in &seen.backtrace {
        let _ = writeln!(text, "{INDENT}at {frame}");
    }
    let words = &seen.xen_words;
    let hidden = words.len().saturating_sub(2 * QUOTE_ENDS);
    for (index, line) in words.iter().enumerate() {
        if hidden == 0 || index < QUOTE_ENDS || index >= QUOTE_ENDS + hidden {
            let _ = writeln!(text, "{INDENT}| {line}");
        } else if index == QUOTE_ENDS {
            let _ = writeln!(text, "{INDENT}| ... {hidden} more lines in xen.log");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::results::compare::Baseline;
    use crate::results::{Case, sample};

    /// Without the colours.
    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn the_end_tells_what_failed() {
        let text = plain(&summary(&sample::whole(), None));
        let (_, end) = text.split_once(" deviations, ").unwrap();
        let (_, end) = end.split_once('\n').unwrap();
        expect![[r#"
            16 passed (1 flaky, 3 known, 1 news, 5 slow), 5 failed, 3 skipped
                   CRASH [  0.013s] 4.17 pv64  trap
                         faults: expected ENOENT, got EINVAL
                         after: the guest died: TRAP unexpected trap #PF at 0x101000
                         later: Xen panicked: Assertion 'x' failed at y.c:3
                         before the first test began: Xen panicked: out of memory
                         not run: 1 case (last)
                         again: xtf-runner run trap --xen 4.17 --env pv64 --cmdline 'a=<b> c'
                         debug: xtf-runner debug /home/user/xtf/logs/20260102-030405/004-4.17-pv64
                         on: Xen 4.17 (4.17.7, build-id c0ffee), image sha256 00ff
                         logs: /home/user/xtf/logs/20260102-030405/004-4.17-pv64
                 TIMEOUT [ 20.005s] 4.17 pv64  soak
                         longer: no result within 30 s
                         again: xtf-runner run soak --xen 4.17 --env pv64 --cmdline 'a=<b> c'
                         debug: xtf-runner debug /home/user/xtf/logs/20260102-030405/005-4.17-pv64
                         on: Xen 4.17 (4.17.7, build-id c0ffee), image sha256 00ff
                         logs: /home/user/xtf/logs/20260102-030405/005-4.17-pv64
                   ERROR [  0.005s] 4.17 pv64  tool
                         x: QEMU died: was killed by signal 11: qemu: internal trouble
                         again: xtf-runner run tool --xen 4.17 --env pv64 --cmdline 'a=<b> c'
                         on: Xen 4.17 (4.17.7, build-id c0ffee), image sha256 00ff
                         logs: /home/user/xtf/logs/20260102-030405/006-4.17-pv64
                   ERROR [  0.017s] 4.20 pv64  elf
                         hooks: no memory
                         again: xtf-runner run elf --xen 4.20 --env pv64 --cmdline 'a=<b> c'
                         debug: xtf-runner debug /home/user/xtf/logs/20260102-030405/010-4.20-pv64
                         on: Xen 4.20 (4.20.7, build-id c0ffee), image sha256 00ff
                         logs: /home/user/xtf/logs/20260102-030405/010-4.20-pv64
                    FAIL [  0.012s] 4.20 pv64  stack
                         depth/2
                         again: xtf-runner run stack --xen 4.20 --env pv64 --cmdline 'a=<b> c'
                         on: Xen 4.20 (4.20.7, build-id c0ffee), image sha256 00ff
                         logs: /home/user/xtf/logs/20260102-030405/010-4.20-pv64
        "#]]
        .assert_eq(end);
    }

    #[test]
    fn a_reason_for_skipping_is_told_once_for_each_place() {
        let mut document = sample::whole();
        let why = "this Xen has no code for it";
        for test in document.tests.iter_mut().filter(|test| test.unit.xen == "4.20") {
            test.last.status = Status::Skip;
            test.last.cases.clear();
            test.last.reasons = vec![why.into()];
        }
        let text = plain(&summary(&document, None));
        let told: Vec<&str> = text.lines().filter(|line| line.contains(why)).collect();
        assert_eq!(told, [format!("        SKIP Xen 4.20 pv64, 8 tests: {why}")]);
        assert!(text.contains("SKIP Xen 4.17 pvh64, 1 test: livepatch is not built into this Xen"));
    }

    #[test]
    fn the_end_is_bounded() {
        let mut document = sample::whole();
        let bad = |test: &&Test| test.last.status == Status::Failure;
        let mut test = document.tests.iter().find(bad).unwrap().clone();
        let mut case = test.last.cases.pop().unwrap();
        case.diagnostics = vec!["x".repeat(1000), "y".into()];
        test.last.cases = vec![case; FAILED_CASES + 7];
        document.tests = vec![test; FAILED_TESTS + 3];
        let text = plain(&failures(&document));
        assert!(text.ends_with("             and 3 more failed tests\n"), "{text}");
        assert_eq!(text.matches("             and 7 more\n").count(), FAILED_TESTS);
        assert_eq!(text.lines().count(), FAILED_TESTS * (FAILED_CASES + 5) + 1);
        assert!(text.lines().all(|line| line.len() < REASON + 80), "{text}");
    }

    #[test]
    fn a_comparison_is_bounded() {
        let mut old = sample::whole();
        old.run.image_sha256 = "17".into();
        let list = old.tests.iter_mut().find(|test| test.unit.test == "list").unwrap();
        let case = list.last.cases[0].clone();
        list.last
            .cases
            .extend((0..CHANGES + 3).map(|n| Case { name: format!("c{n}"), ..case.clone() }));
        let new = sample::whole();
        let diff = Baseline::of(old).against(&new, &sample::tests());
        let text = plain(&summary(&new, Some(&diff)));
        let (_, end) = text.split_once("Compared with the run of ").unwrap();
        let (end, _) = end.split_once("\n\n     Summary").unwrap();
        expect![[r#"
            2026-01-02T03:04:05+00:00:

            image sha256 00ff is compared with image sha256 17

            vanished
                4.17 pv64  list c0: was SUCCESS (ok 1 not a result line)
                4.17 pv64  list c1: was SUCCESS (ok 1 not a result line)
                4.17 pv64  list c2: was SUCCESS (ok 1 not a result line)
                4.17 pv64  list c3: was SUCCESS (ok 1 not a result line)
                4.17 pv64  list c4: was SUCCESS (ok 1 not a result line)
                4.17 pv64  list c5: was SUCCESS (ok 1 not a result line)
                4.17 pv64  list c6: was SUCCESS (ok 1 not a result line)
                4.17 pv64  list c7: was SUCCESS (ok 1 not a result line)
                4.17 pv64  list c8: was SUCCESS (ok 1 not a result line)
                4.17 pv64  list c9: was SUCCESS (ok 1 not a result line)
                and 3 more

            13 vanished; 24 tests in both runs
            cases: 24 passed, 2 failed, 2 in error, 3 skipped, 3 deviations, 3 crashed or timed out, 4 known, 1 not run; were: 37 passed, 2 failed, 2 in error, 3 skipped, 3 deviations, 3 crashed or timed out, 4 known, 1 not run
            13 regressions"#]].assert_eq(end);
    }

    #[test]
    fn nothing_follows_a_success() {
        let mut document = sample::whole();
        document.tests.retain(|test| !test.last.status.is_bad());
        assert_eq!(failures(&document), "");
    }
}

//! Consoles that lost something on their way: no verdict gets better by that.

use super::super::grammar::{self, Depth, Token};
use super::super::splitter::Splitter;
use super::*;

/// A real boot, whose guest tells totals: successes, skips, deviations, a test that is skipped.
const TOTALS: &str = include_str!("../../../tests/fixtures/totals.log");
/// Another one, of an older guest.
const RECORDED: &str = include_str!("../../../tests/fixtures/recorded.log");
const SUCCESS: &str = include_str!("../../../tests/fixtures/success.log");

/// The tests that a console reports whole, as the image has them.
fn planned(console: &str) -> Vec<PlannedTest> {
    let mut tests: Vec<PlannedTest> = Vec::new();
    let mut splitter = Splitter::default();
    splitter.feed(console.as_bytes(), |line| match grammar::parse(&line.text) {
        Token::Subtest(name) => tests.push(PlannedTest { name: name.into(), cases: Vec::new() }),
        Token::Result(Depth::Case, _, name, _) => tests.last_mut().unwrap().cases.push(name.into()),
        Token::Result(Depth::Test, _, name, _) if tests.iter().all(|test| test.name != name) => {
            tests.push(PlannedTest { name: name.into(), cases: vec!["x".into()] });
        }
        _ => {}
    });
    tests
}

fn judged(tests: &[PlannedTest], console: &str) -> Judgement {
    judge_as("PV 64bit", tests.to_vec(), console.as_bytes(), End::Exited)
}

/// The tests of which `got` says something better than `truth`: no error, and another thing.
fn better(truth: &Judgement, got: &Judgement) -> Vec<String> {
    let said = |report: &TestReport| {
        let verdict = |verdict: &Verdict| std::mem::discriminant(verdict);
        let cases = report.cases.iter().map(|case| (case.name.clone(), verdict(&case.verdict)));
        (report.name.clone(), report.status, cases.collect::<Vec<_>>())
    };
    let told: Vec<_> = truth.settled.iter().map(said).collect();
    let good = got.settled.iter().filter(|report| !report.status.is_bad());
    let odd = good.filter(|report| !told.contains(&said(report)));
    odd.map(|report| report.name.clone()).collect()
}

#[test]
fn a_lost_line_makes_no_verdict_better() {
    for console in [TOTALS, RECORDED, SUCCESS, GOOD] {
        let tests = planned(console);
        let truth = judged(&tests, console);
        assert!(truth.rerun.is_empty() && truth.ended_by.is_none());
        let mut at = 0;
        for line in console.split_inclusive('\n') {
            let damaged = [&console[..at], &console[at + line.len()..]].concat();
            let got = judged(&tests, &damaged);
            assert_eq!(better(&truth, &got), [""; 0], "without {line}");
            assert_eq!(got.settled.len() + got.rerun.len(), tests.len(), "without {line}");
            at += line.len();
        }
    }
}

/// What can be lost of lines with a directive: from there, or from the line's beginning on, `not` or
/// all up to the end of this line or of one of the next two.
fn damaged(console: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut at = 0;
    for line in console.split_inclusive('\n') {
        let directive = line.find(" # ").filter(|_| line.contains("ok "));
        let start = line.len() - line.trim_start().len();
        for start in directive.into_iter().flat_map(|directive| [at + directive, at + start]) {
            let (before, rest) = console.split_at(start);
            let ends = rest.match_indices(['\r', '\n']).map(|(end, _)| end);
            for end in ends.take(6).chain(["not ".len()]) {
                all.push([before, &rest[end..]].concat());
            }
        }
        at += line.len();
    }
    all
}

#[test]
fn a_lost_directive_makes_no_verdict_better() {
    let tests = planned(TOTALS);
    let truth = judged(&tests, TOTALS);
    let all = damaged(TOTALS);
    assert!(all.len() > 300);
    for console in all {
        assert_eq!(better(&truth, &judged(&tests, &console)), [""; 0], "{console}");
    }
    // Totals make the difference.
    let old = damaged(&without_totals(TOTALS));
    assert!(old.iter().any(|console| !better(&truth, &judged(&tests, console)).is_empty()));
}

/// Without the lines that older guests do not print.
fn without_totals(console: &str) -> String {
    let lines = console.split_inclusive('\n');
    lines.filter(|line| !line.contains("otals")).collect()
}

#[test]
fn a_console_without_totals_is_judged_as_ever() {
    let old = without_totals(TOTALS);
    assert_eq!(TOTALS.lines().count() - old.lines().count(), 4);
    let tests = planned(TOTALS);
    assert_eq!(judged(&tests, &old).settled, judged(&tests, TOTALS).settled);
}

#[test]
fn totals_are_no_diagnostics() {
    let got = judged(&planned(TOTALS), TOTALS);
    assert!(got.settled.iter().all(|report| report.diagnostics.is_empty()), "{got:?}");
}

/// One test of two cases, both with news.
const NEWS: &str = "--- Xen Test Framework ---\nEnvironment: PV 64bit (x)\nKTAP version 1\n\
    # each test tells its totals\n1..1\n  KTAP version 1\n  # Subtest: a\n  1..2\n\
    # NEWS doc-0: no deviation\n  ok 1 x\n  # NEWS doc-1: no deviation\n  ok 2 y\n\
    \u{20} # Totals: pass:0 fail:0 xfail:0 xpass:2 skip:0 error:0\nok 1 a\nTest result: SUCCESS\n";

#[test]
fn totals_have_to_come_once_and_right() {
    let tests = expected(&[("a", &["x", "y"])]);
    assert_eq!(statuses(&judged(&tests, NEWS)), [("a", Status::Success)]);
    let totals = "  # Totals: pass:0 fail:0 xfail:0 xpass:2 skip:0 error:0\n";
    let gives = "but the cases give";
    for (from, to, why) in [
        ("  # NEWS doc-1: no deviation\n", "", gives),
        ("# NEWS doc-0: no deviation\n", "", gives),
        ("pass:0", "pass:1", gives),
        ("fail:0", "fail:1", gives),
        ("xfail:0", "xfail:1", gives),
        ("xpass:2", "xpass:1", gives),
        ("skip:0", "skip:1", gives),
        ("error:0", "error:1", gives),
        (totals, "", "subtest without its totals"),
        (totals, &totals.repeat(2), "totals told twice"),
        (" error:0", "", "bad totals"),
        ("  KTAP", &format!("{totals}  KTAP"), "totals outside a subtest"),
        ("  # Totals", "# Totals", "wrong indentation of totals"),
    ] {
        let console = NEWS.replacen(from, to, 1);
        assert_ne!(console, NEWS, "{from}");
        let got = judged(&tests, &console);
        assert_eq!(report(&got, "a").status, Status::Error, "{from}");
        let reasons = report(&got, "a").reasons.join("; ");
        assert!(reasons.contains(why), "{from}: {reasons}");
    }
}

/// News of a test that ended are none of the next one.
#[test]
fn news_are_those_of_one_case() {
    let old = NEWS.replacen("ok 1 a\n", "# NEWS doc-2: too late\nok 1 a\n", 1);
    let next = "  KTAP version 1\n  # Subtest: b\n  1..1\n  ok 1 z\n  \
        # Totals: pass:1 fail:0 xfail:0 xpass:0 skip:0 error:0\nok 2 b\nTest result";
    let console = old.replacen("1..1", "1..2", 1).replacen("Test result", next, 1);
    let got = judged(&expected(&[("a", &["x", "y"]), ("b", &["z"])]), &console);
    assert_eq!(statuses(&got), [("a", Status::Success), ("b", Status::Success)], "{got:?}");
}

/// The first totals promise those of all tests behind them.
#[test]
fn who_tells_totals_once_tells_them_always() {
    let tests = planned(TOTALS);
    let console = TOTALS.replacen("# each test tells its totals", "#", 1);
    let (before, behind) = console.rsplit_once("  # Totals: ").unwrap();
    let behind = behind.split_once('\n').unwrap().1;
    let got = judged(&tests, &[before, behind].concat());
    let report = report(&got, "livepatch-doc");
    assert_eq!(report.reasons, ["protocol: subtest without its totals"]);
}

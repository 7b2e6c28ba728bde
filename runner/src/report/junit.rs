//! `--junit`: for CI systems.
//!
//! A suite is a Xen in an environment, and a package, as readers call what is in front of the last dot of
//! a class's name; a class in it is a test, with a test case for each case and
//! one, called like the test, for the test as a whole. A death counts once: for the case in which it
//! came, which has what was seen of it. The test as a whole names all logs, and fails where the cases
//! don't tell why. Names only depend on what was selected, so that a CI system can follow each from
//! run to run. What is tolerated is `skipped` with a type that says so, because JUnit has no other
//! way to show a result that does not fail. What readers make of all that is in
//! tests/fixtures/junit-readers.toml.

use std::fmt::Write;
use std::time::Duration;

use protocol::metadata::Environment;
use quick_junit::{NonSuccessKind, Property, TestCase, TestCaseStatus, TestRerun, TestSuite};

use crate::base::exit::{Error, Result};
use crate::base::status::Status;
use crate::results::again;
use crate::results::{Attempt, Case, Document, Evidence, Known, KnownVerdict, Test, VerdictKind};

/// Name of the suite that says what the run as a whole lacks.
const RUNNER: &str = "xtf-runner";

/// The report.
pub fn text(document: &Document) -> Result<String> {
    let mut report = quick_junit::Report::new("xtf-rs");
    report.set_time(time(document.run.elapsed_s));
    if !document.complete {
        report.add_test_suite(incomplete(document));
    }
    let columns = document.columns();
    let packages = packages(&columns);
    for ((xen, environment), package) in columns.into_iter().zip(packages) {
        let name = format!("{xen}/{}", environment.name());
        let mut suite = TestSuite::new(name.as_str());
        let tests = || {
            let all = document.tests.iter();
            all.filter(|test| test.unit.xen == xen && test.unit.environment == environment)
        };
        for (name, value) in properties(document, tests()) {
            suite.add_property(Property::new(name, value));
        }
        suite.set_time(time(tests().map(|test| test.last.elapsed_s).sum()));
        for test in tests() {
            let class = format!("{package}.{}", test.unit.test);
            suite.add_test_case(of_test(document, test, &class));
            let cases = test.last.cases.iter();
            suite.add_test_cases(cases.map(|case| of_case(document, &test.last, case, &class)));
            suite.add_test_cases(test.last.not_run.iter().map(|name| not_run(name, &class)));
        }
        for unit in &document.not_run {
            if (unit.xen.as_str(), unit.environment) == (xen, environment) {
                let class = format!("{package}.{}", unit.test);
                suite.add_test_case(not_run(&unit.test, &class));
            }
        }
        report.add_test_suite(suite);
    }
    report.to_string().map_err(|e| Error::Data(format!("cannot write the results as JUnit: {e}")))
}

/// The name of a package for each Xen in an environment, of which no two are alike. A dot in a Xen's name
/// would begin another one.
fn packages(columns: &[(&str, Environment)]) -> Vec<String> {
    let mut packages: Vec<String> = Vec::new();
    for (xen, environment) in columns {
        let plain = |c: char| if c.is_alphanumeric() || c == '-' { c } else { '_' };
        let xen: String = xen.chars().map(plain).collect();
        let name = |number: usize| match number {
            1 => format!("{xen}.{}", environment.name()),
            _ => format!("{xen}-{number}.{}", environment.name()),
        };
        let free = (1..).map(name).find(|name| !packages.contains(name));
        packages.extend(free);
    }
    packages
}

/// A report that lacks something fails, whatever is in it.
fn incomplete(document: &Document) -> TestSuite {
    let mut suite = TestSuite::new(RUNNER);
    let why = document.incomplete_because.as_deref().unwrap_or("the run is not complete");
    let text = match document.missing() {
        Some(missing) => format!("{why}; {missing}"),
        None => why.to_owned(),
    };
    let status = failed(NonSuccessKind::Error, "incomplete", &text, &[]);
    suite.add_test_case(with_class("complete", RUNNER, status));
    suite
}

/// What is the same for the whole suite.
fn properties<'a>(
    document: &Document,
    tests: impl Iterator<Item = &'a Test>,
) -> Vec<(String, String)> {
    let run = &document.run;
    let mut all = vec![
        ("runner".to_owned(), run.runner.clone()),
        ("started".to_owned(), run.started.clone()),
        ("host".to_owned(), format!("{} ({})", run.host.name, run.host.kernel)),
        ("qemu".to_owned(), run.qemu.clone()),
        ("image-sha256".to_owned(), run.image_sha256.clone()),
        ("complete".to_owned(), document.complete.to_string()),
    ];
    let numbers = tests.flat_map(|test| test.last.boots());
    let mut numbers: Vec<usize> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    let boots: Vec<_> = numbers.iter().filter_map(|&number| document.boot(number)).collect();
    if let Some(boot) = boots.first() {
        all.push(("xen".into(), boot.provenance.clone()));
        let version = boots.iter().find_map(|boot| boot.version.clone());
        all.extend(version.map(|version| ("xen-version".to_owned(), version)));
        all.extend(boot.build_id.clone().map(|id| ("xen-build-id".to_owned(), id)));
        all.extend(boot.notes.iter().map(|note| ("xen-note".to_owned(), note.clone())));
        all.push(("backend".into(), boot.backend.clone()));
        all.extend(boot.loader.clone().map(|loader| ("loader".to_owned(), loader)));
        all.push(("boot-mode".into(), boot.mode.clone()));
    }
    for boot in boots {
        all.push((format!("boot-{}", boot.number), boot.command.clone()));
    }
    all
}

fn with_class(name: &str, class: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(class);
    case
}

fn not_run(name: &str, class: &str) -> TestCase {
    with_class(name, class, failed(NonSuccessKind::Error, "not run", "it has no result", &[]))
}

fn failed(kind: NonSuccessKind, word: &str, message: &str, seen: &[String]) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    // Some readers show the message, others the text.
    let text = [&[message.to_owned()], seen].concat().join("\n");
    status.set_type(word).set_message(message).set_description(text);
    status
}

fn skipped(word: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_type(word).set_message(message).set_description(message);
    status
}

/// What happened as expected, with what was seen of it.
fn as_known(word: &str, known: &Known, seen: &str) -> String {
    let separator = if seen.is_empty() { "" } else { "; " };
    format!("{word}: {}{separator}{seen}", known.told())
}

/// A case. The one in which a boot ended has what was seen of that, and names the logs.
fn of_case(document: &Document, attempt: &Attempt, case: &Case, class: &str) -> TestCase {
    let said = case.said();
    let end = attempt.ended_in(case).filter(|_| case.status().is_bad());
    let seen = end.as_ref().map(seen_in).unwrap_or_default();
    let status = match (case.verdict, &case.known) {
        (_, Some(known)) if known.verdict == KnownVerdict::Known => {
            skipped("known", &as_known(case.verdict.name(), known, &said))
        }
        (VerdictKind::Success, _) => TestCaseStatus::success(),
        (VerdictKind::Skip, _) => skipped("skip", &said),
        (VerdictKind::Deviation, _) => skipped("deviation", &said),
        (verdict, _) => failed(kind(verdict.status()), verdict.name(), &said, &seen),
    };
    let mut junit = with_class(&case.name, class, status);
    junit.set_time(time(case.elapsed_s));
    if let Some((boot, ..)) = end {
        junit.set_system_out(logs(document, [boot]));
    }
    if let Some(known) = case.known.as_ref().filter(|known| known.verdict == KnownVerdict::News) {
        junit.add_property(Property::new("news", known.told()));
    }
    if case.slow {
        junit.add_property(Property::new("slow", "true"));
    }
    junit
}

/// The test as a whole.
fn of_test(document: &Document, test: &Test, class: &str) -> TestCase {
    let last = &test.last;
    let mut status = match (last.status, &last.known) {
        (Status::Success, Some(known)) if known.verdict == KnownVerdict::Known => {
            let seen = last.reasons.join("; ");
            skipped("known", &as_known(&known.expected.to_string(), known, &seen))
        }
        (Status::Success, _) => TestCaseStatus::success(),
        (Status::Skip, _) => skipped("skip", &last.reasons.join("; ")),
        // Failed cases stand for themselves, and so does one in which the boot ended.
        (status, _) if status.is_bad() && last.is_told_by_cases() => TestCaseStatus::success(),
        _ => bad(last),
    };
    if test.flaky && last.status == Status::Success {
        for attempt in &test.earlier {
            status.add_rerun(rerun(attempt));
        }
    }
    let mut junit = with_class(&test.unit.test, class, status);
    let cases: f64 = last.cases.iter().map(|case| case.elapsed_s).sum();
    junit.set_time(time(last.elapsed_s - cases));
    junit.add_property(Property::new("status", last.status.to_string()));
    junit.add_property(Property::new("attempts", test.attempts().to_string()));
    if let Some(known) = last.known.as_ref().filter(|known| known.verdict == KnownVerdict::News) {
        junit.add_property(Property::new("news", known.told()));
    }
    if last.slow {
        junit.add_property(Property::new("slow", "true"));
    }
    let attempts = test.earlier.iter().chain([last]);
    junit.set_system_out(logs(document, attempts.flat_map(Attempt::boots)));
    junit
}

/// The files of `boots`, a line for each, and how to debug those that ended early.
fn logs(document: &Document, boots: impl IntoIterator<Item = usize>) -> String {
    let mut text = String::new();
    for boot in boots {
        if let Some(dir) = document.logs_of(boot) {
            let file = |name: &str| dir.join(name).display().to_string();
            let names = ["guest.log", "xen.log", "runner.log"].map(file);
            let _ = writeln!(text, "boot {boot}: {}", names.join(" "));
        }
        if let Some(command) = again::debug(document, boot) {
            let _ = writeln!(text, "boot {boot}: debug: {command}");
        }
        if let Some(recording) = again::recording(document, boot) {
            let _ = writeln!(text, "boot {boot}: {recording}");
        }
    }
    text
}

fn kind(status: Status) -> NonSuccessKind {
    if status == Status::Failure { NonSuccessKind::Failure } else { NonSuccessKind::Error }
}

fn bad(attempt: &Attempt) -> TestCaseStatus {
    let status = attempt.status;
    failed(kind(status), &status.to_string(), &headline(attempt), &evidence(attempt))
}

/// Always a failure, whatever its type: Jenkins knows of no errors here, and of no text but a trace.
fn rerun(attempt: &Attempt) -> TestRerun {
    let mut rerun = TestRerun::new(NonSuccessKind::Failure);
    rerun
        .set_type(attempt.status.to_string())
        .set_message(headline(attempt))
        .set_stack_trace([&[headline(attempt)], &evidence(attempt)[..]].concat().join("\n"))
        .set_time(time(attempt.elapsed_s));
    rerun
}

/// What went wrong, in a line.
fn headline(attempt: &Attempt) -> String {
    let bad = attempt.cases.iter().filter(|case| case.status().is_bad());
    let mut all: Vec<String> = attempt.reasons.clone();
    all.extend(bad.map(|case| format!("{}: {}", case.name, case.said())));
    all.join("; ")
}

/// What was seen of it, line by line.
fn evidence(attempt: &Attempt) -> Vec<String> {
    attempt.story().flat_map(|boot| seen_in(&boot)).collect()
}

/// What was seen in a boot of a test, and how the test went on, line by line.
fn seen_in((_, seen, how): &(usize, &Evidence, Option<String>)) -> Vec<String> {
    let guest = seen.diagnostics.iter().map(|line| format!("# {line}"));
    let frames = seen.backtrace.iter().map(|frame| format!("at {frame}"));
    let xen = seen.xen_words.iter().cloned();
    guest.chain(frames).chain(xen).chain(how.clone()).collect()
}

fn time(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;
    use quick_junit::Report;

    use super::*;
    use crate::judge::Cause;
    use crate::results::sample;

    #[test]
    fn all_that_there_is_to_show() {
        let text = text(&sample::whole()).unwrap();
        expect_file!["../../tests/fixtures/results/whole.junit.xml"].assert_eq(&text);
    }

    /// What a CI system reads in it is what happened.
    #[test]
    fn a_reader_counts_the_same() {
        let document = sample::whole();
        let report = Report::deserialize_from_str(&text(&document).unwrap()).unwrap();
        let names: Vec<&str> = report.test_suites.iter().map(|suite| suite.name.as_str()).collect();
        assert_eq!(names, ["4.17/pv64", "4.17/pvh64", "4.20/pv64"]);
        let cases = document.case_counts();
        let whole = document.tests.iter().filter(|test| test.last.status.is_bad());
        let lone = whole.filter(|test| !test.last.is_told_by_cases()).count();
        let bad = cases.failed + cases.errors + cases.ended + cases.not_run;
        assert_eq!(report.failures + report.errors, bad + lone);
        assert_eq!(report.tests, document.tests.len() + cases_of(&document));
        let flaky = text(&document).unwrap().matches("<flakyFailure").count();
        assert_eq!(flaky, 1);
    }

    /// One death is one failure: the case's, with all that was seen of it.
    #[test]
    fn a_death_counts_once() {
        let mut document = sample::whole();
        for test in &mut document.tests {
            let last = &mut test.last;
            if last.cause == Some(Cause::Xen) {
                last.known = None;
                last.cases.iter_mut().for_each(|case| case.known = None);
                last.status = Status::Crash;
            }
        }
        let text = text(&document).unwrap();
        let report = Report::deserialize_from_str(&text).unwrap();
        let bad = |class: &str| {
            let cases = report.test_suites.iter().flat_map(|suite| &suite.test_cases);
            let mut bad = Vec::new();
            for case in cases
                .filter(|case| case.classname.as_ref().map(|name| name.as_str()) == Some(class))
            {
                if let TestCaseStatus::NonSuccess { description, .. } = &case.status {
                    let told = description.as_ref().map(|text| text.as_str().to_owned());
                    bad.push((case.name.as_str(), told.unwrap_or_default()));
                }
            }
            bad
        };
        let [(case, told)] = &bad("4_17.pv64.crash")[..] else { panic!("{text}") };
        assert_eq!(*case, "dies");
        assert!(told.contains("(XEN) RIP:") && told.contains("FATAL PAGE FAULT"), "{told}");
        assert_eq!(bad("4_17.pv64.soak"), [("longer", "no result within 30 s".to_owned())]);
        let why = "QEMU died: was killed by signal 11: qemu: internal trouble";
        assert_eq!(bad("4_17.pv64.tool"), [("x", why.to_owned())]);
        // Of several deaths each has its own, and that outside of any case is the test's.
        let all = bad("4_17.pv64.trap");
        let told = |name: &str| {
            &all.iter().find(|(case, _)| *case == name).unwrap_or_else(|| panic!("{all:?}")).1
        };
        assert_eq!(all.len(), 5, "{all:?}");
        assert!(told("after").contains("rax 0x0") && !told("after").contains("(XEN)"), "{all:?}");
        assert!(told("later").contains("(XEN) Assertion 'x'"), "{all:?}");
        assert!(!told("later").contains("rax 0x0"), "{all:?}");
        assert!(text.contains("<error message=\"before the first test began: "), "{text}");
    }

    fn cases_of(document: &Document) -> usize {
        let all = |test: &Test| test.last.cases.len() + test.last.not_run.len();
        document.tests.iter().map(all).sum()
    }

    #[test]
    fn names_do_not_depend_on_the_outcome() {
        let names = |document: &Document| {
            let report = Report::deserialize_from_str(&text(document).unwrap()).unwrap();
            let suites = report.test_suites.iter();
            let mut names: Vec<(String, String)> = suites
                .flat_map(|suite| &suite.test_cases)
                .map(|case| (format!("{:?}", case.classname), case.name.as_str().to_owned()))
                .collect();
            names.sort();
            let count = names.len();
            names.dedup();
            assert_eq!(names.len(), count, "a name is there twice");
            names
        };
        let mut document = sample::whole();
        let before = names(&document);
        for test in &mut document.tests {
            test.last.status = Status::Success;
            test.last.cause = None;
            test.last.known = None;
            test.last.reasons.clear();
            for case in &mut test.last.cases {
                case.verdict = VerdictKind::Success;
            }
        }
        assert_eq!(names(&document), before);
    }

    #[test]
    fn a_partial_report_fails() {
        let text = text(&sample::stopped()).unwrap();
        let report = Report::deserialize_from_str(&text).unwrap();
        assert_eq!(report.test_suites[0].name.as_str(), "xtf-runner");
        assert_eq!(report.errors, 1 + 22);
        assert!(text.contains("stopped by SIGINT; 22 tests not run"), "{text}");
    }

    #[test]
    fn a_run_that_did_not_start_is_an_error() {
        let text = text(&sample::not_started()).unwrap();
        let report = Report::deserialize_from_str(&text).unwrap();
        assert_eq!((report.tests, report.errors), (1, 1));
        let why = "message=\"the run did not start: apt-get is not installed\"";
        assert!(text.contains(why), "{text}");
    }
}

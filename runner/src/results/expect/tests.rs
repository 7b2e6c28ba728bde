//! Tests of what an expectation excuses, and of what it does not.

use std::time::Duration;

use super::*;
use crate::results::sample;

const ON_4_17: Subject<'_> =
    Subject { xen: "mine", version: Some("4.17.7-pre"), environment: Environment::Pv64 };

fn expectations(text: &str) -> Expectations {
    let mut expectations = Expectations::default();
    expectations.parse(text, "e.toml").unwrap();
    expectations
}

/// An entry about the test `t`.
fn entry(rest: &str) -> Expectations {
    expectations(&format!("[[expect]]\nreason = 'why'\n{rest}"))
}

fn report(status: Status, cases: &[(&str, Verdict)]) -> TestReport {
    let case = |(name, verdict): &(&str, Verdict)| CaseReport {
        name: (*name).into(),
        verdict: verdict.clone(),
        diagnostics: vec!["expected EINVAL".into()],
        elapsed: Duration::ZERO,
    };
    TestReport {
        cases: cases.iter().map(case).collect(),
        began: true,
        ..TestReport::new("t", status)
    }
}

/// A Xen that died of the test's second case.
fn crash() -> TestReport {
    TestReport {
        cause: Some(Cause::Xen),
        xen_words: vec!["(XEN) RIP: livepatch_op+0x1".into()],
        ..report(Status::Crash, &[("a", Verdict::Success), ("b", dead("FATAL PAGE FAULT"))])
    }
}

fn dead(why: &str) -> Verdict {
    Verdict::Crash(format!("Xen panicked: {why}"))
}

/// What is built in is for where nothing else is; a file must be there if somebody names it.
#[test]
fn expectations_are_those_of_the_named_file_or_beside_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let config = |text: &str| {
        fs::write(at("xtf-runner.toml"), text).unwrap();
        Config::load(Some(&at("xtf-runner.toml"))).unwrap()
    };
    let count = |named: Option<&str>, text: &str| {
        let named = named.map(at);
        Expectations::load(named.as_deref(), &config(text)).map(|all| all.entries.len())
    };
    assert_eq!(count(None, "").unwrap(), 0);
    let entry = "[[expect]]\ntest = 't'\nstatus = 'FAILURE'\nreason = 'why'\n";
    fs::write(at(FILE), entry).unwrap();
    fs::write(at("other.toml"), entry.repeat(2)).unwrap();
    assert_eq!(count(None, "").unwrap(), 1);
    assert_eq!(count(None, "expectations = 'other.toml'").unwrap(), 2);
    assert_eq!(count(Some(FILE), "expectations = 'other.toml'").unwrap(), 1);
    assert!(count(Some("gone.toml"), "").is_err());
    assert!(count(None, "expectations = 'gone.toml'").is_err());
    // Without a configuration, too, the file beside it goes before what is built in.
    let nowhere = Config::built_in(dir.path().into()).unwrap();
    assert_eq!(Expectations::load(None, &nowhere).unwrap().entries.len(), 1);
    fs::remove_file(at(FILE)).unwrap();
    let built_in = expectations(BUILT_IN).entries.len();
    assert_eq!(Expectations::load(None, &nowhere).unwrap().entries.len(), built_in);
    // What is there and cannot be read is no file that is missing.
    fs::create_dir(at(FILE)).unwrap();
    let why = count(None, "").unwrap_err().to_string();
    assert!(why.contains("read the expectations"), "{why}");
    fs::write(at("binary.toml"), b"\xff").unwrap();
    let why = count(Some("binary.toml"), "").unwrap_err().to_string();
    assert!(why.ends_with("is not UTF-8 text"), "{why}");
}

/// Each death is excused by what is known of it, not by what is known of another one.
#[test]
fn deaths_are_excused_one_by_one() {
    let mut two = crash();
    let second = TestReport {
        cause: Some(Cause::Xen),
        xen_words: vec!["(XEN) RIP: list+0x7".into()],
        ..report(Status::Crash, &[("c", dead("FATAL PAGE FAULT")), ("d", Verdict::Success)])
    };
    let third = second.cases[1].clone();
    two.go_on(2, "b", TestReport { cases: second.cases[..1].to_vec(), ..second });
    two.go_on(3, "c", TestReport { cases: vec![third], ..report(Status::Success, &[]) });
    let weighed = |text: &str| {
        let weighed = entry(text).weigh(&two, ON_4_17);
        let known: Vec<bool> = weighed.cases.iter().map(is_known).collect();
        (weighed.status, known)
    };
    let one = (Status::Crash, vec![false, true, false, false]);
    let both = (Status::Success, vec![false, true, true, false]);
    for (text, want) in [
        ("test = 't/b'\nstatus = 'CRASH'", &one),
        ("test = 't/*'\nstatus = 'CRASH'\npanic = '*livepatch_op+*'", &one),
        ("test = 't'\nstatus = 'CRASH'\npanic = '*livepatch_op+*'", &one),
        ("test = 't/[bc]'\nstatus = 'CRASH'", &both),
        ("test = 't'\nstatus = 'CRASH'", &both),
        ("test = 't'\nstatus = 'CRASH'\npanic = '*PAGE FAULT*'", &both),
    ] {
        assert_eq!(weighed(text), *want, "{text}");
    }
}

/// The status and whether it is KNOWN or NEWS.
fn weigh(expectations: &Expectations, report: &TestReport) -> (Status, Option<KnownVerdict>) {
    let weighed = expectations.weigh(report, ON_4_17);
    (weighed.status, weighed.known.map(|known| known.verdict))
}

#[test]
fn a_xen_is_meant_by_name_version_or_branch() {
    for (xen, meant) in [
        ("mine", true),
        ("4.17", true),
        ("4.17*", true),
        ("4.1[67]", true),
        ("4.17.7-pre", true),
        ("4.1", false),
        ("4.20", false),
    ] {
        let one = entry(&format!("xen = '{xen}'\ntest = 't'\nstatus = 'CRASH'"));
        let want = if meant { Status::Success } else { Status::Crash };
        assert_eq!(weigh(&one, &crash()).0, want, "{xen}");
    }
    let elsewhere = entry("environment = 'pvh*'\ntest = 't'\nstatus = 'CRASH'");
    assert_eq!(weigh(&elsewhere, &crash()), (Status::Crash, None));
}

#[test]
fn a_crash_is_excused_by_its_like_alone() {
    let known = (Status::Success, Some(KnownVerdict::Known));
    // What is said of the case alone is shown there.
    let of_case = (Status::Success, None);
    for (text, want) in [
        ("test = 't'\nstatus = 'CRASH'", known),
        ("test = 't/b'\nstatus = 'CRASH'", of_case),
        ("test = '*/?'\nstatus = 'CRASH'", of_case),
        ("test = 't/c'\nstatus = 'CRASH'", (Status::Crash, None)),
        ("test = 'u'\nstatus = 'CRASH'", (Status::Crash, None)),
        ("test = 't'\nstatus = 'TIMEOUT'", (Status::Crash, None)),
        ("test = 't'\nstatus = 'CRASH'\npanic = '*PAGE FAULT*'", known),
        ("test = 't'\nstatus = 'CRASH'\npanic = '*livepatch_op+*'", known),
        ("test = 't'\nstatus = 'CRASH'\npanic = '*Assertion*'", (Status::Crash, None)),
    ] {
        assert_eq!(weigh(&entry(text), &crash()), want, "{text}");
    }
}

#[test]
fn what_has_another_cause_is_not_excused() {
    let one = entry("test = 't'\nstatus = 'CRASH'");
    let unbegun = TestReport { began: false, ..crash() };
    assert_eq!(weigh(&one, &unbegun), (Status::Crash, None));

    let died = [("a", Verdict::Success), ("b", Verdict::Error("QEMU died".into()))];
    let tool = TestReport { cause: Some(Cause::Qemu), ..report(Status::Error, &died) };
    assert_eq!(weigh(&entry("test = 't'\nstatus = 'ERROR'"), &tool), (Status::Error, None));
    let weighed = entry("test = 't/b'\nstatus = 'ERROR'").weigh(&tool, ON_4_17);
    assert_eq!((weighed.status, &weighed.cases[1]), (Status::Error, &None));

    // A case that failed before the crash is not part of it.
    let mut two = crash();
    two.cases[0].verdict = Verdict::Failure;
    assert_eq!(weigh(&one, &two), (Status::Failure, Some(KnownVerdict::Known)));

    // The framework has more to say than the cases.
    let mut leftover = report(Status::Failure, &[("a", Verdict::Failure)]);
    leftover.reasons = vec!["protocol: nonsense".into()];
    for text in ["test = 't'\nstatus = 'FAILURE'", "test = 't/a'\nstatus = 'FAILURE'"] {
        assert_eq!(weigh(&entry(text), &leftover).0, Status::Failure, "{text}");
    }
}

#[test]
fn cases_are_excused_one_by_one() {
    let bad = Verdict::Failure;
    let two = report(Status::Failure, &[("a", bad.clone()), ("b", bad.clone())]);
    let one = entry("test = 't/a'\nstatus = 'FAILURE'");
    let weighed = one.weigh(&two, ON_4_17);
    assert_eq!(weighed.status, Status::Failure);
    assert!(is_known(&weighed.cases[0]) && weighed.cases[1].is_none());
    let both = entry("test = 't/[ab]'\nstatus = 'FAILURE'");
    assert_eq!(both.weigh(&two, ON_4_17).status, Status::Success);
    let whole = entry("test = 't'\nstatus = 'FAILURE'").weigh(&two, ON_4_17);
    assert_eq!(whole.status, Status::Success);
    assert!(whole.cases.iter().all(is_known));

    // An error beside an expected failure remains.
    let mixed = report(Status::Failure, &[("a", bad), ("b", Verdict::Error("oops".into()))]);
    assert_eq!(one.weigh(&mixed, ON_4_17).status, Status::Error);
    let like = entry("test = 't/a'\nstatus = 'FAILURE'\npanic = '*ENOENT*'");
    assert_eq!(like.weigh(&mixed, ON_4_17).status, Status::Failure);
}

#[test]
fn a_success_is_news() {
    let good = report(Status::Success, &[("a", Verdict::Success), ("b", Verdict::Success)]);
    let news = (Status::Success, Some(KnownVerdict::News));
    assert_eq!(weigh(&entry("test = 't'\nstatus = 'TIMEOUT'"), &good), news);
    let case = entry("test = 't/a'\nstatus = 'CRASH'").weigh(&good, ON_4_17);
    assert_eq!(case.cases[0].as_ref().map(|known| known.verdict), Some(KnownVerdict::News));
    assert_eq!((case.known, case.cases[1].clone()), (None, None));

    // Of several cases that are meant, one is enough.
    let cases = [("a", Verdict::Success), ("b", Verdict::Failure)];
    let partly = entry("test = 't/*'\nstatus = 'FAILURE'");
    let partly = partly.weigh(&report(Status::Failure, &cases), ON_4_17);
    assert_eq!((partly.status, partly.cases[0].clone()), (Status::Success, None));

    // Nothing is known of what was not tried.
    let skip = report(Status::Skip, &[("a", Verdict::Skip("why".into()))]);
    assert_eq!(weigh(&entry("test = 't'\nstatus = 'CRASH'"), &skip), (Status::Skip, None));
    let deviation = report(Status::Success, &[("a", Verdict::Deviation("id: why".into()))]);
    let case = entry("test = 't/a'\nstatus = 'FAILURE'").weigh(&deviation, ON_4_17);
    assert_eq!(case.cases, [None]);

    let mut strict = entry("test = 't'\nstatus = 'TIMEOUT'");
    strict.strict = true;
    let weighed = strict.weigh(&good, ON_4_17);
    assert_eq!(weighed.status, Status::Failure);
    assert_eq!(weighed.reasons, ["succeeded where TIMEOUT was expected: why (e.toml:1)"]);
}

/// A deviation that the test knows this Xen for is news once it is gone, and excuses nothing.
#[test]
fn a_deviation_that_is_gone_is_news() {
    let of = |verdict: Verdict| {
        let mut report = report(verdict.status(), &[("a", verdict), ("b", Verdict::Success)]);
        report.cases[0].diagnostics = vec![format!("{NEWS}doc-1: got EINVAL instead of 0")];
        report
    };
    let weighed = Expectations::default().weigh(&of(Verdict::Success), ON_4_17);
    let known = weighed.cases[0].as_ref().unwrap();
    assert_eq!((known.verdict, known.expected), (KnownVerdict::News, VerdictKind::Deviation));
    assert_eq!(known.told(), "doc-1: got EINVAL instead of 0 (the test tolerates it on this Xen)");
    assert_eq!((weighed.status, &weighed.cases[1]), (Status::Success, &None));
    let strict = Expectations { strict: true, ..Expectations::default() };
    let weighed = strict.weigh(&of(Verdict::Success), ON_4_17);
    assert_eq!(weighed.status, Status::Failure);
    for other in [Verdict::Failure, Verdict::Deviation("doc-1: x".into())] {
        let weighed = Expectations::default().weigh(&of(other.clone()), ON_4_17);
        assert_eq!((weighed.status, &weighed.cases[0]), (other.status(), &None));
    }
}

#[test]
fn what_is_about_nothing_is_stale() {
    let document = sample::whole();
    let stale = |text: &str, whole| {
        let applied = expectations(text).applied(&document, &sample::tests(), whole);
        applied[0].stale
    };
    let entry = |rest: &str| format!("[[expect]]\nreason = 'x'\nstatus = 'CRASH'\n{rest}");
    for (rest, part, whole) in [
        ("test = 'list'", false, false),
        ("test = 'list/list/one'", false, false),
        ("test = 'gone'", true, true),
        ("test = 'list/gone'", true, true),
        ("test = 'list'\nxen = '4.20.7'", false, false),
        ("test = 'list'\nxen = '4.14'", false, true),
        ("test = 'list'\nxen = '4.20'\nenvironment = 'pvh64'", false, true),
        ("test = 'list'\nxen = '4.20'\nreleases = '4.20.7'", false, false),
        ("test = 'list'\nxen = '4.20'\nreleases = '4.17'", false, true),
    ] {
        assert_eq!(
            (stale(&entry(rest), false), stale(&entry(rest), true)),
            (part, whole),
            "{rest}"
        );
    }
    // What need not have been selected is not missed.
    let mut more = sample::tests();
    more.push(TestMeta::named("special"));
    let one = expectations(&entry("test = 'special'"));
    assert!(!one.applied(&document, &more, true)[0].stale);
}

/// Each entry is told how often it applied itself.
#[test]
fn what_came_is_counted_for_its_own_entry() {
    let one = "[[expect]]\nstatus = 'CRASH'\nreason = 'x'\ntest = 'list'\n";
    let all = expectations(&one.repeat(2));
    let mut document = sample::whole();
    for test in &mut document.tests {
        test.last.known = None;
        test.last.cases.iter_mut().for_each(|case| case.known = None);
    }
    let known = |verdict| Known {
        verdict,
        expected: VerdictKind::Crash,
        reason: "x".into(),
        link: None,
        source: all.entries[1].source.clone(),
    };
    document.tests[0].last.known = Some(known(KnownVerdict::News));
    document.tests[1].last.cases[0].known = Some(known(KnownVerdict::Known));
    document.tests[2].last.known = Some(known(KnownVerdict::Known));
    let applied = all.applied(&document, &sample::tests(), false);
    let counts: Vec<_> = applied.iter().map(|entry| (entry.known, entry.news)).collect();
    assert_eq!(applied[0].test, "list");
    assert_eq!(counts, [(0, 0), (2, 1)]);
}

#[test]
fn findings_of_the_fuzzer_are_known_by_name_status_and_words() {
    let all =
        entry("test = 'fuzz/move_payload+*'\nstatus = 'CRASH'\nxen = '4.17'\npanic = 'FATAL *'");
    let known = |name: &str, status, words: &str, subject| {
        all.of_finding(name, status, &["x".into(), words.into()], subject).is_some()
    };
    let on_4_20 = Subject { version: Some("4.20.1"), ..ON_4_17 };
    assert!(known("move_payload+0x17", Status::Crash, "FATAL PAGE FAULT", ON_4_17));
    assert!(!known("move_payload_too+0x17", Status::Crash, "FATAL PAGE FAULT", ON_4_17));
    assert!(!known("move_payload+0x17", Status::Timeout, "FATAL PAGE FAULT", ON_4_17));
    assert!(!known("move_payload+0x17", Status::Crash, "Assertion failed", ON_4_17));
    assert!(!known("move_payload+0x17", Status::Crash, "FATAL PAGE FAULT", on_4_20));
    // What is said of every test is not said of them.
    let every = entry("test = '*'\nstatus = 'CRASH'");
    assert!(every.of_finding("move_payload+0x17", Status::Crash, &[], ON_4_17).is_none());
    // A run does not look for them, so that it can't miss them either.
    assert!(all.applied(&sample::whole(), &sample::tests(), true).is_empty());
}

#[test]
fn releases_are_a_range_or_a_list() {
    for (releases, known) in [
        ("'4.14..4.16'", false),
        ("'4.14..4.17'", true),
        ("'4.17'", true),
        ("['4.14', '4.17', '4.20']", true),
        ("['4.14', '4.20']", false),
    ] {
        let one = entry(&format!("test = 'fuzz/f+*'\nstatus = 'CRASH'\nreleases = {releases}"));
        let found = one.of_finding("f+0x1", Status::Crash, &[], ON_4_17);
        assert_eq!(found.is_some(), known, "{releases}");
    }
}

#[test]
fn mistakes_are_placed_and_explained() {
    for (text, line, why) in [
        (
            "[[expect]]\ntest = 't'\nstatus = 'CRASH'\nreason = 'x'\nreleases = '4.x'",
            5,
            "neither a branch or release, such as 4.17, nor a range",
        ),
        (
            "[[expect]]\ntest = 't'\nstatus = 'CRASH'\nreason = 'x'\nreleases = 4.14",
            5,
            "expected a range of releases",
        ),
        (
            "[[expect]]\ntest = 't'\nstatus = 'CRASH'\nreason = 'x'\nreleases = []",
            5,
            "must not be empty",
        ),
        ("[[expect]]\ntest = 't'\nresaon = 'x'", 3, "did you mean reason?"),
        ("\n[[expect]]\ntest = 't'\nstatus = 'CRASH'", 2, "missing field `reason`"),
        ("[[expect]]\ntest = 1\nstatus = 'CRASH'\nreason = 'x'", 2, "invalid type"),
        ("[[expect]]\ntest = 't'\nstatus = 'CRSAH'\nreason = 'x'", 3, "did you mean CRASH?"),
        (
            "[[expect]]\ntest = 't'\nstatus = 'SUCCESS'\nreason = 'x'",
            3,
            "can be expected; use one of",
        ),
        ("[[expect]]\ntest = 't'\nstatus = 'CRASH'\nreason = ' '", 4, "must not be empty"),
        ("[[expect]]\ntest = '['\nstatus = 'CRASH'\nreason = 'x'", 2, "is not a valid pattern"),
        (
            "[[expect]]\ntest = 't'\nenvironment = 'pv63'\nstatus = 'CRASH'\nreason = 'x'",
            3,
            "no environment; did you mean pv64",
        ),
        (
            "[[expect]]\ntest = 't'\nxen = '['\nstatus = 'CRASH'\nreason = 'x'",
            3,
            "is not a valid pattern",
        ),
        ("[[expected]]", 1, "did you mean expect?"),
        ("[[expect", 1, ""),
    ] {
        let (at, said) = Expectations::default().parse(text, "e.toml").unwrap_err();
        assert!(said.contains(why), "{said}");
        assert_eq!(at, line, "{text}: {said}");
    }
}

/// Any text is expectations, or is wrong in a line that it has. They excuse nothing but what is said.
#[test]
fn fuzz_expectations() {
    const WORDS: &[&str] = &[
        "[[expect]]\n",
        "xen = \"4.1[47]*\"\n",
        "releases = \"4.14..4.20\"\n",
        "releases = [\"4.17.7\", \"..99999999999\"]\n",
        "environment = \"pv*\"\n",
        "test = \"t\"\n",
        "test = \"t/[a-c]\"\n",
        "test = \"fuzz/x\"\n",
        "status = \"CRASH\"\n",
        "status = \"FAILURE\"\n",
        "panic = \"*FATAL*\"\n",
        "panic = \"[!\u{e4}]*\"\n",
        "reason = \"why\"\n",
        "link = \"x\"\n",
        "\u{feff}",
        "'''",
    ];
    let one = "[[expect]]\ntest = \"t/b\"\nstatus = \"CRASH\"\nreason = \"why\"\n";
    let seeds = vec![BUILT_IN.into(), WORDS.concat().into(), one.into()];
    let run = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let mut expectations = Expectations::default();
        if let Err((line, why)) = expectations.parse(&text, "e.toml") {
            return assert!((1..=text.lines().count() + 1).contains(&line), "{line}: {why}");
        }
        for strict in [false, true] {
            expectations.strict = strict;
            let verdicts = [("a", Verdict::Success), ("b", Verdict::Failure)];
            for report in
                [crash(), report(Status::Failure, &verdicts), report(Status::Success, &[])]
            {
                let weighed = expectations.weigh(&report, ON_4_17);
                let named = text.contains(&report.status.to_string()) || strict;
                assert!(weighed.status == report.status || named, "{weighed:?}");
            }
            expectations.of_finding("x", Status::Crash, &["(XEN) x".into()], ON_4_17);
            expectations.applied(&sample::whole(), &sample::tests(), strict);
        }
    };
    let (longest, mutants) = (1 << 12, 500);
    crate::fuzzing::Target { name: "expectations", run, seeds, words: WORDS, longest, mutants }
        .test();
}

//! Boots of which the console alone tells what was selected, and consoles that somebody recorded.

use ::protocol::metadata::Environment;

use super::super::recording::{Heard, Recording};
use super::*;

fn hear_with(catalogue: Catalogue, console: &str) -> (Judgement, Option<String>) {
    let mut judge = Judge::hearing(None, catalogue);
    judge.feed(console.as_bytes(), Duration::from_millis(1), |_| {});
    let misfit = judge.misfit().map(str::to_owned);
    let end = End::Over("x.log".into());
    (judge.finish(end, Duration::from_millis(2), |_| {}), misfit)
}

fn hear(console: &str) -> Judgement {
    hear_with(Catalogue::default(), console).0
}

fn image(tests: Vec<PlannedTest>, is_certain: bool) -> Catalogue {
    Catalogue { tests, is_certain }
}

fn names(report: &TestReport) -> Vec<&str> {
    report.cases.iter().map(|case| case.name.as_str()).collect()
}

#[test]
fn a_good_console_needs_no_plan() {
    let (planned, heard) = (judge(GOOD), hear(GOOD));
    assert_eq!(planned.settled, heard.settled);
    for is_certain in [false, true] {
        let (heard, misfit) = hear_with(image(three(), is_certain), GOOD);
        assert_eq!((planned.settled.clone(), None), (heard.settled, misfit));
    }
}

#[test]
fn what_was_not_named_is_told_by_number() {
    let half = &GOOD[..GOOD.find("  # expected EINVAL").unwrap()];
    let got = hear(half);
    assert_eq!(statuses(&got), [("example", Status::Success), ("args", Status::Crash)]);
    let args = report(&got, "args");
    assert_eq!(names(args), ["list/a", "case 2 of 3"]);
    assert_eq!(args.not_run, ["case 3 of 3"]);
    assert!(args.told()[0].starts_with("x.log ends: it was cut, or the machine was reset"));
    assert_eq!(got.rerun, ["test 3 of 3"]);
    // An image knows the names of cases, but not which tests were selected.
    let (got, _) = hear_with(image(three(), false), half);
    assert_eq!(names(report(&got, "args")), ["list/a", "list/b"]);
    assert_eq!(report(&got, "args").not_run, ["get/c"]);
}

#[test]
fn somebody_is_always_blamed() {
    for console in
        ["", "(XEN) Xen version 4.17\n", "--- Xen Test Framework ---\n", "Test result: SUCCESS\n"]
    {
        let got = hear(console);
        let [only] = &got.settled[..] else { panic!("{console}: {got:?}") };
        assert_eq!(only.name, NO_TEST, "{console}");
        assert!(only.status >= Status::Error, "{console}: {only:?}");
    }
    let head = GOOD.split("  KTAP").next().unwrap();
    let got = hear(head);
    assert_eq!(statuses(&got), [("test 1 of 3", Status::Crash)]);
    assert_eq!(got.rerun, ["test 2 of 3", "test 3 of 3"]);
    let got = hear(&format!("{head}Test result: SUCCESS\n"));
    assert_eq!(got.settled.len(), 3);
    assert!(got.settled.iter().all(|report| report.status == Status::Error), "{got:?}");
    // Nor does an empty selection succeed.
    let got = hear(&format!("{}Test result: SUCCESS\n", head.replace("1..3", "1..0")));
    assert_eq!(statuses(&got), [(NO_TEST, Status::Error)]);
}

#[test]
fn a_part_of_a_test_is_heard_with_its_image() {
    let part = |cases: &[&str]| {
        let whole =
            expected(&[("example", &["hello", "other"]), ("args", cases), ("needy", &["x"])]);
        let (got, misfit) = hear_with(image(whole.clone(), false), GOOD);
        assert_eq!(report(&got, "args").status, Status::Failure);
        let (got, _) = hear_with(image(whole, true), GOOD);
        let violations = report(&got, "args").reasons.clone();
        assert_eq!(misfit.is_some(), !violations.is_empty());
        violations.join("; ")
    };
    assert_eq!(part(&["list/0", "list/a", "list/aa", "list/b", "get/c", "get/d"]), "");
    let why = part(&["list/b", "list/a", "get/c", "get/d"]);
    assert!(why.contains("case 2 is `list/b`, which the image does not have there"), "{why}");
    let twice = GOOD.replacen("not ok 2 list/b", "not ok 2 list/a", 1);
    let more = expected(&[("example", &["hello", "other"]), ("args", &["list/a", "b", "c", "d"])]);
    let (_, misfit) = hear_with(image(more, false), &twice);
    assert_eq!(misfit.unwrap(), "case 2 is `list/a`, which the image does not have there");
    let why = part(&["list/a", "list/b"]);
    assert!(why.contains("the plan line says 3 cases, but the image has 2"), "{why}");
    let why = part(&["list/a", "list/x", "get/c"]);
    assert!(why.contains("case 2 is `list/b`, the image's metadata says `list/x`"), "{why}");
}

#[test]
fn another_image_is_noticed() {
    let other = || expected(&[("example", &["hello", "other"]), ("needy", &["x"])]);
    let (got, misfit) = hear_with(image(other(), false), GOOD);
    assert_eq!(misfit.as_deref(), Some("the image has no test `args`"));
    assert_eq!(got.settled, hear(GOOD).settled);
    let (got, _) = hear_with(image(other(), true), GOOD);
    assert_eq!(report(&got, "args").reasons, ["protocol: the image has no test `args`"]);
    let needy = vec![other().remove(0)];
    let (got, _) = hear_with(image(needy, true), GOOD);
    assert_eq!(report(&got, "needy").status, Status::Error);
}

#[test]
fn the_environment_is_the_one_that_the_guest_names() {
    let seen = |demanded, console: &str| {
        let mut judge = Judge::hearing(demanded, Catalogue::default());
        judge.feed(console.as_bytes(), Duration::ZERO, |_| {});
        let seen = judge.seen_environment();
        let got = judge.finish(End::Exited, Duration::ZERO, |_| {});
        (seen, report(&got, "example").reasons.join("; "))
    };
    assert_eq!(seen(None, GOOD), (Some(Environment::Pv64), String::new()));
    let pvh = GOOD.replace("PV 64bit", "PVH 64bit");
    assert_eq!(seen(None, &pvh), (Some(Environment::Pvh64), String::new()));
    assert!(seen(Some(Environment::Pv64), &pvh).1.contains("not in `PV 64bit`"));
    let odd = seen(None, &GOOD.replace("PV 64bit", "PV 46bit"));
    assert!(odd.0.is_none() && odd.1.contains("which nobody knows"), "{odd:?}");
}

/// A lost line costs the success of what it belongs to, and of what comes next: nothing further on.
#[test]
fn what_was_lost_has_the_right_number() {
    let lost = |from: &str, to: &str| {
        let (start, end) = (GOOD.find(from).unwrap(), GOOD.find(to).unwrap());
        hear(&[&GOOD[..start], &GOOD[end..]].concat())
    };
    let got = lost("  ok 1 list/a", "  # expected EINVAL");
    let args = report(&got, "args");
    assert_eq!(
        (names(args), args.not_run.clone()),
        (vec!["list/b", "get/c"], vec!["case 1 of 3".into()])
    );
    assert!(
        args.reasons[0].contains("number 2 instead of 1") && args.reasons.len() == 2,
        "{args:?}"
    );
    // A whole test; the guest's own sum counts it.
    let got =
        lost("  KTAP version 1\r\n  # Subtest: example", "  KTAP version 1\r\n  # Subtest: args");
    assert!(report(&got, "args").reasons.iter().any(|why| why.contains("number 2 instead of 1")));
    assert_eq!(report(&got, "needy").status, Status::Skip);
    let missing = report(&got, "test 1 of 3");
    assert!(missing.reasons[0].contains("not reported before the last line"), "{missing:?}");
    let got = lost("  KTAP version 1\r\n  # Subtest: args", "ok 3 needy");
    assert_eq!(report(&got, "test 2 of 3").status, Status::Error);
    assert_eq!(report(&got, "needy").status, Status::Error);
    assert_eq!(got.settled.len(), 3);
}

/// A test that began in another's place, because that one was lost, takes along what is known of it.
#[test]
fn a_corrected_test_keeps_its_cases() {
    let args = GOOD.find("  KTAP version 1\r\n  # Subtest: args").unwrap();
    let example = GOOD.find("  KTAP version 1\r\n  # Subtest: example").unwrap();
    let console = [&GOOD[..example], &GOOD[args..]].concat();
    let got = hear(&console.replacen("  ok 1 list/a\r\n", "", 1));
    assert_eq!(report(&got, "args").not_run, ["case 1 of 3"]);
    assert_eq!(report(&got, "test 1 of 3").status, Status::Error);
}

#[test]
fn the_first_test_is_the_one_that_began_first() {
    let mut judge = Judge::hearing(None, Catalogue::default());
    assert!(!judge.has_banner());
    let (before, behind) = GOOD.split_at(GOOD.find("  # Subtest: example").unwrap());
    judge.feed(before.as_bytes(), Duration::ZERO, |_| {});
    assert_eq!((judge.first_test(), judge.has_banner()), (None, true));
    judge.feed(behind.as_bytes(), Duration::ZERO, |_| {});
    assert_eq!(judge.first_test(), Some("example"));
}

/// As many cases as may be called by number, in all tests together; not one more.
#[test]
fn the_largest_plan_is_taken() {
    let plan = |first: usize, second: usize| {
        let console = GOOD.replacen("  1..3\r", &format!("  1..{second}\r"), 1);
        hear(&console.replacen("  1..2\r", &format!("  1..{first}\r"), 1))
    };
    let most = super::super::catalogue::MAX_CASES;
    let got = plan(2, most - 2);
    assert_eq!(report(&got, "args").not_run.len(), most - 5);
    let reasons = report(&plan(3, most - 2), "args").reasons.join("; ");
    assert!(reasons.contains(&format!("the plan line says {} cases", most - 2)), "{reasons}");
}

#[test]
fn absurd_plans_are_violations_and_cost_nothing() {
    for (from, to, why) in [
        ("\n1..3", "\n1..18446744073709551615", "the plan line says 18446744073709551615 tests"),
        ("  1..3", "  1..18446744073709551615", "the plan line says 18446744073709551615 cases"),
        ("\n1..3", "\n1..2", "test `needy` exceeds the plan"),
        ("# Subtest: args", "# Subtest: a rgs", "a name that no test can have"),
        ("ok 1 list/a", "ok 1 list/a# SKIP x", "`list/a# SKIP x` is no name of a case"),
    ] {
        let console = GOOD.replacen(from, to, 1);
        assert_ne!(console, GOOD, "{from}");
        let got = hear(&console);
        let told: Vec<&String> = got.settled.iter().flat_map(|report| &report.reasons).collect();
        assert!(told.iter().any(|told| told.contains(why)), "{to}: {told:?}");
    }
}

/// What is lost or comes twice never makes a console better.
#[test]
fn no_damage_makes_a_failure_a_success() {
    let verdict = |console: &str| {
        let got = hear(console);
        let status = Status::of_parts(got.settled.iter().map(|report| report.status)).unwrap();
        let args = got.settled.iter().find(|report| report.name == "args");
        (status, args.map(|report| report.status))
    };
    let success = include_str!("../../../tests/fixtures/success.log");
    assert_eq!(verdict(success), (Status::Success, Some(Status::Success)));
    for (log, must_fail) in [(GOOD, true), (success, false)] {
        for (len, step) in [(1, 1), (4, 3), (40, 11)] {
            for at in (0..log.len()).step_by(step) {
                let Some(piece) = log.get(at..at + len) else { continue };
                let (before, after) = (&log[..at], &log[at + len..]);
                for damaged in [[before, after].concat(), [before, piece, piece, after].concat()] {
                    let (whole, args) = verdict(&damaged);
                    if must_fail {
                        assert!(whole.is_bad(), "{at} {len}: {damaged}");
                        assert_ne!(args, Some(Status::Success), "{at} {len}: {damaged}");
                    } else if !whole.is_bad() {
                        // What is called a success has all its results.
                        let results = damaged.lines().filter(|line| line.contains("ok "));
                        assert!(results.count() >= 8, "{at} {len}: {damaged}");
                    }
                }
            }
        }
    }
}

/// The console of a recording's only boot.
fn recorded(console: &[u8]) -> String {
    let mut text = String::new();
    let mut boots = 0;
    let mut recording = Recording::default();
    let mut sink = |heard| match heard {
        Heard::Boot => boots += 1,
        Heard::Line(line) => text += &line.text,
    };
    recording.feed(console, &mut sink);
    recording.finish(&mut sink);
    assert_eq!(boots, 1);
    text
}

/// Whatever a recorder puts in front of the lines of real consoles, the same remains.
#[test]
fn recorders_change_nothing() {
    type Stamp = fn(usize) -> String;
    let stamps: [Stamp; 6] = [
        |line| format!("[Sun Nov 29 07:{:02}:{:02} 2026] ", line / 60 % 60, line % 60),
        |line| format!("Nov {:2} 07:16:{:02} ", 1 + line / 60 % 30, line % 60),
        |line| format!("{}.{:06} ", 1_732_866_000 + line, line * 77),
        |line| format!("2026-11-29T07:16:{:02}.{:03}Z ", line % 60, line % 1000),
        |line| format!("[{:8.3}] ", line as f64 * 1.7),
        |line| format!("box-7 | {line} | "),
    ];
    for log in super::recordings::recordings() {
        let console = std::fs::read(&log).unwrap();
        let plain = recorded(&console);
        for stamp in stamps {
            let lines = console.split_inclusive(|&byte| byte == b'\n').enumerate();
            let stamped =
                lines.flat_map(|(number, line)| [stamp(number).as_bytes(), line].concat());
            let stamped: Vec<u8> = stamped.collect();
            assert!(recorded(&stamped) == plain, "{}: {}", log.display(), stamp(0));
        }
    }
}

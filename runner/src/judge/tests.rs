//! Tests of the judge with recorded and with malformed consoles.

use super::*;

fn expected(tests: &[(&str, &[&str])]) -> Vec<Expected> {
    tests
        .iter()
        .map(|(name, cases)| Expected {
            name: (*name).into(),
            cases: cases.iter().map(|case| (*case).into()).collect(),
        })
        .collect()
}

/// The three tests of most fixtures.
fn three() -> Vec<Expected> {
    expected(&[
        ("example", &["hello", "other"]),
        ("args", &["list/a", "list/b", "get/c"]),
        ("needy", &["x"]),
    ])
}

fn judge_as(
    environment: &'static str,
    tests: Vec<Expected>,
    console: &[u8],
    end: End,
) -> Judgement {
    let mut judge = Judge::new(environment, tests);
    judge.feed(console, Duration::from_millis(1), |_| {});
    judge.finish(end, Duration::from_millis(2), |_| {})
}

fn judge(console: &str) -> Judgement {
    judge_as("PV 64bit", three(), console.as_bytes(), End::Exited)
}

fn report<'a>(judgement: &'a Judgement, name: &str) -> &'a TestReport {
    judgement.settled.iter().find(|report| report.name == name).unwrap()
}

fn statuses(judgement: &Judgement) -> Vec<(&str, Status)> {
    judgement.settled.iter().map(|report| (report.name.as_str(), report.status)).collect()
}

const GOOD: &str = include_str!("../../tests/fixtures/good.log");

#[test]
fn a_good_console() {
    let got = judge(GOOD);
    assert_eq!(
        statuses(&got),
        [("example", Status::Success), ("args", Status::Failure), ("needy", Status::Skip)]
    );
    assert!(got.rerun.is_empty());
    let args = report(&got, "args");
    assert_eq!(args.cases[1].diagnostics, ["expected EINVAL, got success"]);
    assert_eq!(args.cases[1].verdict, Verdict::Failure);
    assert_eq!(args.cases[2].verdict, Verdict::Deviation("xsa-0: old Xen".into()));
    assert!(args.reasons.is_empty(), "{:?}", args.reasons);
    assert_eq!(report(&got, "needy").reasons, ["livepatch is not built into this Xen"]);
}

#[test]
fn any_cut_of_the_bytes_gives_the_same_judgement() {
    let whole = format!("{:?}", judge(GOOD));
    for size in [1, 2, 3, 7, 64] {
        let mut judge = Judge::new("PV 64bit", three());
        for chunk in GOOD.as_bytes().chunks(size) {
            judge.feed(chunk, Duration::from_millis(1), |_| {});
        }
        let got = judge.finish(End::Exited, Duration::from_millis(2), |_| {});
        assert_eq!(format!("{got:?}"), whole);
    }
}

/// Each edit of the good console breaks one rule; the reason must name it.
#[test]
fn every_disagreement_is_an_error_with_its_reason() {
    for (from, to, test, why) in [
        ("1..3\r\n", "1..4\r\n", "example", "the plan line says 4 tests, but 3 were selected"),
        ("1..3\r\n", "\r\n", "example", "no plan line for the run"),
        ("Environment: PV", "Environment: PVH", "needy", "not in `PV 64bit`"),
        ("Environment: PV 64bit", "Environment: PV 64bits", "needy", "not in `PV 64bit`"),
        ("--- Xen Test Framework ---", "", "needy", "no banner"),
        ("\r\nKTAP version 1", "\r\n", "needy", "no KTAP header"),
        ("  1..2", "  1..3", "example", "the image's metadata says 2"),
        ("  1..2", "", "example", "without a case plan"),
        ("  ok 2 other # SKIP not privileged\r\n", "", "example", "1 of 2 planned cases"),
        ("  ok 1 hello", "  ok 1 hullo", "example", "metadata says `hello`"),
        ("  ok 2 other", "  ok 2 hello", "example", "reported twice"),
        ("  ok 2 other", "  ok 3 other", "example", "number 3 instead of 2"),
        ("  ok 2 other", "  ok two other", "example", "without a number"),
        ("ok 1 example\r", "  ok 3 third\r\nok 1 example\r", "example", "exceeds the plan"),
        ("\nok 1 example", "\nok 2 example", "example", "number 2 instead of 1"),
        (
            "\nok 1 example",
            "\nnot ok 1 example",
            "example",
            "says FAILURE, but its cases give SUCCESS",
        ),
        ("\nok 1 example\r", "\nok 1 example # SKIP why\r", "example", "says SKIP"),
        ("\nnot ok 2 args", "\nok 2 args", "args", "says SUCCESS, but its cases give FAILURE"),
        ("\nok 1 example", "\nok 1 exampel", "example", "closed by the result line of `exampel`"),
        (
            "ok 3 needy # SKIP livepatch is not built into this Xen",
            "ok 3 needy",
            "needy",
            "without a subtest",
        ),
        (
            "ok 3 needy # SKIP livepatch is not built into this Xen\r\n",
            "",
            "needy",
            "not reported before the last line",
        ),
        ("# Subtest: example", "# Subtest: sample", "example", "`sample` was not selected"),
        (
            "  KTAP version 1\r\n  # Subtest: args",
            "  # Subtest: args",
            "args",
            "without its KTAP header",
        ),
        ("Test result: FAILURE", "Test result: SUCCESS", "example", "the tests give FAILURE"),
        (
            "Test result: FAILURE",
            "Test result: FAILURE\r\nTest result: FAILURE",
            "example",
            "after the last line",
        ),
        (
            "Test result: FAILURE",
            "Test result: FAILURE\r\nok 4 more",
            "example",
            "after the last line",
        ),
    ] {
        let console = GOOD.replacen(from, to, 1);
        assert_ne!(console, GOOD, "{from} is not in the fixture");
        let got = judge(&console);
        let report = report(&got, test);
        assert!(report.status >= Status::Error, "{from} -> {to}: {report:?}");
        assert!(
            report.reasons.iter().any(|reason| reason.contains(why)),
            "{from} -> {to}: {report:?}"
        );
        assert!(got.rerun.is_empty(), "{from} -> {to}");
    }
}

#[test]
fn a_failure_that_was_seen_is_never_lessened() {
    let got = judge(&GOOD.replace("\nnot ok 2 args", "\nok 2 args"));
    assert_eq!(report(&got, "args").status, Status::Failure);
}

#[test]
fn an_error_of_the_framework_after_the_cases_is_the_tests_error() {
    let console =
        GOOD.replace("\nok 1 example", "\nnot ok 1 example # ERROR left a payload behind");
    let got = judge(&console);
    assert_eq!(report(&got, "example").status, Status::Error);
    assert_eq!(report(&got, "example").reasons, ["left a payload behind"]);
}

#[test]
fn xen_panics_in_a_test() {
    let log = include_bytes!("../../tests/fixtures/xen-panic.log");
    let got = judge_as("PV 64bit", three(), log, End::XenDied);
    let args = report(&got, "args");
    assert_eq!(args.status, Status::Crash);
    assert_eq!(args.reasons, ["Xen panicked: FATAL TRAP: vector = 6 (invalid opcode)"]);
    assert_eq!(args.at_case.as_deref(), Some("list/b"));
    assert!(args.xen_words[0].contains("----[ Xen-4.17"), "{:?}", args.xen_words);
    assert_eq!(report(&got, "example").status, Status::Success);
    assert_eq!(got.rerun, ["needy"]);
}

#[test]
fn vitals_follow_a_panic() {
    let log = include_str!("../../tests/fixtures/xen-panic.log");
    let mut judge = Judge::new("PV 64bit", three());
    let (before, after) = log.split_at(log.find("(XEN) Panic on CPU").unwrap());
    let (panic, end) = after.split_at(after.find("(XEN) Reboot").unwrap());
    judge.feed(before.as_bytes(), Duration::ZERO, |_| {});
    assert_eq!(judge.vitals(), Vitals::Alive);
    judge.feed(panic.as_bytes(), Duration::ZERO, |_| {});
    assert_eq!(judge.vitals(), Vitals::Dying);
    judge.feed(end.as_bytes(), Duration::ZERO, |_| {});
    assert_eq!(judge.vitals(), Vitals::Dead);
}

#[test]
fn a_xen_that_repeats_itself_while_it_dies_is_dead() {
    let after = |line: &str, times: usize| {
        let mut judge = Judge::new("PV 64bit", three());
        judge.feed(line.repeat(times).as_bytes(), Duration::ZERO, |_| {});
        judge.vitals()
    };
    assert_eq!(after("(XEN) *** DOUBLE FAULT ***\r\n", 3), Vitals::Dying);
    assert_eq!(after("(XEN) *** DOUBLE FAULT ***\r\n", 30), Vitals::Dead);
    assert_eq!(after("(XEN) *** DOUBLE FAULT ***\r\n(XEN) RIP\r\n", 30), Vitals::Dying);
    assert_eq!(after("(XEN) one and the same\r\n", 30), Vitals::Alive);
}

#[test]
fn the_guest_panics_in_a_test() {
    let log = include_bytes!("../../tests/fixtures/guest-panic.log");
    let got = judge_as("PVH 64bit", three(), log, End::Exited);
    let args = report(&got, "args");
    assert_eq!(args.status, Status::Error);
    assert_eq!(
        args.reasons,
        ["the guest stopped: PANIC tests/src/args.rs:12: index out of bounds"]
    );
    assert_eq!(args.at_case.as_deref(), Some("list/b"));
    assert_eq!(args.backtrace, [0x101234, 0x105678]);
    assert_eq!(args.diagnostics.len(), 2);
    assert_eq!(got.rerun, ["needy"]);
}

#[test]
fn a_final_line_in_the_middle_of_a_test() {
    let console =
        GOOD.split("  not ok 2 list/b").next().unwrap().to_owned() + "Test result: ERROR\n";
    let got = judge(&console);
    assert_eq!(report(&got, "args").status, Status::Error);
    assert!(report(&got, "args").reasons[0].contains("before the test ended"));
    assert_eq!(got.rerun, ["needy"]);
}

#[test]
fn blame_makes_progress() {
    // Nothing at all: nobody can be told apart, nobody is repeated.
    let got = judge_as("PV 64bit", three(), b"", End::TimedOut("no sign of life".into()));
    assert_eq!(got.settled.len(), 3);
    assert!(got.settled.iter().all(|report| report.status == Status::Timeout));
    assert!(got.rerun.is_empty());

    // A plan but no test: the first is tried no more.
    let head = GOOD.split("  KTAP").next().unwrap();
    let got = judge(head);
    assert_eq!(statuses(&got), [("example", Status::Crash)]);
    assert_eq!(got.rerun, ["args", "needy"]);

    // Between two tests: the aftermath of the one before.
    let between = GOOD.split("  KTAP version 1\r\n  # Subtest: args").next().unwrap();
    let got = judge(between);
    assert_eq!(statuses(&got), [("example", Status::Crash)]);
    assert!(report(&got, "example").reasons[0].starts_with("after its result was reported"));
    assert_eq!(got.rerun, ["args", "needy"]);

    // In a test that nobody selected.
    let got = judge(&(head.to_owned() + "  KTAP version 1\n  # Subtest: alien\n"));
    assert_eq!(statuses(&got), [("example", Status::Crash)]);
    assert!(report(&got, "example").reasons.iter().any(|why| why.contains("alien")));
}

#[test]
fn xen_panics_after_the_final_line() {
    let console = GOOD.to_owned() + "(XEN) Panic on CPU 0:\n(XEN) FATAL PAGE FAULT\n";
    let got = judge_as("PV 64bit", three(), console.as_bytes(), End::Exited);
    assert_eq!(report(&got, "needy").status, Status::Crash);
    assert_eq!(report(&got, "args").status, Status::Failure);
    assert!(got.rerun.is_empty());
}

#[test]
fn no_final_line_although_all_reported() {
    let console = GOOD.replace("Test result: FAILURE\r\n", "");
    let got = judge(&console);
    assert_eq!(report(&got, "needy").status, Status::Crash);
}

#[test]
fn a_tool_that_dies_is_not_a_crash_of_xen() {
    let half = GOOD.split("  ok 1 list/a").next().unwrap();
    let got = judge_as("PV 64bit", three(), half.as_bytes(), End::ToolDied("QEMU died".into()));
    assert_eq!(report(&got, "args").status, Status::Error);
    assert_eq!(report(&got, "args").reasons, ["QEMU died"]);
    assert_eq!(got.rerun, ["needy"]);
}

#[test]
fn an_interrupted_boot_settles_only_what_was_reported() {
    let half = GOOD.split("  ok 1 list/a").next().unwrap();
    let got = judge_as("PV 64bit", three(), half.as_bytes(), End::Interrupted);
    assert_eq!(statuses(&got), [("example", Status::Success)]);
    assert!(got.rerun.is_empty());
}

#[test]
fn xens_version_is_heard_before_the_tests() {
    let text = GOOD.replacen("1..", "# xen: 4.17.7-pre (x)\n1..", 1);
    assert_eq!(judge(&text).version.as_deref(), Some("4.17.7-pre"));
}

/// The time of a case is from the result before it to its own.
#[test]
fn cases_are_timed() {
    let mut judge = Judge::new("PV 64bit", three());
    for (index, line) in GOOD.lines().enumerate() {
        let line = format!("{line}\n");
        judge.feed(line.as_bytes(), Duration::from_secs(index as u64), |_| {});
    }
    let got = judge.finish(End::Exited, Duration::from_secs(100), |_| {});
    let times = |name: &str| {
        let report = report(&got, name);
        let cases: Vec<u64> = report.cases.iter().map(|case| case.elapsed.as_secs()).collect();
        (cases, report.elapsed.as_secs())
    };
    // A subtest and its plan are two lines; Xen says one in between, and a diagnostic is another.
    assert_eq!(times("example"), (vec![2, 1], 4));
    assert_eq!(times("args"), (vec![3, 2, 1], 7));
    assert_eq!(times("needy"), (vec![], 0));
}

/// What was told of a test when the next one began is what is known of it in the end.
#[test]
fn tests_settle_when_the_next_begins() {
    let mut told = Vec::new();
    let mut judge = Judge::new("PV 64bit", three());
    for line in GOOD.split_inclusive('\n') {
        judge.feed(line.as_bytes(), Duration::from_millis(1), |event| match event {
            Event::TestSettled(report) => told.push(*report),
            Event::TestStarted(name) if name == "args" => assert!(!told_of(&told, "args")),
            _ => {}
        });
    }
    let names: Vec<&str> = told.iter().map(|report| report.name.as_str()).collect();
    assert_eq!(names, ["example", "args"]);
    let got = judge.finish(End::Exited, Duration::from_millis(1), |_| {});
    assert_eq!(got.settled[..2], told[..]);
}

fn told_of(told: &[TestReport], name: &str) -> bool {
    told.iter().any(|report| report.name == name)
}

#[test]
fn floods_are_noticed_and_bounded() {
    let mut judge = Judge::new("PV 64bit", three());
    let noise = b"  not ok 1 x\n# PANIC x\n# backtrace: 0x1 0x2\n".repeat(4096);
    let mut fed = 0;
    while !judge.is_flooded() {
        judge.feed(&noise, Duration::ZERO, |_| {});
        fed += noise.len() as u64;
        assert!(fed < 2 * GUEST_FLOOD_LIMIT);
    }
    let got = judge.finish(End::Flooded, Duration::ZERO, |_| {});
    let first = &got.settled[0];
    assert_eq!(first.status, Status::Crash);
    assert!(first.reasons.len() <= MAX_FAULTS + 1 && first.diagnostics.len() <= MAX_DIAGNOSTICS);
}

/// The beginning of a boot, up to the first case of `example`.
fn until_a_case() -> Judge {
    let mut judge = Judge::new("PV 64bit", three());
    let end = GOOD.find("  ok 1 ").unwrap();
    judge.feed(&GOOD.as_bytes()[..end], Duration::ZERO, |_| {});
    judge
}

#[test]
fn what_xen_says_at_length_is_no_flood() {
    let mut judge = until_a_case();
    let words = b"(XEN) common/livepatch.c:577: livepatch: x: .livepatch.hooks.load is missing\n";
    for _ in 0..3 * GUEST_FLOOD_LIMIT / words.len() as u64 {
        judge.feed(words, Duration::ZERO, |_| {});
    }
    assert!(!judge.is_flooded());
    // When its time is up, it was none the less no hang.
    let got = judge.finish(End::TimedOut("no result within 9 s".into()), Duration::ZERO, |_| {});
    let first = &got.settled[0];
    assert_eq!((first.status, first.cause), (Status::Crash, Some(Cause::Flood)));
    let reason = "console flood: 6 MiB without a result; no result within 9 s";
    assert!(first.reasons.iter().any(|why| why.contains(reason)), "{:?}", first.reasons);
}

#[test]
fn even_xen_has_an_end() {
    let mut judge = until_a_case();
    judge.bytes = FLOOD_LIMIT;
    assert!(!judge.is_flooded());
    judge.feed(b"(", Duration::ZERO, |_| {});
    assert!(judge.is_flooded());
}

/// Pieces of protocol in random order, with random bytes between: whatever comes, the judge neither
/// panics nor loses a test, and it never calls it a success without the whole protocol.
#[test]
fn nasty_input_never_loses_a_test() {
    let pieces: Vec<&[u8]> = GOOD
        .split_inclusive('\n')
        .map(str::as_bytes)
        .chain([
            &b"\x1b[31"[..],
            b"\0\0\r",
            b"\n",
            b"ok ",
            b"  ok 1 hello\n",
            b"Test result: SUCCESS\n",
            b"# PANIC x\n",
            b"# backtrace: zzz 0x\n",
            b"(XEN) Panic on CPU 0:\n",
            b"(d0) ",
            b"\xff\xc3\x28\n",
            b"not ok 18446744073709551616 x\n",
            b"1..18446744073709551615\n",
            b"  1..18446744073709551615\n",
        ])
        .collect();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |bound: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % bound as u64) as usize
    };
    for round in 0..5000 {
        let console: Vec<u8> =
            (0..random(40)).flat_map(|_| pieces[random(pieces.len())].to_vec()).collect();
        let end = match random(5) {
            0 => End::Exited,
            1 => End::XenDied,
            2 => End::TimedOut("t".into()),
            3 => End::Flooded,
            _ => End::ToolDied("q".into()),
        };
        let got = judge_as("PV 64bit", three(), &console, end);
        assert!(!got.settled.is_empty(), "round {round}: no progress");
        assert_eq!(got.settled.len() + got.rerun.len(), 3, "round {round}");
        let text = String::from_utf8_lossy(&console);
        let args = got.settled.iter().find(|report| report.name == "args");
        if let Some(args) = args.filter(|report| report.status == Status::Success) {
            assert!(text.contains("# Subtest: args"), "round {round}: {args:?}");
            assert!(args.cases.len() == 3, "round {round}");
        }
    }
}

#[test]
fn who_stops_at_the_first_failure_still_gets_the_test() {
    let mut judge = Judge::new("PV 64bit", three());
    let failure = GOOD.find("  not ok 2 list/b").unwrap();
    let (before, after) = GOOD.split_at(failure);
    judge.feed(before.as_bytes(), Duration::from_millis(1), |_| {});
    assert!(!judge.is_failing());
    judge.feed(&after.as_bytes()[..after.find('\n').unwrap()], Duration::from_millis(1), |_| {});
    assert!(!judge.is_failing(), "half a line is no verdict");
    judge.feed(b"\n  not ok 3 get/c # E", Duration::from_millis(1), |_| {});
    assert!(judge.is_failing());

    let got = judge.finish(End::Enough, Duration::from_millis(2), |_| {});
    assert_eq!(statuses(&got), [("example", Status::Success), ("args", Status::Failure)]);
    assert_eq!(report(&got, "args").cases[1].diagnostics, ["expected EINVAL, got success"]);
    assert!(report(&got, "args").reasons.is_empty(), "{got:?}");
    assert!(got.rerun.is_empty());
}

/// What becomes of the first test when Xen shows `shown` and `a=1 b` was demanded.
fn demand(shown: &str) -> (Status, String) {
    let mut judge = Judge::new("PV 64bit", three()).demand_options("a=1  b");
    let console = GOOD.replacen("KTAP version 1", &format!("{shown}\nKTAP version 1"), 1);
    judge.feed(console.as_bytes(), Duration::from_millis(1), |_| {});
    let judgement = judge.finish(End::Exited, Duration::from_millis(2), |_| {});
    let report = report(&judgement, "example");
    (report.status, report.reasons.join("; "))
}

#[test]
fn xens_command_line_is_what_was_demanded() {
    for shown in
        ["(XEN) Command line: a=1 b", "(XEN) Command line:  a=1 b ", "# xen command line: a=1 b"]
    {
        assert_eq!(demand(shown), (Status::Success, String::new()));
    }
}

#[test]
fn another_command_line_is_an_error_that_quotes_both() {
    for (shown, why) in [
        ("(XEN) Command line: a=1", "`a=1`, but `a=1 b` was requested"),
        ("# xen command line: a=1b", "`a=1b`, but `a=1 b` was requested"),
        ("(XEN) Command line: a=1 b c", "`a=1 b c`, but `a=1 b` was requested"),
        ("(XEN) Command line: b a=1", "`b a=1`, but `a=1 b` was requested"),
        ("Command line: a=1 b", "did not print its command line; `a=1 b` was requested"),
        ("  # xen command line: a=1 c", "`a=1 c`, but `a=1 b` was requested"),
    ] {
        let (status, reasons) = demand(shown);
        assert_eq!(status, Status::Error, "{shown}");
        assert!(reasons.contains(why), "{shown}: {reasons}");
    }
    // Two ways to show it, one error.
    let (_, reasons) = demand("(XEN) Command line: a\n# xen command line: a");
    assert_eq!(reasons, "Xen's command line is `a`, but `a=1 b` was requested");
}

#[test]
fn options_that_xen_refuses_are_errors_in_its_words() {
    let refusal = "# xen refuses: parameter \"b\" unknown!";
    let (status, reasons) = demand(&format!("(XEN) Command line: a=1 b\n{refusal}"));
    assert_eq!(status, Status::Error);
    assert_eq!(reasons, "Xen refuses an option of its command line: parameter \"b\" unknown!");
}

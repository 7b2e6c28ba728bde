//! What the guest says, and how it breaks its protocol.

use super::*;

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

/// The cases that were told of, with what was said of them.
fn told(judgement: &Judgement) -> Vec<(&str, &Verdict)> {
    let cases = judgement.settled.iter().flat_map(|report| &report.cases);
    let ended_in = judgement.ended_in.as_ref().map(|place| &place.case);
    let told = cases.filter(|case| ended_in != Some(&case.name));
    told.map(|case| (case.name.as_str(), &case.verdict)).collect()
}

/// Half of `ok 2 other # SKIP not privileged` would be a success.
#[test]
fn a_result_that_is_cut_off_is_none() {
    let whole = judge(GOOD);
    for cut in 0..GOOD.len() {
        let console = &GOOD[..cut];
        let got = judge_as("PV 64bit", three(), console.as_bytes(), End::ToolDied("q".into()));
        let lines = console.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let results = lines.filter(|line| line.starts_with("  ok") || line.starts_with("  not ok"));
        assert_eq!(told(&got), told(&whole)[..results.count()], "{cut}");
    }
}

/// Nothing can be cut off from the last line that would make it another one.
#[test]
fn the_last_line_needs_no_end() {
    let console = &GOOD[..GOOD.find("FAILURE").unwrap() + "FAILURE".len()];
    assert_eq!(statuses(&judge(console)), statuses(&judge(GOOD)));
}

#[test]
fn a_case_that_the_image_does_not_have_is_no_success() {
    for (from, to, verdict) in [
        ("ok 1 hello", "ok 1 hullo", Verdict::Error("the image has no case of this name".into())),
        ("ok 2 list/b", "ok 2 list/x", Verdict::Failure),
    ] {
        let got = judge(&GOOD.replace(from, to));
        let name = to.split(' ').next_back().unwrap();
        assert!(told(&got).contains(&(name, &verdict)), "{got:?}");
    }
}

/// Each edit of the good console breaks one rule; the reason must name it.
/// It is long because its table is.
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
        (
            "\nok 3 needy # SKIP",
            "\nok 3 nobody # SKIP",
            "needy",
            "`nobody` was reported but not selected",
        ),
        ("  1..2\r\n", "  1..2\r\n  KTAP version 1\r\n", "example", "KTAP header inside"),
        ("  KTAP version 1\r\n", "  KTAP version 1\n  KTAP version 1\n", "args", "header inside"),
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
        let told = report.reasons.iter().any(|reason| reason.contains(why));
        assert!(told, "{from} -> {to}: {report:?}");
        assert!(got.rerun.is_empty(), "{from} -> {to}");
        // What was planned stays so, whatever numbers the guest uses.
        let names: Vec<&str> = got.settled.iter().map(|report| report.name.as_str()).collect();
        assert_eq!(names, ["example", "args", "needy"], "{from} -> {to}");
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
fn what_is_told_behind_the_last_case_is_the_tests() {
    let got = judge(&GOOD.replacen("\nok 1 example", "\n# a last word\r\nok 1 example", 1));
    assert_eq!(report(&got, "example").diagnostics, ["a last word"]);
    assert!(report(&got, "args").diagnostics.is_empty());
}

#[test]
fn a_test_whose_cases_were_all_skipped_says_so() {
    let why = "\nok 1 example # SKIP every case was skipped\r";
    let console = GOOD.replacen("  ok 1 hello\r", "  ok 1 hello # SKIP no x\r", 1);
    let got = judge(&console.replacen("\nok 1 example\r", why, 1));
    let example = report(&got, "example");
    assert_eq!(example.status, Status::Skip);
    assert_eq!(example.reasons, ["every case was skipped"]);
}

#[test]
fn the_build_id_is_the_one_before_the_tests() {
    let build_id = |console: String| {
        let mut judge = Judge::new("PV 64bit", three());
        judge.feed(console.as_bytes(), Duration::ZERO, |_| {});
        judge.build_id().map(str::to_owned)
    };
    let before = |line: &str| GOOD.replacen("\n1..3", &format!("\n# build-id: {line}\n1..3"), 1);
    assert_eq!(build_id(before("00ff")).as_deref(), Some("00ff"));
    assert_eq!(build_id(before("not available (EPERM)")), None);
    assert_eq!(build_id(GOOD.replacen("\n1..3", "\n1..3\n# build-id: 00ff", 1)), None);
}

#[test]
fn xens_version_is_heard_before_the_tests() {
    let text = GOOD.replacen("1..", "# xen: 4.17.7-pre (x)\n1..", 1);
    assert_eq!(judge(&text).version.as_deref(), Some("4.17.7-pre"));
}

/// Numbers that no line can have, in plans that no run can have.
#[test]
fn absurd_numbers_are_violations() {
    const ABSURD: &str = "18446744073709551615";
    let plan = GOOD.replacen("\n1..3", &format!("\n1..{ABSURD}"), 1);
    let test = plan.replacen("\nok 1 example", &format!("\nok {ABSURD} example"), 1);
    let plan = GOOD.replacen("  1..3", &format!("  1..{ABSURD}"), 1);
    let case = plan.replacen("  ok 1 list/a", &format!("  ok {ABSURD} list/a"), 1);
    for (console, name) in [(test, "example"), (case, "args")] {
        assert!(console.matches(ABSURD).count() == 2, "{console}");
        let mut hearing = Judge::hearing(None, Catalogue::default());
        hearing.feed(console.as_bytes(), Duration::ZERO, |_| {});
        let heard = hearing.finish(End::Exited, Duration::ZERO, |_| {});
        for got in [judge(&console), heard] {
            let reasons = report(&got, name).reasons.join("; ");
            assert!(reasons.contains(&format!("number {ABSURD} instead of 1")), "{reasons}");
        }
    }
}

/// Nobody wants to read more of them, and each is in every report.
#[test]
fn violations_are_not_collected_without_end() {
    let surplus = "  # Subtest: nobody\n  ok 1 x\n".repeat(100);
    let console = GOOD.replacen("  KTAP", &format!("{surplus}  KTAP"), 1);
    let mut judge = Judge::new("PV 64bit", three()).demand_options("console=com1");
    for number in 0..100 {
        let lines = format!("(XEN) Command line: {number}\nok 1 example\n");
        judge.feed(lines.as_bytes(), Duration::ZERO, |_| {});
    }
    judge.feed(console.as_bytes(), Duration::ZERO, |_| {});
    let got = judge.finish(End::Exited, Duration::ZERO, |_| {});
    for report in &got.settled {
        assert!((1..=4 * MAX_VIOLATIONS).contains(&report.reasons.len()), "{report:?}");
    }
    // Those of the protocol leave room for what is wrong with the command line.
    let needy = report(&got, "needy");
    let about = needy.reasons.iter().filter(|why| why.contains("Xen's command line is"));
    assert!(about.count() >= MAX_VIOLATIONS, "{needy:?}");
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

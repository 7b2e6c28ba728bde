//! How boots end, and who is to blame.

use super::*;

#[test]
fn xen_panics_in_a_test() {
    let log = include_bytes!("../../../tests/fixtures/xen-panic.log");
    let got = judge_as("PV 64bit", three(), log, End::XenDied);
    let args = report(&got, "args");
    assert_eq!(args.status, Status::Crash);
    let why = "Xen panicked: FATAL TRAP: vector = 6 (invalid opcode)";
    assert_eq!((ended_in(&got), args.told()), ("list/b", vec![why.into()]));
    assert!(args.reasons.is_empty(), "the case says it: {args:?}");
    let [_, case] = &args.cases[..] else { panic!("{:?}", args.cases) };
    assert_eq!((case.name.as_str(), &case.verdict), ("list/b", &Verdict::Crash(why.into())));
    assert_eq!(case.diagnostics, ["step: upload"]);
    assert_eq!(args.not_run, ["get/c"]);
    assert!(args.last_words(case).any(|line| line.contains("RIP:")));
    assert_eq!(args.last_words(&args.cases[0]).count(), 0);
    assert!(args.xen_words[0].contains("----[ Xen-4.17"), "{:?}", args.xen_words);
    assert_eq!(report(&got, "example").status, Status::Success);
    assert_eq!(got.rerun, ["needy"]);
}

/// The case in which a boot ended.
fn ended_in(judgement: &Judgement) -> &str {
    judgement.ended_in.as_ref().map_or("", |place| &place.case)
}

/// Xen's lines with this behind `(XEN) `.
fn stamped(log: &str, stamp: &str) -> String {
    log.replace("(XEN) ", &format!("(XEN) {stamp}"))
}

#[test]
fn the_time_in_front_of_xens_words_loses_nothing() {
    let log = include_str!("../../../tests/fixtures/xen-panic.log");
    for stamp in [
        "[2026-01-02 03:04:05] ",
        "[2026-01-02 03:04:05.678] ",
        "[    2.354000] ",
        "[000000012f4c9f04] ",
    ] {
        let console = stamped(log, stamp);
        let got = judge_as("PV 64bit", three(), console.as_bytes(), End::XenDied);
        let args = report(&got, "args");
        assert_eq!(args.told(), ["Xen panicked: FATAL TRAP: vector = 6 (invalid opcode)"]);
        let dump = format!("(XEN) {stamp}----[ Xen-4.17.7  x86_64  debug=n  Not tainted ]----");
        assert_eq!(args.xen_words[0], dump);
    }
}

/// What the judge makes of Xen's last lines after a case of `args`.
fn last_lines(lines: &str) -> TestReport {
    let log = include_str!("../../../tests/fixtures/xen-panic.log");
    let console = log[..log.find("(XEN) ----").unwrap()].to_owned() + lines;
    let got = judge_as("PV 64bit", three(), console.as_bytes(), End::Exited);
    report(&got, "args").clone()
}

#[test]
fn another_cpu_between_a_panic_and_its_reason() {
    let panic = "(XEN) Panic on CPU 0:\n";
    for between in [
        "(XEN) rax: 0000000000000000   rbx: 0000000000000000   rcx: 0000000000000000\n",
        "(XEN) r8:  0000000000000000   r9:  0000000000000000   r10: 0000000000000000\n",
        "(XEN) CPU:    1\n",
        "(XEN) RFLAGS: 0000000000010246   CONTEXT: hypervisor\n",
        "(XEN)    ffff82d040588f18 ffff82d040588f18 0000000000000001 ffff8300071c7e20\n",
        "(XEN)    [<ffff82d040322a8e>] S smp_send_call_function_mask+0xe/0x40\n",
        "(XEN)  L4[0x000] = 0000000006b48067 0000000000000348\n",
        "(XEN) ----[ Xen-4.17.7  x86_64  debug=n  Not tainted ]----\n",
        "(XEN) Xen code around <ffff82d04032c6f2> (arch/x86/time.c#time_calibration+0x42/0xd0):\n",
        "(XEN)  00 00 00 0f 1f 00 f3 90 <8b> 11 39 d0 75 f8 f6 05 59 f1 13 00 01 74 6f f0\n",
        "(XEN)  -- -- -- -- -- -- -- -- <--> -- -- -- -- -- -- -- -- -- -- -- -- -- -- --\n",
        "(XEN) Xen stack trace from rsp=ffff8300071c7da8:\n",
        "(XEN) Panic on CPU 1:\n",
        "(XEN) \n",
        "  # the guest speaks\n",
    ] {
        let args = last_lines(&format!("{panic}{between}(XEN) IO-APIC: lost\n"));
        assert_eq!(args.told(), ["Xen panicked: IO-APIC: lost"], "{between}");
    }
}

#[test]
fn what_is_cut_off_is_said_to_be() {
    let rip = "(XEN) RIP:    e008:[<ffff82d04020d0b4>] livepatch_op+0x1a4/0x1810\n";
    let rax = "(XEN) rax: 0000000000000000   rbx: 0000000000000000   rcx: 0000000000000000\n";
    let reason = |lines: &str| last_lines(lines).told().join("; ");
    let place = "livepatch_op+0x1a4/0x1810";
    for last in ["", "(XEN)", "(XEN) cr", "(XEN)    ffff82d0", "(XEN) Xen call tr", "(XEN)    [<ff"]
    {
        assert_eq!(
            reason(&format!("{rip}{rax}{last}")),
            format!("Xen: its register dump is cut off in {place}"),
            "{last}"
        );
    }
    assert_eq!(
        reason(&format!("{rip}{rax}(XEN) Panic on CPU 0:\n(XE")),
        format!("Xen panicked in {place}: its reason is cut off")
    );
    assert_eq!(reason("(XEN) Panic on CPU 0:\n"), "Xen panicked: its reason is cut off");
    // A dump for the asking, and one of a guest.
    assert!(reason(&format!("{rip}{rax}(XEN) more words\n")).contains("without a message"));
    let guest = rip.replace("e008", "e033");
    assert!(reason(&format!("{guest}{rax}")).contains("without a message"));
}

#[test]
fn a_guest_that_xen_interrupts_is_no_violation() {
    let interrupted = GOOD.replacen("ok 1 list/a", "ok 1 li(XEN) some words\r\nst/a", 1);
    assert_eq!(statuses(&judge(&interrupted)), statuses(&judge(GOOD)));
    assert_eq!(report(&judge(&interrupted), "args").reasons, report(&judge(GOOD), "args").reasons);
    // What never became a line is not judged.
    let args = last_lines("  ok 2 lis(XEN) Panic on CPU 0:\n(XEN) FATAL PAGE FAULT\n");
    assert_eq!(
        (args.told().join("; "), args.cases.len()),
        ("Xen panicked: FATAL PAGE FAULT".into(), 2)
    );
}

#[test]
fn vitals_follow_a_panic() {
    let log = include_str!("../../../tests/fixtures/xen-panic.log");
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
    let log = include_bytes!("../../../tests/fixtures/guest-panic.log");
    let got = judge_as("PVH 64bit", three(), log, End::Exited);
    let args = report(&got, "args");
    assert_eq!(args.status, Status::Error);
    let why = "the guest stopped: PANIC tests/src/args.rs:12: index out of bounds";
    assert_eq!((ended_in(&got), &args.cases[1].verdict), ("list/b", &Verdict::Error(why.into())));
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
    assert!(report(&got, "args").told()[0].contains("before the test ended"));
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
    assert_eq!(report(&got, "args").told(), ["QEMU died"]);
    assert_eq!(report(&got, "args").not_run, ["list/b", "get/c"]);
    assert_eq!(got.rerun, ["needy"]);
}

#[test]
fn an_interrupted_boot_settles_only_what_was_reported() {
    let half = GOOD.split("  ok 1 list/a").next().unwrap();
    let got = judge_as("PV 64bit", three(), half.as_bytes(), End::Interrupted);
    assert_eq!(statuses(&got), [("example", Status::Success)]);
    assert!(got.rerun.is_empty());
}

/// However much of it comes at once with the last result.
#[test]
fn a_flood_is_one_in_any_cut_of_its_bytes() {
    let head = GOOD.split_inclusive("ok 1 list/a\r\n").next().unwrap();
    let flood = "(XEN) some words\n".repeat(GUEST_FLOOD_LIMIT as usize / 16);
    let console = [head, &flood].concat();
    for size in [console.len(), 4096] {
        let mut judge = Judge::new("PV 64bit", three());
        let pieces = console.as_bytes().chunks(size);
        pieces.for_each(|piece| judge.feed(piece, Duration::ZERO, |_| {}));
        let got = judge.finish(End::TimedOut("late".into()), Duration::ZERO, |_| {});
        assert_eq!(report(&got, "args").status, Status::Crash, "{size}");
    }
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
    assert!(
        first.reasons.len() <= MAX_VIOLATIONS + 1 && first.diagnostics.len() <= MAX_DIAGNOSTICS
    );
}

/// A test of which two boots ended, and what a third one says of its rest.
#[test]
fn what_further_boots_say_is_added() {
    let log = include_bytes!("../../../tests/fixtures/xen-panic.log");
    let mut whole = report(&judge_as("PV 64bit", three(), log, End::XenDied), "args").clone();
    let rest = |cases: &[&str], body: &str, end: End| {
        let head = GOOD.split("  KTAP").next().unwrap().replace("1..3", "1..1");
        let count = cases.len();
        let console = format!("{head}  KTAP version 1\n  # Subtest: args\n  1..{count}\n{body}");
        let got = judge_as("PV 64bit", expected(&[("args", cases)]), console.as_bytes(), end);
        report(&got, "args").clone()
    };
    whole.not_run.push("get/d".into());
    let trap = "# TRAP here\n# backtrace: 0x10\n";
    whole.go_on(4, "list/b", rest(&["get/c", "get/d"], trap, End::Exited));
    assert_eq!(whole.not_run, ["get/d"]);
    let good = "  ok 1 get/d\nok 1 args\nTest result: SUCCESS\n";
    whole.go_on(5, "get/c", rest(&["get/d"], good, End::Exited));

    let words = |case: &str| {
        let case = whole.cases.iter().find(|other| other.name == case).unwrap();
        whole.last_words(case).collect::<Vec<_>>().join("\n")
    };
    let names: Vec<&str> = whole.cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names, ["list/a", "list/b", "get/c", "get/d"]);
    assert_eq!((whole.status, whole.cause), (Status::Crash, Some(Cause::Xen)));
    assert!(whole.not_run.is_empty() && whole.reasons.is_empty(), "{whole:?}");
    assert!(words("list/b").contains("RIP:") && !words("list/b").contains("TRAP here"));
    assert_eq!(words("get/c"), "TRAP here");
    assert_eq!((whole.went_on[0].boot, whole.went_on[0].backtrace.clone()), (4, vec![0x10]));
    assert_eq!((whole.went_on[1].boot, whole.went_on[1].behind.as_str()), (5, "get/c"));
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
    assert!(first.told().iter().any(|why| why.contains(reason)), "{:?}", first.told());
}

#[test]
fn even_xen_has_an_end() {
    let mut judge = until_a_case();
    judge.bytes = FLOOD_LIMIT;
    assert!(!judge.is_flooded());
    judge.feed(b"(", Duration::ZERO, |_| {});
    assert!(judge.is_flooded());
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

/// A Xen that is dying, and says so without a panic, took the time; so it did the guest's life.
#[test]
fn a_dying_xen_comes_before_time_and_guest() {
    let lines = "(XEN) *** DOUBLE FAULT ***\n# PANIC x\n";
    let console = GOOD.replacen("  # expected EINVAL", &format!("{lines}  # expected EINVAL"), 1);
    let console = &console[..console.find("  # expected").unwrap()];
    let got = judge_as("PV 64bit", three(), console.as_bytes(), End::TimedOut("t".into()));
    assert_eq!(report(&got, "args").told(), ["Xen: *** DOUBLE FAULT ***"]);
    assert_eq!((report(&got, "args").status, got.ended_by), (Status::Crash, Some(Cause::Xen)));
}

/// The case under way has the verdict that the end has.
#[test]
fn the_end_is_the_verdict_on_the_case_under_way() {
    let console = &GOOD[..GOOD.find("  # expected").unwrap()];
    for (end, verdict) in [
        (End::TimedOut("late".into()), Verdict::Timeout("late".into())),
        (End::ToolDied("q".into()), Verdict::Error("q".into())),
        (End::XenDied, Verdict::Crash("Xen died".into())),
    ] {
        let got = judge_as("PV 64bit", three(), console.as_bytes(), end);
        let args = report(&got, "args");
        assert_eq!(args.cases.last().unwrap().verdict, verdict);
        assert_eq!(args.status, verdict.status());
    }
}

#[test]
fn a_test_takes_as_long_as_all_its_boots() {
    let report = |seconds| TestReport {
        elapsed: Duration::from_secs(seconds),
        ..TestReport::new("a", Status::Crash)
    };
    let mut whole = report(5);
    whole.go_on(2, "x", report(3));
    assert_eq!(whole.elapsed, Duration::from_secs(8));
}

/// What ended its first boot, unless there was nothing, or a tool failed later.
#[test]
fn what_went_on_has_the_cause_that_counts() {
    use Cause::{Qemu, Time, Xen};
    for (first, later, counts) in [
        (None, Some(Xen), Some(Xen)),
        (Some(Xen), None, Some(Xen)),
        (Some(Xen), Some(Time), Some(Xen)),
        (Some(Xen), Some(Qemu), Some(Qemu)),
        (None, None, None),
    ] {
        let report = |cause| TestReport { cause, ..TestReport::new("a", Status::Crash) };
        let mut whole = report(first);
        whole.go_on(2, "x", report(later));
        assert_eq!(whole.cause, counts, "{first:?}, then {later:?}");
    }
}

/// Only a boot of ours has firmware that is listened to, and only until the guest speaks.
#[test]
fn firmware_is_heard_before_the_guest_of_our_own_boots() {
    let gives_up = |judge: Judge, before: &str| {
        let mut judge = judge;
        judge.feed(format!("{before}{GRUB_GIVES_UP}\n").as_bytes(), Duration::ZERO, |_| {});
        judge.not_booted().is_some()
    };
    let ours = || Judge::new("PV 64bit", three()).demand_options("console=com1");
    assert!(gives_up(ours(), ""));
    assert!(!gives_up(ours(), "--- Xen Test Framework ---\n"));
    assert!(!gives_up(Judge::new("PV 64bit", three()), ""));
    assert!(!gives_up(Judge::hearing(None, Catalogue::default()), ""));
}

#[test]
fn a_boot_that_cannot_be_skips_each_test_and_says_why() {
    let got = Judge::new("PV 64bit", three()).skip("no PV");
    assert_eq!(got.settled.len(), 3);
    let is_right = |report: &TestReport| {
        report.status == Status::Skip && report.reasons == ["no PV"] && report.not_run.is_empty()
    };
    assert!(got.settled.iter().all(is_right), "{got:?}");
}

/// As many lines as are kept of a case, of a panic, and addresses of its backtrace; not one more.
#[test]
fn what_is_kept_of_a_talkative_guest_has_its_bound() {
    let many = 2 * MAX_DIAGNOSTICS;
    let lines = "  # again\r\n".repeat(many);
    let got = judge(&GOOD.replacen("  ok 1 hello", &format!("{lines}  ok 1 hello"), 1));
    assert_eq!(report(&got, "example").cases[0].diagnostics.len(), MAX_DIAGNOSTICS);
    let panic = format!("# PANIC x\n# backtrace:{}\n{lines}", " 0x10".repeat(many));
    let console = GOOD[..GOOD.find("  ok 1 hello").unwrap()].to_owned() + &panic;
    let got = judge(&console);
    let example = report(&got, "example");
    assert_eq!(
        (example.diagnostics.len(), example.backtrace.len()),
        (MAX_DIAGNOSTICS, MAX_DIAGNOSTICS)
    );
}

/// A guest that talks between the results of its plan is no flood; one that goes on behind them is.
#[test]
fn only_results_of_the_plan_end_the_counting() {
    let chatter = "  # again and again\r\n".repeat(GUEST_FLOOD_LIMIT as usize * 3 / 4 / 21);
    let is_flooded = |before: &str, between: &str| {
        let mut judge = Judge::new("PV 64bit", three());
        for text in [before, &chatter, between, &chatter] {
            judge.feed(text.as_bytes(), Duration::ZERO, |_| {});
        }
        judge.is_flooded()
    };
    let head = &GOOD[..GOOD.find("  ok 1 hello").unwrap()];
    assert!(!is_flooded(head, "  ok 1 hello\r\n"));
    assert!(is_flooded(head, "  x\r\n"));
    let all = format!("{head}  ok 1 hello\r\n  ok 2 other\r\n");
    assert!(is_flooded(&all, "  ok 3 more\r\n"));
    let without_plan = head.replacen("  1..2\r\n", "", 1);
    assert!(is_flooded(&without_plan, "  ok 1 hello\r\n"));
}

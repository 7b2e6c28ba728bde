//! What holds of any console, in any cut of its bytes.

use std::collections::BTreeMap;

use livepatch::program::Rng;

use super::super::recording::{Heard, Recording};
use super::*;
use crate::fuzzing::{Target, grows_like_its_input, peak_of, seed_of};

const NOW: Duration = Duration::from_millis(1);
const CMDLINE: &str = "console=com1 loglvl=all";

/// Words of the guest's, of Xen's, and of those in front of them.
const WORDS: &[&str] = &[
    "(XEN) ",
    "(d0) ",
    "(d1v0) ",
    "[    1.000000] ",
    "--- Xen Test Framework ---\n",
    "Environment: PV 64bit (Long mode 4 levels)\n",
    "KTAP version 1\n",
    "  KTAP version 1\n",
    "1..3\n",
    "1..18446744073709551615\n",
    "  1..3\n",
    "  1..18446744073709551615\n",
    "  # Subtest: args\n",
    "  # Subtest: example\n",
    "  # Subtest: x\n",
    "  ok 1 list/a\n",
    "  not ok 2 list/b\n",
    "  ok 18446744073709551615 get/c\n",
    "# each test tells its totals\n",
    "  # Totals: pass:1 fail:0 xfail:0 xpass:0 skip:0 error:0\n",
    "ok 1 example\n",
    "not ok 2 args\n",
    "ok 18446744073709551615 needy # SKIP why\n",
    "not ok 3 needy # ERROR why\n",
    " # XFAIL doc-1: why",
    "Test result: SUCCESS\n",
    "Test result: FAILURE\n",
    "# PANIC x\n",
    "# TRAP x\n",
    "# backtrace: 0x100000 0x100010\n",
    "# build-id: 00ff\n",
    "# note: x\n",
    "# changes: +op-flags!\n",
    "# xen: 4.17.7 (x)\n",
    "(XEN) Command line: console=com1\n",
    "(XEN) Xen version 4.17.7 (x)\n",
    "(XEN) Panic on CPU 0:\n",
    "(XEN) ----[ Xen-4.17.7  x86_64 ]----\n",
    "(XEN) Reboot in five seconds...\n",
    "(XEN) Assertion 'x' failed\n",
    "BdsDxe: loading Boot0000 \"UiApp\" from Fv(x)\n",
    "GRUB cannot boot this Xen.\n",
    "\x1b[31m",
    "\r",
];

#[test]
fn fuzz_judge() {
    let logs = recordings::recordings();
    let mut seeds: Vec<Vec<u8>> = logs.iter().map(|log| std::fs::read(log).unwrap()).collect();
    seeds.push(GOOD.into());
    seeds.push(include_bytes!("../../../tests/fixtures/success.log").to_vec());
    seeds.push(include_bytes!("../../../tests/fixtures/guest-panic.log").to_vec());
    Target { name: "judge", run: check, seeds, words: WORDS, longest: 1 << 14, mutants: 200 }
        .test();
}

/// Who listens.
type Make<'m> = &'m dyn Fn() -> Judge;

fn check(console: &[u8]) {
    let mut rng = Rng::new(seed_of(console));
    let planned = || {
        let judge = Judge::new("PV 64bit", three());
        judge.demand_options(CMDLINE).demand_build_id(Some("00ff"))
    };
    let hearing = |tests: Vec<PlannedTest>, is_certain| {
        move || Judge::hearing(None, Catalogue { tests: tests.clone(), is_certain })
    };
    let end = ends()[rng.below(9) as usize].clone();
    check_judge(&planned, console, &end, &mut rng);
    check_judge(&hearing(Vec::new(), false), console, &end, &mut rng);
    check_judge(&hearing(three(), rng.one_in(2)), console, &end, &mut rng);
    check_recording(console, &mut rng);
}

fn ends() -> [End; 9] {
    [
        End::Exited,
        End::Over("x.log".into()),
        End::XenDied,
        End::NotBooted,
        End::TimedOut("no result in 1 s".into()),
        End::Flooded,
        End::ToolDied("QEMU left".into()),
        End::Interrupted,
        End::Enough,
    ]
}

/// Pieces of `bytes`, of random sizes.
fn cut<'b>(mut bytes: &'b [u8], rng: &mut Rng) -> Vec<&'b [u8]> {
    let most = 1 << rng.below(12);
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(bytes.len().min(1 + rng.below(most) as usize));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

/// What was made of a console.
struct Outcome {
    events: Vec<Event>,
    judgement: Judgement,
    /// After how many pieces the guest had spoken its last line.
    pieces: Option<usize>,
}

fn hear(make: Make<'_>, pieces: &[&[u8]], end: &End) -> Outcome {
    let mut judge = make();
    let mut events = Vec::new();
    let mut ended = None;
    let (mut vitals, mut failing) = (Vitals::Alive, false);
    for (number, piece) in pieces.iter().enumerate() {
        judge.feed(piece, NOW, |event| events.push(event));
        assert!(judge.vitals() >= vitals, "Xen is well again");
        assert!(judge.is_failing() >= failing, "a failure is forgotten");
        (vitals, failing) = (judge.vitals(), judge.is_failing());
        assert!(judge.has_result() >= ended.is_some(), "the last line is forgotten");
        if judge.has_result() {
            ended.get_or_insert(number + 1);
        }
    }
    let (flooded, not_booted) = (judge.is_flooded(), judge.not_booted());
    let judgement = judge.finish(end.clone(), NOW, |event| events.push(event));
    // What a boot is stopped for does not depend on the cut either.
    events.push(Event::Xen(format!("{flooded} {not_booted:?} {vitals:?}")));
    Outcome { events, judgement, pieces: ended }
}

fn check_judge(make: Make<'_>, console: &[u8], end: &End, rng: &mut Rng) {
    let (whole, peak) = peak_of(|| hear(make, &[console], end));
    assert!(peak < (8 << 20) + 100 * console.len(), "{peak} bytes for {}", console.len());
    let cuts = hear(make, &cut(console, rng), end);
    assert_eq!(whole.events, cuts.events);
    assert_eq!(format!("{:?}", whole.judgement), format!("{:?}", cuts.judgement));
    check_verdicts(make, &whole, end);

    // By lines, so that it is known where the last one is.
    let lines: Vec<&[u8]> = console.split_inclusive(|&byte| byte == b'\n').collect();
    let ended = hear(make, &lines, end).pieces;
    if let Some(ended) = ended {
        nothing_counts_behind(&hear(make, &lines[..ended], end).judgement, &whole.judgement);
    }
    let all_well = whole.judgement.rerun.is_empty()
        && whole.judgement.settled.iter().all(|report| !report.status.is_bad());
    assert!(!all_well || ended.is_some() || matches!(end, End::Interrupted | End::Enough));
}

/// Each test has a verdict, and one that was told only became worse.
fn check_verdicts(make: Make<'_>, outcome: &Outcome, end: &End) {
    let Judgement { settled, rerun, .. } = &outcome.judgement;
    let by_name: BTreeMap<&str, &TestReport> =
        settled.iter().map(|report| (report.name.as_str(), report)).collect();
    assert_eq!(by_name.len(), settled.len(), "a test has two verdicts");
    assert!(rerun.iter().all(|name| !by_name.contains_key(name.as_str())));
    let stopped = matches!(end, End::Interrupted | End::Enough);
    for test in make().expected {
        assert!(stopped || by_name.contains_key(&*test.name) || rerun.contains(&test.name));
    }
    assert!(stopped || !settled.is_empty(), "nobody is blamed");
    for event in &outcome.events {
        match event {
            Event::TestStarted(name) => {
                assert!(stopped || by_name.contains_key(name.as_str()), "{name} has no verdict");
            }
            Event::TestSettled(told) => {
                let report = by_name[told.name.as_str()];
                assert!(report.status >= told.status && report.cases == told.cases, "{told:?}");
            }
            _ => {}
        }
    }
    for report in settled {
        let cases = report.cases.iter().map(|case| case.verdict.status());
        let worst = cases.filter(|status| status.is_bad()).max();
        assert!(worst.is_none_or(|worst| report.status >= worst), "{report:?}");
    }
}

/// What comes behind the last line makes nothing better, and adds no result.
fn nothing_counts_behind(before: &Judgement, whole: &Judgement) {
    for report in &whole.settled {
        let Some(was) = before.settled.iter().find(|was| was.name == report.name) else {
            panic!("{report:?} came behind the last line");
        };
        assert!(report.status >= was.status, "{was:?} became {report:?}");
        let new = report.cases.iter().filter(|case| !was.cases.contains(case));
        assert!(new.into_iter().all(|case| case.verdict.status().is_bad()), "{report:?}");
    }
    for was in &before.settled {
        let still = whole.settled.iter().any(|report| report.name == was.name);
        assert!(still || was.status.is_bad() && whole.rerun.contains(&was.name), "{was:?}");
    }
}

fn check_recording(console: &[u8], rng: &mut Rng) {
    let take = |pieces: &[&[u8]]| {
        let mut recording = Recording::default();
        let mut heard = Vec::new();
        pieces.iter().for_each(|piece| recording.feed(piece, &mut |what| heard.push(what)));
        recording.finish(&mut |what| heard.push(what));
        heard
    };
    let (whole, peak) = peak_of(|| take(&[console]));
    assert!(peak < (1 << 20) + 100 * console.len(), "{peak} bytes for {}", console.len());
    let cuts = take(&cut(console, rng));
    assert_eq!(format!("{whole:?}"), format!("{cuts:?}"));
    // Nothing is lost in a boot, and no line is heard before one.
    let mut raw = Vec::new();
    let mut boots = 0;
    for what in whole {
        match what {
            Heard::Boot => boots += 1,
            Heard::Line(line) => raw.extend(line.raw),
        }
    }
    assert!(console.ends_with(&raw) && (boots > 0 || raw.is_empty()));
}

/// Each piece comes again and again. No part of the judge may look at all that came before.
#[test]
fn the_judge_takes_as_long_as_its_input() {
    let planned = GOOD.split("  KTAP").next().unwrap();
    // Without a plan, whoever hears it knows of no limit.
    let unplanned = planned.split("1..3").next().unwrap();
    type Piece = fn(usize) -> String;
    let numbered: [(&str, Piece); 12] = [
        ("noise", |_| "some words that are nobody's\n".into()),
        ("a line without an end", |_| "(XEN) some words (d0) [".into()),
        ("prefixes", |n| format!("(d0) [{}", if n % 64 == 63 { "(XEN)\n" } else { "" })),
        ("tests that nobody knows", |n| format!("  # Subtest: test-{n}\n")),
        ("tests without an end", |_| "  KTAP version 1\n  # Subtest: args\n  1..3\n".into()),
        ("results of tests", |n| format!("ok {n} test-{n}\n")),
        ("plans", |n| format!("  # Subtest: test-{n}\n  1..10000\n")),
        ("cases without a plan", |n| match n {
            0 => "  # Subtest: args\n".into(),
            _ => format!("  ok {n} case-{n}\n"),
        }),
        ("cases of an absurd plan", |n| match n {
            0 => "  # Subtest: args\n  1..18446744073709551615\n".into(),
            _ => format!("  ok {n} case-{n}\n"),
        }),
        ("cases of a large plan", |n| match n % 9_000 {
            0 => format!("  # Subtest: test-{n}\n  1..9000\n"),
            _ => format!("  ok {n} case-{n}\n"),
        }),
        ("diagnostics", |n| format!("# {n}\n")),
        ("Xen", |n| format!("(XEN) Command line: {n}\n(XEN) Xen BUG at {n}\n")),
    ];
    for (what, piece) in numbered {
        let judged = |pieces: usize| {
            let console: String = (0..pieces).map(piece).collect();
            let makes: [(&str, Make<'_>); 3] = [
                (planned, &|| Judge::new("PV 64bit", three()).demand_options(CMDLINE)),
                (planned, &|| Judge::hearing(None, Catalogue::default())),
                (unplanned, &|| Judge::hearing(None, Catalogue::default())),
            ];
            for (head, make) in makes {
                let mut judge = make();
                judge.feed(head.as_bytes(), NOW, |_| {});
                judge.feed(console.as_bytes(), NOW, |_| {});
                judge.finish(End::Exited, NOW, |_| {});
            }
            let mut recording = Recording::default();
            recording.feed(console.as_bytes(), &mut |_| {});
            recording.finish(&mut |_| {});
        };
        assert!(grows_like_its_input(1000, judged), "{what}");
        let ((), peak) = peak_of(|| judged(10_000));
        assert!(peak < 64 << 20, "{what}: {peak} bytes");
    }
}

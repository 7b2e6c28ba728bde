//! `judge`: the same verdicts as `run` on consoles that somebody else recorded or streams.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};

use crate::world::{Output, PATIENCE, World, fixture};
use crate::xen_build;

/// Real consoles, and those of the fixtures.
fn consoles() -> Vec<PathBuf> {
    let folders = ["tests/endings", "tests/fixtures"];
    let folders = folders.map(|dir| Path::new(env!("CARGO_MANIFEST_DIR")).join(dir));
    let files = folders.iter().flat_map(|dir| fs::read_dir(dir).unwrap());
    let paths = files.map(|entry| entry.unwrap().path());
    let mut logs: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    logs.sort();
    assert!(logs.len() > 30, "{logs:?}");
    logs
}

/// The tests on a console, each with its cases: those without a name are called by their numbers.
fn tests_on(console: &str) -> Vec<(String, Vec<String>)> {
    let mut tests: Vec<(String, Vec<String>)> = Vec::new();
    let mut planned = 0;
    for line in console.lines().map(str::trim_end) {
        let name = line.split(" # ").next().unwrap();
        let result = name.strip_prefix("  ok ").or(name.strip_prefix("  not ok "));
        let whole = name.strip_prefix("ok ").or(name.strip_prefix("not ok "));
        if let Some(name) = line.strip_prefix("  # Subtest: ") {
            tests.push((name.to_owned(), Vec::new()));
        } else if let Some(count) = line.strip_prefix("  1..") {
            let count: usize = count.parse().unwrap();
            let cases = (1..=count).map(|number| format!("case-{number}"));
            tests.last_mut().unwrap().1 = cases.collect();
        } else if let Some(count) = line.strip_prefix("1..") {
            planned = count.parse().unwrap();
        } else if let Some((number, name)) = result.and_then(|rest| rest.split_once(' ')) {
            tests.last_mut().unwrap().1[number.parse::<usize>().unwrap() - 1] = name.to_owned();
        } else if let Some((_, name)) = whole.and_then(|rest| rest.split_once(' '))
            && tests.iter().all(|(known, _)| known != name)
        {
            tests.push((name.to_owned(), vec!["x".into()]));
        }
    }
    while tests.len() < planned.max(1) {
        tests.push((format!("test-{}", tests.len() + 1), vec!["x".into()]));
    }
    tests
}

/// What an image with these tests says of them.
fn metadata(tests: &[(String, Vec<String>)]) -> String {
    let line = |(name, cases): &(String, Vec<String>)| {
        json!({
            "name": name, "title": "A title", "category": "functional",
            "environments": ["pv64", "pvh64"], "needs": [], "own_boot": false, "vcpus": 1,
            "timeout_s": 300, "default": true, "cases": cases,
        })
        .to_string()
            + "\n"
    };
    tests.iter().map(line).collect()
}

/// What is judged of a test, apart from times and from what further boots of `run` add.
fn verdict(test: &Value) -> Value {
    let cases = test["cases"].as_array().unwrap().iter().map(|case| {
        let mut case = case.clone();
        case["elapsed_s"] = Value::Null;
        case["why"] = why(&case["why"]);
        case
    });
    let reasons = test["reasons"].as_array().into_iter().flatten().map(why);
    let reasons: Vec<Value> = reasons.filter(|why| why != "a further boot").collect();
    let mut verdict = json!({ "cases": cases.collect::<Vec<_>>(), "reasons": reasons });
    for key in ["status", "cause", "diagnostics", "xen_words", "not_run"] {
        verdict[key] = test[key].clone();
    }
    if !test["backtrace"].is_null() {
        verdict["backtrace"] = test["backtrace"].as_array().unwrap().len().into();
    }
    verdict
}

/// A reason. `run` knows that a machine was reset where `judge` cannot know that its console was not
/// cut.
fn why(why: &Value) -> Value {
    let Some(text) = why.as_str() else { return why.clone() };
    match text.find("the machine was reset without a message") {
        Some(at) => {
            let before = text[..at].split(": ").next().filter(|before| !before.contains("ends"));
            format!("{}{}", before.unwrap_or_default(), &text[at..]).into()
        }
        None => text.into(),
    }
}

fn results(world: &World, name: &str) -> Value {
    serde_json::from_slice(&fs::read(world.path(name)).unwrap()).unwrap()
}

/// What the fake QEMU says once the console was printed: that it has nothing to say.
const FURTHER: &str = r#"
    if mkdir "$PIPE.printed" 2>/dev/null; then cat "$LOG"; exit; fi
    names=$(echo "$module" | sed -e 's/.* tests=\([^ ]*\).*/\1/' -e 's/,,/ /g' -e 's,[^ ]*/[^ ]*,,g')
    set -- $names
    grep -h -e '^--- Xen' -e '^(d0) --- Xen' -e '^Environment' "$LOG" ||
        printf '%s\n' '--- Xen Test Framework ---' "Environment: $BANNER"
    printf 'KTAP version 1\n1..%d\n' $#
    for name; do number=$((number + 1)); echo "ok $number $name # SKIP a further boot"; done
    echo "Test result: SKIP"
"#;

/// The one table: every console there is, judged by `judge` as by `run`, with and without an image,
/// and with a time in front of each line.
#[test]
fn judge_says_what_run_says() {
    for log in consoles() {
        let console = String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
        let world = World::new();
        let tests = tests_on(&console);
        world.image("xtf", ".xtf.meta", metadata(&tests).as_bytes());
        let pvh = console.contains("PVH 64bit") || console.contains("Building a PVH Dom0");
        let (env, banner) = if pvh { ("pvh64", "PVH 64bit") } else { ("pv64", "PV 64bit") };
        let path = log.to_str().unwrap();
        let args = ["run", "--env", env, "--snapshot", "never", "--json", "run.json"];
        let mut command = world.command(&args, "script", path);
        command.env("SCRIPT", FURTHER).env("BANNER", banner);
        let run = Output::from(command.output().unwrap());
        let by_run = results(&world, "run.json");

        // The first boot alone: what others say of it is not on this console.
        let planned = by_run["tests"].as_array().unwrap();
        let first: Vec<&Value> = planned.iter().filter(|test| test["boot"] == 1).collect();
        let mut stamped = Vec::new();
        for (number, line) in fs::read(&log).unwrap().split_inclusive(|&b| b == b'\n').enumerate() {
            stamped.extend(format!("[Sun Nov 29 07:16:{:02} 2026] ", number % 60).bytes());
            stamped.extend(line);
        }
        fs::write(world.path("stamped"), stamped).unwrap();
        for (console, more) in [
            (path, &["--image", "xtf"][..]),
            ("stamped", &["--image", "xtf"]),
            (path, &["--no-image"]),
        ] {
            let args =
                [&["judge", console, "--xen", "fake", "--json", "judge.json"], more].concat();
            let out = world.run_plain(&args);
            assert_eq!(out.code, run.code, "{path} {more:?}: {run:?} {out:?}");
            let judged = results(&world, "judge.json");
            assert_eq!(judged["boots"][0]["environment"], env, "{path}");
            let heard = judged["tests"].as_array().unwrap();
            assert_eq!(heard.len(), first.len(), "{path}: {judged:#}");
            for (test, theirs) in heard.iter().zip(&first) {
                let (mut mine, mut theirs) = (verdict(test), verdict(theirs));
                let is_named = !test["test"].as_str().unwrap().contains(' ');
                for verdict in [&mut mine, &mut theirs] {
                    if !is_named {
                        verdict["not_run"] = Value::Null;
                    }
                    if more == ["--no-image"] {
                        // What nobody named is called by its number.
                        without_names(verdict);
                    }
                }
                assert_eq!(mine, theirs, "{path} {more:?}");
            }
            let missing = judged["not_run"].as_array().unwrap().len();
            assert_eq!(missing, planned.len() - first.len(), "{path}: {judged:#}");
        }
    }
}

/// Takes away the names of the cases that had no result.
fn without_names(verdict: &mut Value) {
    let count = verdict["not_run"].as_array().map_or(0, Vec::len);
    verdict["not_run"] = count.into();
    let cases = verdict["cases"].as_array_mut().unwrap();
    for case in cases {
        let name = case["name"].as_str().unwrap();
        if name.contains(' ') || ["CRASH", "ERROR"].contains(&case["verdict"].as_str().unwrap()) {
            case["name"] = Value::Null;
        }
    }
}

#[test]
fn every_report_and_expectation_is_as_for_run() {
    let world = World::new();
    world.file(
        "known.toml",
        "[[expect]]\nxen = 'box'\ntest = 'args/list/b'\nstatus = 'FAILURE'\nreason = 'an old bug'\n",
    );
    let log = fixture("good.log");
    let args = [
        "judge",
        log.to_str().unwrap(),
        "--xen",
        "box",
        "--image",
        "xtf",
        "--expect",
        "known.toml",
        "--json",
        "-",
        "--junit",
        "r.xml",
        "--ktap",
        "r.ktap",
        "--html",
        "r.html",
    ];
    let out = world.run_plain(&args);
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stderr.contains("~ list/b: known FAILURE, an old bug"), "{out:?}");
    let json: Value = serde_json::from_str(&out.stdout).unwrap();
    assert_eq!((&json["complete"], &json["boots"][0]["version"]), (&true.into(), &"4.17.7".into()));
    assert_eq!(json["boots"][0]["tests"], json!(["example", "args", "needy"]));
    assert_eq!(json["boots"][0]["boot_s"], Value::Null, "nobody knows the time: {json:#}");
    let file = |name| fs::read_to_string(world.path(name)).unwrap();
    assert!(file("r.xml").contains("<testsuite name=\"box/pv64\""));
    assert!(file("r.ktap").contains("ok 1 example"));
    assert!(file("r.html").contains("an old bug"));
    let dir = world.boot_dir("001-good.log");
    assert_eq!(fs::read(dir.join("console.log")).unwrap(), fs::read(log).unwrap());
    assert!(!fs::read_to_string(dir.join("guest.log")).unwrap().contains("(XEN)"));
}

#[test]
fn each_boot_of_a_log_counts() {
    let world = World::new();
    let [good, success, panic] = ["good.log", "success.log", "xen-panic.log"]
        .map(|name| fs::read_to_string(fixture(name)).unwrap());
    let pvh = success.replace("PV 64bit", "PVH 64bit");
    let linux = "(XEN) Xen version 4.17.7 (x)\n[    0.000000] Linux version 6.1.0\nlogin:\n";
    let half = &success[..success.find("  ok 1 list/a").unwrap()];
    world.file(
        "night.log",
        &format!("POST\n{good}GRUB\n{linux}{success}{pvh}{panic}{half}{success}"),
    );
    let out = world.run_plain(&["judge", "night.log", "--no-image", "--json", "r.json"]);
    assert_eq!(out.code, 6, "{out:?}");
    assert!(
        out.stderr.contains("boot 2 of night.log is not judged: Linux starts in it"),
        "{out:?}"
    );
    let json = results(&world, "r.json");
    let boots: Vec<(&Value, &Value)> = json["boots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|boot| (&boot["number"], &boot["xen"]))
        .collect();
    let label = |number: usize| format!("4.17.7 boot {number}");
    let want = [
        (1, "4.17.7".into()),
        (3, label(3)),
        (4, "4.17.7".into()),
        (5, label(5)),
        (6, label(6)),
        (7, label(7)),
    ];
    let want = want.map(|(number, xen)| (Value::from(number), Value::from(xen)));
    assert_eq!(boots, want.iter().map(|(number, xen)| (number, xen)).collect::<Vec<_>>());
    let status = |xen: &str, env: &str, test: &str| {
        let tests = json["tests"].as_array().unwrap().iter();
        let mut found = tests.filter(|unit| {
            unit["xen"] == xen && unit["environment"] == env && unit["test"] == test
        });
        let status = found.next().unwrap_or_else(|| panic!("{xen} {env} {test}"))["status"].clone();
        assert!(found.next().is_none(), "{xen} {env} {test} twice");
        status
    };
    assert_eq!(status("4.17.7", "pv64", "args"), "FAILURE");
    assert_eq!(status(&label(3), "pv64", "args"), "SUCCESS");
    assert_eq!(status("4.17.7", "pvh64", "args"), "SUCCESS");
    assert_eq!(status(&label(5), "pv64", "args"), "CRASH");
    assert_eq!(status(&label(6), "pv64", "args"), "CRASH");
    assert_eq!(status(&label(7), "pv64", "args"), "SUCCESS");
    // A boot that another one follows was reset; a recording that just ends may have been cut.
    let reset = "the machine was reset without a message from Xen";
    assert!(out.stdout.contains(&format!("case 1 of 3: {reset}")), "{out:?}");
    world.file("cut.log", half);
    let out = world.run_plain(&["judge", "cut.log", "--no-image"]);
    assert_eq!(out.code, 6, "{out:?}");
    assert!(
        out.stdout.contains(&format!("case 1 of 3: cut.log ends: it was cut, or {reset}")),
        "{out:?}"
    );
}

#[test]
fn what_is_no_console_is_refused() {
    let world = World::new();
    for (name, text, why) in [
        ("empty", "", "empty is empty"),
        (
            "text",
            "TAP version 13\n1..1\nok 1 a\n",
            "text is no console of the tests: none of its 3 lines",
        ),
        (
            "linux",
            "(XEN) Xen version 4.17.7 (x)\nLinux version 6.1\n",
            "linux holds 1 boot, and none of the tests",
        ),
    ] {
        world.file(name, text);
        let out = world.run_plain(&["judge", name, "--no-image", "--json", "r.json"]);
        assert_eq!(out.code, 65, "{out:?}");
        assert!(out.stderr.contains(&format!("error: {why}")), "{out:?}");
        let json = results(&world, "r.json");
        assert_eq!(json["complete"], false);
        assert!(json["incomplete_because"].as_str().unwrap().contains(why), "{json:#}");
    }
    for (args, code, why) in [
        (&["judge", "gone.log"][..], 74, "cannot open gone.log"),
        (&["judge", "."], 74, "cannot read .: "),
        (&["judge", "-", "--image", "gone"], 65, "there is no image at gone"),
        (&["judge", "-", "--retries", "1"], 64, "do not apply to `judge`"),
        (&["judge"], 64, "<FILE|->"),
    ] {
        let out = world.run_plain(args);
        assert_eq!(out.code, code, "{args:?} {out:?}");
        assert!(out.stderr.contains(why), "{args:?} {out:?}");
    }
}

#[test]
fn what_was_not_understood_is_told_with_its_line() {
    let world = World::new();
    let log = fs::read_to_string(fixture("success.log")).unwrap();
    let judge = |from: &str, to: &str| {
        let damaged = log.replacen(from, to, 1);
        assert_ne!(damaged, log, "{from}");
        world.file("lab.log", &damaged);
        let out = world.run_plain(&["judge", "lab.log", "--no-image", "--json", "r.json"]);
        (out, results(&world, "r.json")["boots"][0]["notes"].to_string())
    };
    // The result is there once more: a remark is enough.
    let (out, notes) = judge("  ok 2 list/b", "  ok 2 li\r\n  ok 2 list/b");
    assert_eq!(out.code, 4, "{out:?}");
    let (out, notes_of_half) = judge("  ok 2 list/b", "  k 2 li\r\n  ok 2 list/b");
    assert_eq!(out.code, 0, "{out:?}");
    assert!(
        notes_of_half.contains("1 line of lab.log not understood: line 22 `k 2 li`"),
        "{notes_of_half}"
    );
    assert!(out.stdout.contains("NOTE Xen 4.17.7: 1 line of lab.log not understood"), "{out:?}");
    assert_eq!(notes, "null");
    // It is lost: no success without it.
    let (out, notes) = judge("  ok 2 list/b", "  k 2 list/b");
    assert_eq!(out.code, 4, "{out:?}");
    assert!(out.stdout.contains("2 of 3 planned cases were reported"), "{out:?}");
    assert!(notes.contains("line 22 `k 2 list/b`"), "{notes}");
    let (out, _) = judge("Test result: SUCCESS", "Tst result: SUCCESS");
    assert_eq!(out.code, 6, "{out:?}");
    // A line without the time that all others have.
    let stamped: String = log.lines().map(|line| format!("7.5: {line}\n")).collect();
    world.file("lab.log", &stamped.replacen("7.5:   1..2", ".5:   1..2", 1));
    let out = world.run_plain(&["judge", "lab.log", "--no-image"]);
    assert_eq!(out.code, 4, "{out:?}");
    let why = "1 line of lab.log not understood: line 13 `.5:   1..2`";
    assert!(out.stdout.contains(why), "{out:?}");
}

#[test]
fn a_terminal_is_no_console() {
    let world = World::new();
    let pty = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&pty).unwrap();
    unlockpt(&pty).unwrap();
    let name = ptsname(&pty, Vec::new()).unwrap().into_string().unwrap();
    let terminal = File::options().read(true).write(true).open(name).unwrap();
    let mut command = world.command(&["judge", "-"], "print", "good.log");
    let (judge, _watchdog) = watched(command.stdin(terminal));
    let out = Output::from(judge.wait_with_output().unwrap());
    assert_eq!(out.code, 64, "{out:?}");
    assert!(out.stderr.contains("standard input is a terminal; pipe a console into it"), "{out:?}");
}

#[test]
fn source_lines_are_those_of_the_same_build_or_none() {
    let world = World::new();
    let functions: [xen_build::Function<'_>; 1] = [("livepatch_op", None, &[0xc3])];
    fs::write(world.path("syms"), xen_build::syms(1, &functions)).unwrap();
    let log = fs::read_to_string(fixture("xen-panic.log")).unwrap();
    for (id, is_same) in [("01".repeat(20), true), ("02".repeat(20), false)] {
        let named = log.replacen("# xen:", &format!("# build-id: {id}\r\n# xen:"), 1);
        world.file("lab.log", &named);
        let args = ["judge", "lab.log", "--no-image", "--symbols", "syms", "--json", "r.json"];
        let out = world.run_plain(&args);
        let why = format!("no source lines for Xen's messages: syms is not of the build {id}");
        assert_eq!(out.stderr.contains(&why), !is_same, "{out:?}");
        assert_eq!(results(&world, "r.json")["boots"][0]["build_id"], id);
    }
    let args = ["judge", "lab.log", "--no-image", "--symbols", "gone"];
    let out = world.run_plain(&args);
    assert_eq!(out.code, 74, "{out:?}");
    assert!(out.stderr.contains("cannot read gone"), "{out:?}");
}

/// A judge of what this test says.
fn judge_stream(world: &World, more: &[&str]) -> (Child, Watchdog) {
    let args = [&["judge", "-", "--no-image"], more].concat();
    watched(world.command(&args, "print", "good.log").stdin(Stdio::piped()))
}

/// Starts what is ended, and the test with it, if it says nothing for ever.
fn watched(command: &mut Command) -> (Child, Watchdog) {
    let judge = command.spawn().unwrap();
    let (watchdog, gone) = mpsc::channel();
    let pid = Pid::from_child(&judge);
    thread::spawn(move || {
        if gone.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let _ = kill_process(pid, Signal::KILL);
        }
    });
    (judge, watchdog)
}

/// Barks when it was kept too long.
type Watchdog = Sender<()>;

/// Reads until a line holds `words`.
fn read_until(out: &mut impl BufRead, words: &str) {
    let mut line = String::new();
    while !line.contains(words) {
        line.clear();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "no {words}");
    }
}

/// Each result is read before the next line is written: who waited for more would wait for ever.
#[test]
fn a_stream_is_judged_as_it_comes() {
    let world = World::new();
    let (mut judge, _watchdog) = judge_stream(&world, &[]);
    let mut input = judge.stdin.take().unwrap();
    let mut out = BufReader::new(judge.stdout.take().unwrap());
    let log = fs::read_to_string(fixture("good.log")).unwrap();
    let stamped = log.lines().map(|line| format!("[    1.000] {line}\r\n"));
    for line in stamped {
        input.write_all(line.as_bytes()).unwrap();
        // A test is settled when the next one begins, or is skipped.
        if line.contains("# Subtest: args") {
            read_until(&mut out, "pv64  example (2 cases, 1 skipped)");
        } else if line.contains("ok 3 needy") {
            read_until(&mut out, "list/b: expected EINVAL, got success");
        }
    }
    drop(input);
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("1 passed, 1 failed, 1 skipped"), "{rest}");
    assert_eq!(judge.wait().unwrap().code(), Some(5));
}

#[test]
fn a_stream_that_goes_on_ends_with_its_boot() {
    let log = fs::read(fixture("success.log")).unwrap();
    let world = World::new();
    let (mut judge, _watchdog) = judge_stream(&world, &[]);
    let mut input = judge.stdin.take().unwrap();
    input.write_all(&log).unwrap();
    // It stays open.
    let out = Output::from(judge.wait_with_output().unwrap());
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stderr.contains("standard input goes on; what follows is not judged"), "{out:?}");
    drop(input);

    // Two boots are waited for, however long the second takes.
    let (mut judge, _watchdog) = judge_stream(&world, &["--boots", "2"]);
    let mut input = judge.stdin.take().unwrap();
    let mut out = BufReader::new(judge.stdout.take().unwrap());
    input.write_all(&log).unwrap();
    read_until(&mut out, "pv64  args (3 cases, 1 tolerated)");
    read_until(&mut out, "SKIP");
    input.write_all(&fs::read(fixture("good.log")).unwrap()).unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("] 2 boots, 6 tests"), "{rest}");
    assert_eq!(judge.wait().unwrap().code(), Some(5));
    drop(input);
}

#[test]
fn a_stream_has_time_limits() {
    let world = World::new();
    let log = fs::read_to_string(fixture("good.log")).unwrap();
    let half = &log[..log.find("  ok 1 list/a").unwrap()];
    let (mut judge, _watchdog) = judge_stream(&world, &["--timeout", "1"]);
    let mut input = judge.stdin.take().unwrap();
    input.write_all(half.as_bytes()).unwrap();
    let out = Output::from(judge.wait_with_output().unwrap());
    assert_eq!(out.code, 7, "{out:?}");
    assert!(out.stdout.contains("† case 1 of 3: no result within 1 s"), "{out:?}");
    drop(input);
    // Of a file, time means nothing; where a stream ends, so does its boot.
    world.file("half.log", half);
    let args = ["judge", "half.log", "--no-image", "--timeout", "1"];
    assert_eq!(world.run_plain(&args).code, 6);
    let (mut judge, _watchdog) = judge_stream(&world, &[]);
    judge.stdin.take().unwrap().write_all(half.as_bytes()).unwrap();
    let out = Output::from(judge.wait_with_output().unwrap());
    assert_eq!(out.code, 6, "{out:?}");
    assert!(out.stdout.contains("standard input ends: it was cut, or the machine was"), "{out:?}");
}

/// The connection breaks off: what was heard counts, and the exit code tells that it was not all.
#[test]
fn a_stream_that_breaks_off_is_an_error() {
    let world = World::new();
    let log = fs::read(fixture("good.log")).unwrap();
    let half = log.windows(10).position(|words| words == b"ok 1 list/").unwrap();
    let (mut machine, mut judges) = UnixStream::pair().unwrap();
    machine.write_all(&log[..half]).unwrap();
    // Who leaves without having read all resets the connection.
    judges.write_all(b"unread").unwrap();
    drop(machine);
    let args = ["judge", "-", "--no-image", "--json", "r.json"];
    let mut command = world.command(&args, "print", "good.log");
    let out = Output::from(command.stdin(OwnedFd::from(judges)).output().unwrap());
    assert_eq!(out.code, 74, "{out:?}");
    let why = "cannot read standard input: Connection reset by peer";
    assert!(out.stderr.contains(&format!("error: {why}")), "{out:?}");
    assert!(out.stdout.contains(&format!("! case 1 of 3: {why}")), "{out:?}");
    let json = results(&world, "r.json");
    assert_eq!(json["complete"], false);
    assert!(json["incomplete_because"].as_str().unwrap().contains(why), "{json:#}");
    assert_eq!(json["tests"][0]["status"], "SUCCESS");
}

/// Somebody looks on, and boots the machine when it suits him.
#[test]
fn a_stream_may_be_joined_before_its_boot() {
    let world = World::new();
    world.file("xtf-runner.toml", "[qemu]\nboot-timeout-s = 1\n");
    let late = Duration::from_secs(2);
    let join = || {
        let (mut judge, watchdog) = judge_stream(&world, &[]);
        let mut input = judge.stdin.take().unwrap();
        input.write_all(b"(XEN) a word of the last boot\n(XEN) another\nlogin:\n").unwrap();
        thread::sleep(late);
        (judge, watchdog, input)
    };
    let log = fs::read(fixture("success.log")).unwrap();
    let (judge, _watchdog, mut input) = join();
    input.write_all(&log).unwrap();
    drop(input);
    let out = Output::from(judge.wait_with_output().unwrap());
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stdout.contains("] 1 boot, 3 tests"), "{out:?}");

    // The boot has its whole time.
    let (judge, _watchdog, mut input) = join();
    let power_on = Instant::now();
    input.write_all(&log[..100]).unwrap();
    let out = Output::from(judge.wait_with_output().unwrap());
    assert_eq!(out.code, 7, "{out:?}");
    assert!(out.stdout.contains("no test began within 1 s after power on"), "{out:?}");
    assert!(power_on.elapsed() >= Duration::from_secs(1), "{out:?}");
    drop(input);
}

#[test]
fn signals_end_judging_with_a_summary() {
    for (signal, code, name) in [(Signal::INT, 130, "SIGINT"), (Signal::TERM, 143, "SIGTERM")] {
        let world = World::new();
        let log = fs::read_to_string(fixture("good.log")).unwrap();
        let (mut judge, _watchdog) = judge_stream(&world, &["--json", "r.json"]);
        let mut input = judge.stdin.take().unwrap();
        let mut out = BufReader::new(judge.stdout.take().unwrap());
        input.write_all(&log.as_bytes()[..log.find("  ok 1 list/a").unwrap()]).unwrap();
        read_until(&mut out, "PASS [");
        kill_process(Pid::from_child(&judge), signal).unwrap();
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert_eq!(judge.wait().unwrap().code(), Some(code));
        assert!(rest.contains(&format!("stopped by {name}; 1 test not run")), "{rest}");
        let json = results(&world, "r.json");
        assert_eq!(
            (json["complete"].clone(), json["not_run"][0]["test"].clone()),
            (false.into(), "args".into())
        );
        drop(input);
    }
}

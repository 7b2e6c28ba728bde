//! Reports of the real binary: what is in them, whatever became of the run, and `diff` on them.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::world::{Output, World, fixture};

fn json(world: &World, name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(world.path(name)).unwrap()).unwrap()
}

fn test_of<'j>(json: &'j Value, name: &str) -> &'j Value {
    json["tests"].as_array().unwrap().iter().find(|test| test["test"] == name).unwrap()
}

#[test]
fn json_tells_all() {
    let world = World::new();
    let out = world.run(&["run", "--json", "r.json"], "crash-once", "needy.log");
    assert_eq!(out.code, 6, "{out:?}");
    let json = json(&world, "r.json");
    assert_eq!((&json["schema"], &json["complete"]), (&"xtf-rs/1".into(), &true.into()));
    assert_eq!(json["run"]["exit_code"], 6);
    assert!(json["run"]["qemu"].as_str().unwrap().ends_with("(fake)"));
    assert_eq!(json["boots"].as_array().unwrap().len(), 3);
    assert_eq!(json["boots"][0]["ended_by"], "xen");
    assert_eq!(json["boots"][0]["version"], "4.17.7");
    let args = test_of(&json, "args");
    assert_eq!((&args["status"], &args["cause"]), (&"CRASH".into(), &"xen".into()));
    assert_eq!(
        (&args["cases"][1]["name"], &args["cases"][1]["verdict"]),
        (&"list/b".into(), &"CRASH".into())
    );
    assert!(args["xen_words"][0].as_str().unwrap().starts_with("(XEN) ----[ Xen-4.17.7"));
    let example = test_of(&json, "example");
    assert_eq!(example["cases"][1]["verdict"], "SKIP");
    assert_eq!(example["cases"][1]["why"], "not privileged");
    // The boot's command and folder are where they are said to be.
    let logs = json["run"]["logs"].as_str().unwrap();
    let dir = std::path::Path::new(logs).join(json["boots"][0]["logs"].as_str().unwrap());
    let runner = fs::read_to_string(dir.join("runner.log")).unwrap();
    assert!(runner.contains(json["boots"][0]["command"].as_str().unwrap()), "{runner}");
}

#[test]
fn a_report_can_go_to_standard_output() {
    let world = World::new();
    let out = world.run(&["run", "--json", "-", "--junit", "r.xml"], "print", "success.log");
    assert_eq!(out.code, 0, "{out:?}");
    let json: Value = serde_json::from_str(&out.stdout).unwrap();
    assert_eq!(json["complete"], true);
    assert!(out.stderr.contains("PASS ["), "{out:?}");
    assert!(
        fs::read_to_string(world.path("r.xml")).unwrap().contains("<testsuite name=\"fake/pv64\"")
    );

    let out = world.run(&["run", "--json", "-", "--html", "-"], "print", "success.log");
    assert_eq!(out.code, 64, "{out:?}");
    let why = "--json and --html name the same file, -: one report would be lost";
    assert!(out.stderr.contains(why), "{out:?}");
    for (path, what) in [("xtf", "an ELF file"), ("logs", "a folder")] {
        fs::create_dir_all(world.path("logs")).unwrap();
        let before = fs::metadata(world.path(path)).unwrap().modified().unwrap();
        let out = world.run(&["run", "--json", path], "print", "success.log");
        assert_eq!(out.code, 64, "{out:?}");
        assert!(out.stderr.contains(&format!("{path}, which is {what}; name another")), "{out:?}");
        assert_eq!(fs::metadata(world.path(path)).unwrap().modified().unwrap(), before);
    }
    let out = world.run(&["run", "--json", "xen/such/r.json"], "print", "success.log");
    assert_eq!(out.code, 74, "{out:?}");
    assert!(out.stderr.contains("xen/such"), "{out:?}");
    assert!(!out.stdout.contains("Running"), "an hour later is too late: {out:?}");
}

/// What is no file is not replaced by one.
#[test]
fn a_report_can_go_to_a_pipe() {
    let world = World::new();
    let pipe = world.path("report");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = thread::spawn(move || fs::read_to_string(pipe).unwrap());
    let out = world.run(&["run", "--json", "report"], "print", "success.log");
    assert_eq!(out.code, 0, "{out:?}");
    // If not, nobody ever writes to it.
    assert!(fs::metadata(world.path("report")).unwrap().file_type().is_fifo());
    let json: Value = serde_json::from_str(&reader.join().unwrap()).unwrap();
    assert_eq!(json["complete"], true);
}

/// All files of a run agree on when it began, from the first to the last.
#[test]
fn a_run_begins_once() {
    let world = World::new();
    // The runner asks for the version when it has written its files for the first time. Times in
    // them are whole seconds.
    let mut command = world.command(&["run", "--json", "r.json"], "print", "success.log");
    command.env("PROBED", "cp r.json first.json; sleep 1.1");
    let out = Output::from(command.output().unwrap());
    assert_eq!(out.code, 0, "{out:?}");
    let (first, last) = (json(&world, "first.json"), json(&world, "r.json"));
    assert_eq!((&first["complete"], &last["complete"]), (&false.into(), &true.into()));
    assert_eq!(first["run"]["started"], last["run"]["started"]);
}

#[test]
fn what_is_stopped_says_so() {
    let world = World::new();
    let args = ["run", "--json=r.json", "--junit=r.xml", "--ktap=r.ktap", "--html=r.html"];
    let runner = world.spawn(&args, "hang", "good.log");
    let qemu = world.wait_for_qemus(1);
    kill_process(Pid::from_child(&runner), Signal::INT).unwrap();
    assert!(qemu.die());
    let out = Output::from(runner.wait_with_output().unwrap());
    assert_eq!(out.code, 130, "{out:?}");
    let partial = json(&world, "r.json");
    assert_eq!(partial["complete"], false);
    assert_eq!(partial["incomplete_because"], "stopped by SIGINT");
    assert_eq!(partial["run"]["exit_code"], 130);
    // The fake guest may or may not have come to its first result.
    let count = |key: &str| partial[key].as_array().unwrap().len();
    assert_eq!(count("tests") + count("not_run"), 3);
    assert!(count("not_run") >= 2);
    let junit = fs::read_to_string(world.path("r.xml")).unwrap();
    assert!(junit.contains("<error message=\"stopped by SIGINT"), "{junit}");
    let ktap = fs::read_to_string(world.path("r.ktap")).unwrap();
    assert!(ktap.ends_with("Bail out! stopped by SIGINT\n"), "{ktap}");
    let html = fs::read_to_string(world.path("r.html")).unwrap();
    assert!(html.contains("This report is partial"), "{html}");
    // Links lead from the page to the logs.
    let link = html
        .split("href=\"")
        .find_map(|rest| rest.split('"').next().filter(|link| link.ends_with("guest.log")));
    assert!(world.path(link.unwrap()).is_file(), "{link:?}");
}

#[test]
fn what_is_killed_leaves_no_whole_report_of_an_earlier_run() {
    let world = World::new();
    let args = ["run", "--json", "r.json"];
    assert_eq!(world.run(&args, "print", "success.log").code, 0);
    assert_eq!(json(&world, "r.json")["complete"], true);
    let mut runner = world.spawn(&args, "hang", "good.log");
    let qemu = world.wait_for_qemus(1);
    runner.kill().unwrap();
    runner.wait().unwrap();
    assert!(qemu.die());
    let left = json(&world, "r.json");
    assert_eq!((&left["complete"], &left["run"]["exit_code"]), (&false.into(), &Value::Null));
    assert_eq!(left["incomplete_because"], "the run goes on");
    // Nothing half written is left beside it.
    let names = fs::read_dir(world.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!names.into_iter().any(|name| name.to_string_lossy().starts_with(".tmp")));
}

/// Who publishes the files must not publish yesterday's results.
#[test]
fn a_run_that_does_not_start_leaves_no_results_of_an_earlier_one() {
    const FORMS: [&str; 4] = ["json", "junit", "ktap", "html"];
    let world = World::new();
    world.file("occupied", "");
    let run = |args: &[&str]| {
        let files = FORMS.map(|form| format!("--{form}=r.{form}"));
        let options = files.iter().map(String::as_str).chain(args.iter().copied());
        let args: Vec<&str> = ["run"].into_iter().chain(options).collect();
        world.run(&args, "print", "success.log")
    };
    let left = || FORMS.map(|form| fs::read_to_string(world.path(&format!("r.{form}"))).unwrap());
    for (args, code, why) in [
        (["--qemu", "/nowhere/qemu"], 69, "/nowhere/qemu is not installed"),
        (["--xen", "./gone"], 65, "./gone does not exist"),
        (["--exclude", "*"], 66, "everything that was selected is excluded"),
        (["--config", "./none.toml"], 64, "cannot read configuration"),
        (["--logs", "occupied/logs"], 74, "occupied/logs"),
    ] {
        assert_eq!(run(&[]).code, 0);
        let before = left();
        assert!(before.iter().all(|text| text.contains("hello")), "{before:?}");
        assert_eq!(run(&["--dry-run"]).code, 0);
        assert_eq!(left(), before, "nothing was run");

        let out = run(&args);
        assert_eq!(out.code, code, "{out:?}");
        assert!(out.stderr.contains(why), "{out:?}");
        for text in left() {
            assert!(text.contains("the run did not start: ") && text.contains(why), "{text}");
            assert!(!text.contains("hello"), "{text}");
        }
        let json = json(&world, "r.json");
        assert_eq!((&json["complete"], &json["run"]["exit_code"]), (&false.into(), &code.into()));
    }
    // What the command line itself gets wrong has nothing to do with a run.
    assert_eq!(run(&[]).code, 0);
    let before = left();
    assert_eq!(run(&["--host", "box"]).code, 64);
    assert_eq!(left(), before);

    let out = world.run(&["run", "--qemu", "/nowhere/qemu", "--json=-"], "print", "success.log");
    let json: Value = serde_json::from_str(&out.stdout).unwrap();
    assert_eq!(json["run"]["exit_code"], 69);
}

#[test]
fn a_runner_that_is_killed_before_it_has_a_xen_leaves_no_results_of_an_earlier_run() {
    let world = World::new();
    world.file("r.json", "{}");
    let mut runner = world.fetching("slow").args(["--json", "r.json"]).spawn().unwrap();
    let apt = world.wait_for_apt();
    runner.kill().unwrap();
    runner.wait().unwrap();
    assert!(apt.die());
    let left = json(&world, "r.json");
    assert_eq!((&left["complete"], &left["run"]["exit_code"]), (&false.into(), &Value::Null));
    assert_eq!(left["incomplete_because"], "the run has not started");
}

/// The end of a CI log is what people look at.
#[test]
fn the_end_tells_what_failed() {
    let world = World::new();
    let args = ["run", "--json", "r.json", "--html", "r.html"];
    let out = world.run(&args, "print", "good.log");
    assert_eq!(out.code, 5, "{out:?}");
    let (_, end) = out.stdout.split_once(out.sums()).unwrap();
    let lines: Vec<&str> = end.trim_start().lines().map(str::trim).collect();
    assert!(lines[0].starts_with("FAIL [") && lines[0].ends_with("fake pv64  args"), "{end}");
    assert_eq!(lines[1], "list/b: expected EINVAL, got success", "{end}");
    let again = lines[2].strip_prefix("again: ").unwrap();
    assert!(again.contains(" run args --xen fake --env pv64 --image "), "{end}");
    let image = json(&world, "r.json")["run"]["image_sha256"].as_str().unwrap()[..12].to_owned();
    assert_eq!(lines[3], format!("on: Xen fake (4.17.7, no build-id), image sha256 {image}"));
    let logs = lines[4].strip_prefix("logs: ").unwrap();
    assert!(Path::new(logs).join("xen.log").is_file() && lines.len() == 5, "{end}");

    // The command does what it says, and no more.
    let out = world.shell(&format!("{again} --json again.json"), "print", "good.log");
    assert_eq!(json(&world, "again.json")["boots"][0]["tests"], serde_json::json!(["args"]));
    assert!(out.stdout.contains("Running 1 test in 1 boot"), "{out:?}");
    let page = fs::read_to_string(world.path("r.html")).unwrap();
    assert!(page.contains(&format!("<pre class=\"again\" title=\"runs it again\">{again}</pre>")));
}

/// A baseline is a matter of what is told, not of how the run ends.
#[test]
fn a_run_is_compared_with_an_earlier_one() {
    let world = World::new();
    world.run(&["run", "--json", "green.json"], "print", "success.log");
    let args = ["run", "--baseline", "green.json", "--json", "r.json", "--html", "r.html"];
    let out = world.run(&args, "print", "good.log");
    assert_eq!(out.code, 5, "{out:?}");
    let told = "regressed\n    fake pv64  args: SUCCESS -> FAILURE\n    fake pv64  args list/b: ";
    assert!(out.stdout.contains(told) && out.stdout.contains("\n2 regressions\n"), "{out:?}");
    let page = fs::read_to_string(world.path("r.html")).unwrap();
    assert!(page.contains("<a href=\"#run-args-fake-pv64\">fake pv64  args list/b</a>"), "{page}");
    // What is better is told, too, and what was not selected is not missed.
    let args = ["run", "example", "--baseline", "r.json", "--json", "r.json"];
    let out = world.run(&args, "print", "example.log");
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stdout.contains("\n2 tests of the old run not selected"), "{out:?}");
    assert!(out.stdout.contains("\nnothing regressed\n"), "{out:?}");
    // One run in two shares.
    for share in ["1", "2"] {
        let (partition, file) = (format!("count:{share}/2"), format!("{share}.json"));
        let args = ["run", "--partition", &partition, "--json", &file];
        world.run(&args, "print", "success.log");
    }
    let shares = ["merge", "green.json", "--baseline", "1.json", "--baseline", "2.json"];
    let out = world.run_plain(&shares);
    assert!(out.code == 0 && out.stdout.contains("Compared with the run of "), "{out:?}");
    assert!(out.stdout.contains("; 3 tests in both runs"), "{out:?}");

    world.file("cut.json", "{\n\"schema\": \"xtf-rs/1\",\n");
    world.run(&["run", "--json", "partial.json"], "refuse", "good.log");
    for (file, code, why) in [
        ("cut.json", 65, "cut.json:3: EOF"),
        ("xtf-runner.toml", 65, "xtf-runner.toml:1: "),
        ("gone.json", 74, "gone.json"),
        ("partial.json", 65, "partial.json is partial"),
    ] {
        let args = ["run", "--baseline", file, "--json", "r.json"];
        let out = world.run(&args, "print", "success.log");
        assert!(out.code == code && out.stderr.contains(why), "{out:?}");
        assert!(!out.stdout.contains("Running"), "{out:?}");
        let left = json(&world, "r.json");
        assert_eq!((&left["complete"], &left["run"]["exit_code"]), (&false.into(), &code.into()));
        assert!(left["incomplete_because"].as_str().unwrap().contains(why), "{left}");
        assert_eq!(world.run_plain(&["merge", "green.json", "--baseline", file]).code, code);
    }
}

#[test]
fn a_qemu_that_does_not_start_leaves_a_partial_report() {
    let world = World::new();
    let out = world.run(&["run", "--json", "r.json"], "refuse", "good.log");
    assert_eq!(out.code, 69, "{out:?}");
    let left = json(&world, "r.json");
    assert_eq!((&left["complete"], &left["run"]["exit_code"]), (&false.into(), &69.into()));
    assert!(left["incomplete_because"].as_str().unwrap().contains("exited with 1"), "{left}");
    assert_eq!(left["boots"][0]["ended_by"], "qemu");
}

#[test]
fn expectations_are_read_from_beside_the_configuration() {
    let world = World::new();
    world.file(
        "expectations.toml",
        "[[expect]]\ntest = 'args/list/b'\nstatus = 'FAILURE'\nreason = 'known since long'\n\
         link = 'https://example.org/1'\n",
    );
    let args = ["run", "example", "args", "needy", "--json", "r.json"];
    let out = world.run(&args, "print", "good.log");
    assert_eq!(out.code, 0, "{out:?}");
    let line = "~ list/b: known FAILURE, known since long <https://example.org/1> \
                (expectations.toml:1): expected EINVAL, got success";
    assert!(out.stdout.contains(line), "{out:?}");
    let json = json(&world, "r.json");
    assert_eq!(test_of(&json, "args")["cases"][1]["known"]["verdict"], "KNOWN");
    assert_eq!(json["expectations"][0]["known"], 1);

    // With a file of its own, that one alone counts; a success is news, and a failure if wanted.
    world.file(
        "other.toml",
        "[[expect]]\nxen = 'fak*'\ntest = 'example'\nstatus = 'CRASH'\nreason = 'once'\n\
         [[expect]]\ntest = 'exmaple'\nstatus = 'CRASH'\nreason = 'x'\n",
    );
    let out = world.run(&["run", "example", "--expect", "other.toml"], "print", "example.log");
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stdout.contains("NEWS ["), "{out:?}");
    assert!(out.stdout.contains("STALE other.toml:6: no test here matches `exmaple`"), "{out:?}");
    assert_eq!(out.sums(), "1 passed (1 news), 0 failed, 0 skipped");
    let strict = ["run", "example", "--expect", "other.toml", "--strict-news"];
    let out = world.run(&strict, "print", "example.log");
    assert_eq!(out.code, 5, "{out:?}");
    assert!(out.stdout.contains("CRASH was expected: once"), "{out:?}");

    // So is a deviation that the test knows this Xen for, and that is gone.
    let guest = fs::read_to_string(fixture("example.log")).unwrap();
    let gone = guest.replacen("  ok 1", "  # NEWS doc-1: got EINVAL instead of 0\n  ok 1", 1);
    world.file("gone.log", &gone);
    let out = world.run(&["judge", "gone.log", "--ktap", "-"], "print", "example.log");
    assert_eq!(out.code, 0, "{out:?}");
    assert_eq!(out.stdout.matches("doc-1: got EINVAL instead of 0").count(), 1, "{out:?}");
    let out = world.run(&["judge", "gone.log", "--strict-news"], "print", "example.log");
    assert_eq!(out.code, 5, "{out:?}");

    for (args, why) in [
        (["run", "--expect", "gone.toml"], "gone.toml"),
        (["run", "--expect", "bad.toml"], "bad.toml:3: unknown field `sttaus`"),
    ] {
        world.file("bad.toml", "[[expect]]\ntest = 't'\nsttaus = 'CRASH'\n");
        let out = world.run(&args, "print", "good.log");
        assert!(out.stderr.contains(why) && out.code >= 64, "{out:?}");
    }
}

#[test]
fn a_failure_that_does_not_repeat_is_flaky() {
    let world = World::new();
    let script = "if [ -e \"$PIPE.tried\" ]; then cat \"$LOG\"; else : >\"$PIPE.tried\"; cat \"$BAD_LOG\"; fi";
    let once = fs::read_to_string(fixture("success.log")).unwrap();
    let (head, rest) = once.split_once("  KTAP version 1\r\n  # Subtest: example").unwrap();
    let (_, args) = rest.split_once("ok 1 example\r\n").unwrap();
    let (args, _) = args.split_once("ok 3 needy").unwrap();
    let args = args.replace("\nok 2 args", "\nok 1 args");
    let log = format!("{}{args}Test result: SUCCESS\r\n", head.replace("1..3", "1..1"));
    let log = world.file("args.log", &log);
    let again = |options: &[&str]| {
        let _ = fs::remove_file(world.path("pipe.tried"));
        let options = [&["run", "--retries", "2", "--json", "r.json"], options].concat();
        world.script(&options, script, log.to_str().unwrap())
    };

    let out = again(&[]);
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stdout.contains("TRY 1 FAIL [") && out.stdout.contains("FLAKY 2 ["), "{out:?}");
    assert!(out.stdout.contains("2 boots, 3 tests"), "{out:?}");
    assert_eq!(out.sums(), "2 passed (1 flaky), 0 failed, 1 skipped");
    let json = json(&world, "r.json");
    let args = test_of(&json, "args");
    assert_eq!((&args["flaky"], &args["status"]), (&true.into(), &"SUCCESS".into()));
    assert_eq!(args["earlier"][0]["status"], "FAILURE");
    assert_eq!(args["boot"], 2);

    let out = again(&["--flaky-result", "fail"]);
    assert_eq!(out.code, 5, "{out:?}");
    assert!(out.stdout.contains("flaky: passed only at attempt 2"), "{out:?}");

    // What fails every time has failed.
    let out =
        world.run(&["run", "example", "args", "needy", "--retries", "1"], "print", "good.log");
    assert_eq!(out.code, 5, "{out:?}");
    assert!(out.stdout.contains("TRY 1 FAIL ["), "{out:?}");
}

#[test]
fn what_a_merge_lacks_is_named() {
    let world = World::new();
    world.run(&["run", "--partition", "count:1/2", "--json", "1.json"], "print", "good.log");
    let gap = world.run_plain(&["merge", "1.json", "--json", "gap.json"]);
    assert!(
        gap.code >= 4 && gap.stderr.contains("gap: no file has the share count:2/2"),
        "{gap:?}"
    );
    assert_eq!(json(&world, "gap.json")["complete"], false);
    for (args, code, why) in [
        (&["merge", "1.json", "1.json"][..], 64, "1.json is named twice"),
        (&["merge", "1.json", "gone.json"], 74, "gone.json"),
        (&["merge", "xtf-runner.toml"], 65, "xtf-runner.toml:1: "),
        (&["diff", "1.json", "1.json", "--allow-partial", "--map", "x"], 64, "OLD=NEW"),
        (
            &["diff", "1.json", "1.json", "--map", "x=fake"],
            64,
            "the old run has no Xen x; it has fake",
        ),
    ] {
        let out = world.run_plain(args);
        assert!(out.code == code && out.stderr.contains(why), "{out:?}");
    }
}

#[test]
fn differences_decide_the_exit_code() {
    let world = World::new();
    world.run(&["run", "--json", "good.json"], "print", "success.log");
    world.run(&["run", "--json", "bad.json"], "print", "good.log");
    let out = world.run_plain(&["diff", "good.json", "bad.json"]);
    assert_eq!(out.code, 5, "{out:?}");
    let told = "fake pv64  args list/b: SUCCESS -> FAILURE (expected EINVAL, got success)";
    assert!(out.stdout.contains(told), "{out:?}");
    assert!(out.stdout.ends_with("2 regressions\n"), "{out:?}");
    let out = world.run_plain(&["diff", "bad.json", "good.json"]);
    assert!(out.code == 0 && out.stdout.ends_with("\nnothing regressed\n"), "{out:?}");
    let out = world.run_plain(&["diff", "good.json", "bad.json", "--json"]);
    assert_eq!(out.code, 5, "{out:?}");
    let json: Value = serde_json::from_str(&out.stdout).unwrap();
    assert_eq!(json["regressed"], true);
    assert_eq!(json["changes"][1]["case"], "list/b");

    world.file("cut.json", "{\n\"schema\": \"xtf-rs/1\",\n");
    world.run(&["run", "--json", "partial.json"], "refuse", "good.log");
    for (args, code, why) in [
        (&["diff", "good.json", "cut.json"][..], 65, "cut.json:3: EOF"),
        (&["diff", "good.json", "xtf-runner.toml"], 65, "xtf-runner.toml:1: "),
        (&["diff", "good.json", "gone.json"], 74, "gone.json"),
        (&["diff", "good.json", "partial.json"], 65, "--allow-partial"),
        (&["diff", "good.json", "bad.json", "--slower", "1"], 64, "must be above 1"),
    ] {
        let out = world.run_plain(args);
        assert_eq!(out.code, code, "{out:?}");
        assert!(out.stderr.contains(why), "{out:?}");
    }
    let out = world.run_plain(&["diff", "partial.json", "good.json", "--allow-partial"]);
    assert_eq!(out.code, 0, "{out:?}");
}

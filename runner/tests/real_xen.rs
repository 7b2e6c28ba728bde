//! The runner's verdicts on the real image under real Xen: the good guest passes, and each guest
//! that misbehaves on purpose is reported as what it is.
//!
//! Needs the built image, QEMU and a Xen in the cache, so `make test` runs these (they are
//! ignored otherwise).

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

#[path = "fixtures/each.rs"]
mod each;

use each::each;

const XEN: &str = "4.17";
const ENVIRONMENTS: [&str; 2] = ["pv64", "pvh64"];
/// Those of the 32-bit image on a Xen that takes no 32-bit PV guests, as Debian's.
const NARROW: [&str; 3] = ["hvm32", "hvm32pse", "hvm32pae"];
/// The variable that names one that does: a file, built with CONFIG_PV32=y. Without it these tests do
/// without a PV guest.
const PV32_XEN: &str = "PV32_XEN";

struct Run {
    code: i32,
    stdout: String,
    logs: PathBuf,
    _dir: tempfile::TempDir,
}

/// A Xen, and what the image shall be on it.
type Place<'p> = (&'p str, &'p str);

fn runner((xen, environment): Place<'_>, logs: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtf-runner"));
    command
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .args(["run", "--xen", xen, "--env", environment, "--logs"])
        .arg(logs);
    command
}

/// The only boot's folder.
fn boot_dir(logs: &Path) -> PathBuf {
    let boot = fs::read_dir(logs.join("latest")).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        path.join("guest.log").is_file().then_some(path)
    });
    boot.expect("a boot's folder")
}

impl Run {
    fn of(environment: &str, args: &[&str]) -> Run {
        Run::at((XEN, environment), args)
    }

    fn at(place: Place<'_>, args: &[&str]) -> Run {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("logs");
        let output = runner(place, &logs).args(args).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        Run { code: output.status.code().unwrap_or(-1), stdout, logs, _dir: dir }
    }

    /// The guest's part of the one boot's console.
    fn guest_log(&self) -> String {
        fs::read_to_string(boot_dir(&self.logs).join("guest.log")).unwrap()
    }

    #[track_caller]
    fn says(&self, words: &str) {
        assert!(self.stdout.contains(words), "«{words}» is not in:\n{}", self.stdout);
    }
}

/// A runner that offers a look at its machine.
struct Look {
    runner: Child,
    stdout: BufReader<ChildStdout>,
    logs: TempDir,
}

impl Look {
    /// Runs until the runner says so in these words.
    fn at(environment: &str, args: &[&str], words: &str) -> Look {
        let logs = tempfile::tempdir().unwrap();
        let mut command = runner((XEN, environment), logs.path());
        let mut runner = command.args(args).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(runner.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "the runner left");
        }
        Look { runner, stdout, logs }
    }

    /// What QEMU answers, up to its next prompt or its end.
    fn monitor(&mut self, command: &str) -> String {
        let path = boot_dir(self.logs.path()).join("monitor.sock");
        // The debugger's user is told before QEMU starts.
        let mut socket = loop {
            match UnixStream::connect(&path) {
                Ok(socket) => break socket,
                Err(e) => assert_eq!(self.runner.try_wait().unwrap(), None, "{e}"),
            }
            sleep(Duration::from_millis(100));
        };
        let mut answer = Vec::new();
        let mut prompt = |socket: &mut UnixStream| {
            answer.clear();
            let mut byte = [0];
            while !answer.ends_with(b"(qemu) ") && matches!(socket.read(&mut byte), Ok(1)) {
                answer.push(byte[0]);
            }
        };
        prompt(&mut socket);
        socket.write_all(format!("{command}\n").as_bytes()).unwrap();
        prompt(&mut socket);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn end(&mut self) -> (i32, String) {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (self.runner.wait().unwrap().code().unwrap(), rest)
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        // Of a test that failed.
        let _ = self.runner.kill();
        let _ = self.runner.wait();
    }
}

/// Runs one bad guest in both environments.
#[track_caller]
fn verdict(test: &str, code: i32, words: &[&str]) {
    each(ENVIRONMENTS, |environment| {
        let run = Run::of(environment, &[test]);
        assert_eq!(run.code, code, "{environment}:\n{}", run.stdout);
        for word in words {
            run.says(word);
        }
    });
}

#[test]
#[ignore = "boots real Xen"]
fn an_error() {
    verdict("bad-error", 4, &["ERROR [", "! unable: this was to be expected"]);
}

#[test]
#[ignore = "boots real Xen"]
fn a_failure_names_the_case_and_both_errnos() {
    verdict("bad-failure", 5, &["FAIL [", "✗ wrong: expected EINVAL, got ENOENT"]);
}

#[test]
#[ignore = "boots real Xen"]
fn a_hang_is_a_timeout_in_the_case_that_hangs() {
    verdict("bad-hang", 7, &["TIMEOUT [", "† spins_for_ever: no result within 5 s"]);
}

#[test]
#[ignore = "boots real Xen"]
fn payloads_left_behind_are_an_error_and_gone() {
    let words = "the test left payloads behind (now removed): -checked, -applied";
    verdict("bad-leftover", 4, &["ERROR [", words]);
}

#[test]
#[ignore = "boots real Xen"]
fn a_flood_is_a_crash() {
    verdict("bad-flood", 6, &["CRASH [", "† prints_for_ever: console flood"]);
}

#[test]
#[ignore = "boots real Xen"]
fn a_panic_is_an_error_with_its_place() {
    let place = "! panics: the guest stopped: PANIC tests/src/bad/panic.rs:";
    verdict("bad-panic", 4, &["ERROR [", place, "on purpose", "{closure#1} at "]);
}

#[test]
#[ignore = "boots real Xen"]
fn a_trap_is_an_error_with_registers_and_frames() {
    let place = "kernel/src/run.rs:";
    verdict("bad-trap", 4, &["unexpected trap #PF", "# rax ", "! faults: ", place]);
    // QEMU since 9.1 hides CR2 from a PVH guest of a Xen without the fix, and the guest says so.
    for (environment, told) in
        [("pv64", &["cr2 0x0"][..]), ("pvh64", &["cr2 0x0", "address unknown"])]
    {
        let run = Run::of(environment, &["bad-trap"]);
        assert!(told.iter().any(|address| run.stdout.contains(address)), "{}", run.stdout);
    }
}

#[test]
#[ignore = "boots real Xen"]
fn a_triple_fault_is_a_crash_in_xens_words() {
    verdict("bad-triple-fault", 6, &["CRASH [", "† triple_faults: ", "| (XEN) "]);
}

/// What a 32-bit guest does on purpose is reported as of the others.
#[test]
#[ignore = "boots real Xen"]
fn a_32_bit_guest_is_judged_alike() {
    each_narrow(|place| {
        for (test, code, words) in [
            ("bad-triple-fault", 6, ["CRASH [", "† triple_faults: Xen: d0v0 ", "| (XEN) "]),
            ("bad-trap", 4, ["# eax ", "! faults: ", "kernel/src/run.rs:"]),
            ("bad-xen-panic", 6, ["CRASH [", "† ends_by_an_nmi: Xen panicked: ", "vec 2, NMI"]),
        ] {
            let run = Run::at(place, &[test]);
            assert_eq!(run.code, code, "{test}:\n{}", run.stdout);
            for word in words {
                run.says(word);
            }
        }
    });
}

/// A guest of each kind, with two CPUs where it can have them.
#[test]
#[ignore = "boots real Xen"]
fn a_32_bit_guest_does_what_others_do() {
    each_narrow(|place| {
        let run = Run::at(place, &["example", "livepatch-width", "livepatch-concurrent/action/*"]);
        assert_eq!(run.code, 0, "{}", run.stdout);
        let skipped = usize::from(place.1 == "hvm32pae");
        run.says(&format!("{} passed, 0 failed, {skipped} skipped", 3 - skipped));
    });
}

/// What begins alike may go on from one saved machine, but for the image in it.
#[test]
#[ignore = "boots real Xen"]
fn a_saved_machine_holds_the_image_of_its_width() {
    let Ok(xen) = env::var(PV32_XEN) else { return };
    let args = ["example", "selftest/trap/*", "--isolate", "--snapshot", "always"];
    let run = Run::at((&xen, "pv64,pv32pae"), &args);
    assert_eq!(run.code, 0, "{}", run.stdout);
    run.says("4 passed, 0 failed, 0 skipped");
}

fn each_narrow(scenario: impl Fn(Place<'_>)) {
    let pv = env::var(PV32_XEN).ok();
    let places = NARROW.map(|environment| (XEN, environment)).into_iter();
    each(places.chain(pv.as_deref().map(|xen| (xen, "pv32pae"))), |&place| scenario(place));
}

#[test]
#[ignore = "boots real Xen"]
fn a_xen_without_32_bit_pv_guests_says_so_and_what_would_help() {
    let run = Run::of("pv32pae", &["example"]);
    assert_eq!(run.code, 3, "{}", run.stdout);
    run.says("it was built with CONFIG_PV32=n; one with CONFIG_PV32=y does");
    run.says("0 passed, 0 failed, 1 skipped");
}

#[test]
#[ignore = "boots real Xen"]
fn a_xen_panic_is_a_crash_in_xens_words() {
    let words = ["CRASH [", "† ends_by_an_nmi: Xen panicked: FATAL TRAP: vec 2, NMI"];
    verdict("bad-xen-panic", 6, &words);
}

#[test]
#[ignore = "boots real Xen"]
fn the_time_in_front_of_xens_words_loses_nothing() {
    each(["date", "datems", "boot", "raw"], |form| {
        let option = format!("--xen-cmdline=console_timestamps={form}");
        let run = Run::of("pv64", &["bad-xen-panic", "example", &option]);
        assert_eq!(run.code, 6, "{}", run.stdout);
        run.says("Xen panicked: FATAL TRAP: vec 2, NMI");
        run.says("1 passed, 1 failed");
        let stamped = run
            .stdout
            .lines()
            .any(|line| line.contains("(XEN) [") && line.ends_with("] Panic on CPU 0:"));
        assert!(stamped, "{}", run.stdout);
    });
}

#[test]
#[ignore = "boots real Xen"]
fn a_dom0_that_crashes_is_a_crash_in_xens_words() {
    let words = "† crashes: Xen: Hardware Dom0 crashed: rebooting machine in 5 seconds.";
    verdict("bad-dom0-crash", 6, &["CRASH [", words]);
}

/// It halts instead, and QEMU stays.
#[test]
#[ignore = "boots real Xen"]
fn a_xen_that_does_not_reboot_is_not_waited_for() {
    each(ENVIRONMENTS, |environment| {
        for (test, words) in [
            ("bad-dom0-crash", "Xen: Hardware Dom0 crashed: 'noreboot' set - not rebooting."),
            ("bad-xen-panic", "Manual reset required ('noreboot' specified)"),
        ] {
            let run = Run::of(environment, &[test, "--xen-cmdline=noreboot"]);
            assert_eq!(run.code, 6, "{}", run.stdout);
            run.says(words);
        }
    });
}

/// QEMU's PC has no IOMMU, and `iommu=required` is the demand not to boot without one.
#[test]
#[ignore = "boots real Xen"]
fn a_xen_that_refuses_the_machine_is_a_crash_before_the_first_test() {
    let run = Run::of("pv64", &["example", "--xen-cmdline=iommu=required"]);
    assert_eq!(run.code, 6, "{}", run.stdout);
    run.says("before the first test began: Xen panicked: Couldn't enable IOMMU and iommu=required");
}

#[test]
#[ignore = "boots real Xen"]
fn the_rest_is_run_after_a_crash() {
    let run = Run::of("pv64", &["example", "bad-triple-fault", "bad-error"]);
    assert_eq!(run.code, 6, "{}", run.stdout);
    run.says("pv64  example (2 cases)");
    run.says("! unable");
    run.says("1 passed, 2 failed, 0 skipped");
}

/// Of its five cases two end the boot; the others say what they always say.
#[test]
#[ignore = "boots real Xen"]
fn a_case_that_ends_the_boot_costs_that_case_alone() {
    each(ENVIRONMENTS, |environment| {
        let run = Run::of(environment, &["bad-panic", "example"]);
        assert_eq!(run.code, 4, "{}", run.stdout);
        run.says("! panics: the guest stopped: PANIC ");
        run.says("behind panics\n");
        run.says("! panics_again: the guest stopped: PANIC ");
        run.says("behind panics_again\n");
        run.says("2 tests; cases: 5 passed, 0 failed, 2 in error, 0 skipped, 0 deviations\n");
        // From one case on, in the middle of a selection.
        let some = ["bad-panic/*panics*", "bad-panic/*at_last"];
        let run = Run::of(environment, &some);
        run.says("3 boots, 1 test; cases: 1 passed, 0 failed, 2 in error, ");
    });
}

/// The guest and the runner read a pattern alike: else the judge would miss cases.
#[test]
#[ignore = "boots real Xen"]
fn cases_are_selected_in_the_guest() {
    each(ENVIRONMENTS, |environment| {
        let words = ["selftest/c*/*", "!*/*flood*", "example/version/major_is_?"];
        let run = Run::of(environment, &words);
        assert_eq!(run.code, 0, "{}", run.stdout);
        run.says("example (1 case)");
        run.says("selftest (6 cases)");
        let log = run.guest_log();
        assert!(log.contains("  ok 6 console/a_long_line_is_taken_whole\n"), "{log}");
        assert!(!log.contains("flood") && !log.contains("heap/"), "{log}");
    });
}

#[test]
#[ignore = "boots real Xen"]
fn long_lines_and_floods_arrive_whole() {
    each(ENVIRONMENTS, |environment| {
        let run = Run::of(environment, &["selftest"]);
        assert_eq!(run.code, 0, "{}", run.stdout);
        let log = run.guest_log();
        let long = format!("  # long line: {} end", "0123456789".repeat(500));
        assert!(log.lines().any(|line| line == long), "{environment}: the long line is damaged");
        let flood: Vec<&str> = log.lines().filter(|line| line.contains("# flood:")).collect();
        let whole: Vec<String> =
            (0..500).map(|line| format!("  # flood: line {line:03} of 500")).collect();
        assert_eq!(flood, whole, "{environment}");
    });
}

#[test]
#[ignore = "boots real Xen"]
fn options_that_xen_does_not_take_are_errors() {
    each(ENVIRONMENTS, |environment| {
        let options = "--xen-cmdline=ucode=no-scan frob=1 conring_size=zz";
        let run = Run::of(environment, &["example", options]);
        assert_eq!(run.code, 4, "{}", run.stdout);
        run.says("refuses an option of its command line: parameter \"frob\" unknown!");
        run.says("parameter \"conring_size\" has invalid value \"zz\", rc=-22!");
    });
}

/// One that only the domain lacks, and one that Xen itself lacks.
#[test]
#[ignore = "boots real Xen"]
fn a_missing_cpu_is_a_skip() {
    let lacks = [("dom0_max_vcpus=1", "this domain"), ("maxcpus=1 dom0_max_vcpus=2", "Xen")];
    each(ENVIRONMENTS, |environment| {
        for (options, who) in lacks {
            let options = format!("--xen-cmdline={options}");
            let run = Run::of(environment, &["livepatch-concurrent", &options]);
            assert_eq!(run.code, 3, "{}", run.stdout);
            run.says(&format!("a CPU is missing: the test needs 2, {who} has 1"));
        }
    });
}

/// Two CPUs that Xen never schedules apart are still two.
#[test]
#[ignore = "boots real Xen"]
fn other_schedulers_change_no_verdict() {
    each(["sched-gran=core", "sched=null", "sched=credit"], |scheduler| {
        let options = format!("--xen-cmdline={scheduler}");
        let cases = ["livepatch-concurrent/cpu/*", "livepatch-concurrent/action/*"];
        let run = Run::of("pv64", &[&cases[..], &[&options]].concat());
        assert_eq!(run.code, 0, "{}", run.stdout);
        assert!(run.guest_log().contains("  ok 1 cpu/the_second_one_works\n"), "{}", run.stdout);
    });
}

#[test]
#[ignore = "boots real Xen"]
fn a_command_line_that_xen_cuts_is_an_error() {
    let long = format!("--xen-cmdline={}", "loglvl=all ".repeat(100));
    let run = Run::of("pv64", &["example", &long]);
    assert_eq!(run.code, 4, "{}", run.stdout);
    run.says("Xen's command line is `console=com1 ");
}

#[test]
#[ignore = "boots real Xen"]
fn a_silent_xen_shows_its_options_all_the_same() {
    each(ENVIRONMENTS, |environment| {
        let run = Run::of(environment, &["example", "--xen-cmdline=loglvl=none"]);
        assert_eq!(run.code, 0, "{}", run.stdout);
        assert!(run.guest_log().contains(" loglvl=none\n"), "{}", run.guest_log());
    });
}

/// Ended from inside, the run goes on; here, to its end.
#[test]
#[ignore = "boots real Xen"]
fn a_failed_machine_is_kept_until_the_user_has_seen_it() {
    each(ENVIRONMENTS, |environment| {
        let mut look = Look::at(environment, &["--keep", "bad-failure"], "the machine is kept");
        assert!(look.monitor("info status").contains("paused (shutdown)"));
        look.monitor("quit");
        let (code, rest) = look.end();
        assert_eq!(code, 5, "{rest}");
    });
}

/// Hanging machines don't shut down, they are stopped.
#[test]
#[ignore = "boots real Xen"]
fn a_hanging_machine_is_kept_until_the_user_ends_the_run() {
    each(ENVIRONMENTS, |environment| {
        let mut look = Look::at(environment, &["--keep", "bad-hang"], "the machine is kept");
        assert!(look.monitor("info status").contains("VM status: paused\r\n"));
        let qemu = fs::canonicalize(boot_dir(look.logs.path()).join("monitor.sock")).unwrap();
        kill_process(Pid::from_child(&look.runner), Signal::INT).unwrap();
        let (code, rest) = look.end();
        assert_eq!(code, 130, "{rest}");
        assert!(UnixStream::connect(qemu).is_err(), "QEMU outlived the runner");
    });
}

#[test]
#[ignore = "boots real Xen"]
fn keeping_changes_no_verdict() {
    each([("example", 0), ("bad-xen-panic", 6), ("bad-triple-fault", 6)], |&(test, code)| {
        let dir = tempfile::tempdir().unwrap();
        let mut command = runner((XEN, "pvh64"), dir.path());
        let mut child = command.args(["--keep", test]).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while stdout.read_line(&mut line).unwrap() > 0 && !line.contains("the machine is kept") {
            line.clear();
        }
        if code == 0 {
            assert!(line.is_empty(), "a machine that did not fail was kept");
            assert_eq!(child.wait().unwrap().code(), Some(code));
        } else {
            let mut look = Look { runner: child, stdout, logs: dir };
            look.monitor("quit");
            assert_eq!(look.end().0, code, "{test}");
        }
    });
}

#[test]
#[ignore = "boots real Xen"]
fn a_debugger_finds_the_machine_before_its_first_instruction() {
    let mut look = Look::at("pv64", &["--gdb", "example", "--timeout", "1"], "gdb -ex");
    assert!(look.monitor("info status").contains("paused (prelaunch)"));
    // Longer than any limit would allow, if there were one.
    sleep(Duration::from_secs(2));
    look.monitor("cont");
    let (code, rest) = look.end();
    assert_eq!(code, 0, "{rest}");
}

#[test]
#[ignore = "boots real Xen"]
fn whatever_kvm_does_auto_finds_a_way_to_boot() {
    each(ENVIRONMENTS, |environment| {
        let run = Run::of(environment, &["example", "--accel", "auto"]);
        assert_eq!(run.code, 0, "{}", run.stdout);
    });
}

/// Every test, with its status and those of its cases, and how its boots began.
fn isolated(snapshot: &str, tests: &[&str], more: &[&str]) -> (i32, Vec<String>, BTreeSet<String>) {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("results.json");
    let args = ["run", "--xen", "4.17", "--isolate", "--snapshot", snapshot, "--json"];
    let output = Command::new(env!("CARGO_BIN_EXE_xtf-runner"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .args(args)
        .arg(&json)
        .arg("--logs")
        .arg(dir.path().join("logs"))
        .args(tests)
        .args(more)
        .output()
        .unwrap();
    let code = output.status.code().unwrap();
    let text = fs::read_to_string(&json);
    let text = text.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let list = |of: &serde_json::Value, name: &str| of[name].as_array().unwrap().clone();
    let statuses = list(&json, "tests").into_iter().map(|test| {
        let cases = list(&test, "cases").into_iter();
        let cases: Vec<String> = cases.map(|c| format!("{} {}", c["name"], c["verdict"])).collect();
        format!("{} {} {} {cases:?}", test["environment"], test["test"], test["status"])
    });
    let modes = list(&json, "boots").into_iter().map(|boot| boot["mode"].to_string()).collect();
    let mut statuses: Vec<String> = statuses.collect();
    statuses.sort();
    let left = walk(&dir.path().join("logs")).into_iter().filter(|path| path.ends_with("state"));
    assert_eq!(left.count(), 0, "a saved machine was left behind");
    (code, statuses, modes)
}

/// All files below `dir`.
fn walk(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let below = entries.map(|entry| match entry.file_type().unwrap().is_dir() {
        true => walk(&entry.path()),
        false => vec![entry.path()],
    });
    below.flatten().collect()
}

#[test]
#[ignore = "boots real Xen"]
fn from_a_snapshot_everything_is_as_from_power_on() {
    let tests =
        ["example", "livepatch-life", "bad-failure", "bad-panic", "bad-xen-panic", "bad-hang"];
    let (code, plain, modes) = isolated("never", &tests, &[]);
    assert_eq!((code, modes), (7, BTreeSet::from(["\"fast, tcg\"".into()])));
    assert_eq!(plain.len(), 2 * tests.len());
    let (code, continued, modes) = isolated("always", &tests, &[]);
    assert_eq!(continued, plain);
    assert_eq!((code, modes), (7, BTreeSet::from(["\"fast, tcg, snapshot\"".into()])));
}

/// What a test is given by the command line, it is given late.
#[test]
#[ignore = "boots real Xen"]
fn a_snapshot_does_not_know_what_comes() {
    let run = Run::of("pv64", &["--isolate", "example", "selftest", "--cmdline=one=1"]);
    assert_eq!(run.code, 0, "{}", run.stdout);
    for (number, test) in [("001", "example"), ("002", "selftest")] {
        let boot = run.logs.join(format!("latest/{number}-4.17-pv64-{test}"));
        let guest = fs::read_to_string(boot.join("guest.log")).unwrap();
        let (before, after) = guest.split_once("# waiting for the command line\n").unwrap();
        assert_eq!(before, "");
        assert!(after.contains("unknown parameter 'one=1'"), "{guest}");
        assert!(after.contains(&format!("# Subtest: {test}\n")), "{guest}");
        let xen = fs::read_to_string(boot.join("xen.log")).unwrap();
        assert!(xen.starts_with("(XEN) ") || xen.contains("\n(XEN) Xen version"), "{xen}");
    }
}

/// A QEMU that can't go on from what it saved.
#[test]
#[ignore = "boots real Xen"]
fn where_a_snapshot_does_not_work_boots_do() {
    let dir = tempfile::tempdir().unwrap();
    let qemu = dir.path().join("qemu");
    let script = "#!/bin/sh\ncase \"$*\" in *' -incoming '*) echo no thanks >&2; exit 1;; esac\n\
                  exec qemu-system-x86_64 \"$@\"\n";
    fs::write(&qemu, script).unwrap();
    fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
    let qemu = format!("--qemu={}", qemu.display());
    let args = ["--isolate", "example", "selftest", &qemu];
    let run = Run::of("pv64", &args);
    assert_eq!(run.code, 0, "{}", run.stdout);
    run.says("cannot make a snapshot: the guest does not continue from the saved machine: ");
    run.says("no thanks");
    assert!(!walk(&run.logs).iter().any(|path| path.ends_with("state")), "a file was left behind");

    let run = Run::of("pv64", &[&args[..], &["--snapshot", "always"]].concat());
    assert_eq!(run.code, 69, "{}", run.stdout);
}

/// As by CI jobs that share a run: together they are the whole.
#[test]
#[ignore = "boots real Xen"]
fn shares_are_merged_to_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let said = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtf-runner"));
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).args(args);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let file = |name: &str| dir.path().join(name).display().to_string();
    let [whole, one, two, all] = ["whole", "1", "2", "all"].map(file);
    let run = |json: &str, more: &[&str]| {
        let logs = file("logs");
        let args = ["run", "--xen", "4.17", "--logs", &logs, "--json", json];
        said(
            &[&args[..], &["example", "selftest/c*/*", "bad-failure", "livepatch-args"], more]
                .concat(),
        )
    };
    assert_eq!(run(&whole, &[]).0, Some(5));
    let codes = ["hash:1/2", "hash:2/2"]
        .map(|share| run(if share == "hash:1/2" { &one } else { &two }, &["--partition", share]).0);
    assert!(codes.contains(&Some(5)), "{codes:?}");
    let (code, text) = said(&["merge", &one, &two, "--json", &all]);
    assert_eq!(code, Some(5), "{text}");
    assert!(text.contains("6 passed, 2 failed, 0 skipped"), "{text}");
    let (code, text) = said(&["diff", &whole, &all]);
    assert!(code == Some(0) && text.starts_with("no differences; 8 tests"), "{text}");
    let (code, text) = said(&["diff", &one, &whole, "--with-old", &two]);
    assert!(code == Some(0) && text.starts_with("no differences; 8 tests"), "{text}");
}

#[test]
#[ignore = "boots real Xen"]
fn bench_measures_all_that_it_names() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtf-runner"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .args(["bench", "example", "--xen", "4.17", "--rounds", "1", "--json", "-j", "2"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let figures = json["figures"].as_array().unwrap();
    // Eight for each environment, five of the suite.
    assert_eq!(figures.len(), 2 * 8 + 5, "{text}");
    for figure in figures {
        assert_eq!(figure["samples"].as_array().unwrap().len(), 1, "{figure}");
        assert!(figure["median"].as_f64().unwrap() > 0.0, "{figure}");
    }
    let ratio = |name: &str| figures.iter().find(|f| f["name"] == name).unwrap()["ratio"].as_f64();
    assert!(ratio("boot, no test, real time").unwrap() > 0.0);
    assert_eq!(ratio("suite"), None);
}

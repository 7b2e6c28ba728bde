//! The runner's verdicts on the real image under real Xen: the good guest passes, and each guest
//! that misbehaves on purpose is reported as what it is.
//!
//! Needs the built image, QEMU and a Xen in the cache, so `make test` runs these (they are
//! ignored otherwise).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ENVIRONMENTS: [&str; 2] = ["pv64", "pvh64"];

struct Run {
    code: i32,
    stdout: String,
    logs: PathBuf,
    _dir: tempfile::TempDir,
}

impl Run {
    fn of(environment: &str, args: &[&str]) -> Run {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("logs");
        let output = Command::new(env!("CARGO_BIN_EXE_xtf-runner"))
            .current_dir(&workspace)
            .args(["run", "--xen", "4.17", "--env", environment, "--logs"])
            .arg(&logs)
            .args(args)
            .output()
            .unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        Run { code: output.status.code().unwrap_or(-1), stdout, logs, _dir: dir }
    }

    /// The guest's part of the one boot's console.
    fn guest_log(&self) -> String {
        let boot = fs::read_dir(self.logs.join("latest")).unwrap().find_map(|entry| {
            let path = entry.unwrap().path().join("guest.log");
            path.is_file().then_some(path)
        });
        fs::read_to_string(boot.expect("a boot's folder")).unwrap()
    }

    #[track_caller]
    fn says(&self, words: &str) {
        assert!(self.stdout.contains(words), "«{words}» is not in:\n{}", self.stdout);
    }
}

/// Runs one bad guest in both environments.
#[track_caller]
fn verdict(test: &str, code: i32, words: &[&str]) {
    for environment in ENVIRONMENTS {
        let run = Run::of(environment, &[test]);
        assert_eq!(run.code, code, "{environment}:\n{}", run.stdout);
        for word in words {
            run.says(word);
        }
    }
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
    verdict("bad-hang", 7, &["TIMEOUT [", "in case spins_for_ever", "no result within 5 s"]);
}

#[test]
#[ignore = "boots real Xen"]
fn payloads_left_behind_are_an_error_and_gone() {
    let words = "payloads left behind, removed: -checked, -applied";
    verdict("bad-leftover", 4, &["ERROR [", words]);
}

#[test]
#[ignore = "boots real Xen"]
fn a_flood_is_a_crash() {
    verdict("bad-flood", 6, &["CRASH [", "console flood", "in case prints_for_ever"]);
}

#[test]
#[ignore = "boots real Xen"]
fn a_panic_is_an_error_with_its_place() {
    let place = "PANIC tests/src/bad/panic.rs:";
    verdict("bad-panic", 4, &["ERROR [", place, "on purpose", "in case panics", "{closure#1} at "]);
}

#[test]
#[ignore = "boots real Xen"]
fn a_trap_is_an_error_with_registers_and_frames() {
    let place = "kernel/src/run.rs:";
    verdict("bad-trap", 4, &["unexpected trap #PF", "cr2 0x0", "# rax ", "in case faults", place]);
}

#[test]
#[ignore = "boots real Xen"]
fn a_triple_fault_is_a_crash_in_xens_words() {
    verdict("bad-triple-fault", 6, &["CRASH [", "in case triple_faults", "| (XEN) "]);
}

#[test]
#[ignore = "boots real Xen"]
fn a_xen_panic_is_a_crash_in_xens_words() {
    verdict("bad-xen-panic", 6, &["Xen panicked", "FATAL PAGE FAULT", "in case xen_survives"]);
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

/// The guest and the runner read a pattern alike: else the judge would miss cases.
#[test]
#[ignore = "boots real Xen"]
fn cases_are_selected_in_the_guest() {
    for environment in ENVIRONMENTS {
        let words = ["selftest/c*/*", "!*/*flood*", "example/version/major_is_?"];
        let run = Run::of(environment, &words);
        assert_eq!(run.code, 0, "{}", run.stdout);
        run.says("example (1 case)");
        run.says("selftest (6 cases)");
        let log = run.guest_log();
        assert!(log.contains("  ok 6 console/a_long_line_stays_whole\n"), "{log}");
        assert!(!log.contains("flood") && !log.contains("heap/"), "{log}");
    }
}

#[test]
#[ignore = "boots real Xen"]
fn long_lines_and_floods_arrive_whole() {
    for environment in ENVIRONMENTS {
        let run = Run::of(environment, &["selftest"]);
        assert_eq!(run.code, 0, "{}", run.stdout);
        let log = run.guest_log();
        let long = format!("  # long line: {} end", "0123456789".repeat(500));
        assert!(log.lines().any(|line| line == long), "{environment}: the long line is damaged");
        let flood: Vec<&str> = log.lines().filter(|line| line.contains("# flood:")).collect();
        let whole: Vec<String> =
            (0..500).map(|line| format!("  # flood: line {line:03} of 500")).collect();
        assert_eq!(flood, whole, "{environment}");
    }
}

#[test]
#[ignore = "boots real Xen"]
fn options_that_xen_does_not_take_are_errors() {
    for environment in ENVIRONMENTS {
        let options = "--xen-cmdline=ucode=no-scan frob=1 conring_size=zz";
        let run = Run::of(environment, &["example", options]);
        assert_eq!(run.code, 4, "{}", run.stdout);
        run.says("does not take an option of its command line: parameter \"frob\" unknown!");
        run.says("parameter \"conring_size\" has invalid value \"zz\", rc=-22!");
    }
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
    for environment in ENVIRONMENTS {
        let run = Run::of(environment, &["example", "--xen-cmdline=loglvl=none"]);
        assert_eq!(run.code, 0, "{}", run.stdout);
        assert!(run.guest_log().contains(" loglvl=none\n"), "{}", run.guest_log());
    }
}

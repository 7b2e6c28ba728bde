//! Domains of the real xl: in a Linux dom0 under real Xen in QEMU, and through ssh on that dom0 as
//! if it were anybody's Xen host. And Debian's xen-livepatch on a payload of ours.
//!
//! Needs the built image, QEMU, ssh and Debian's packages, so `make test-xl` runs these (they are
//! ignored otherwise).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

mod payloads;
#[path = "fixtures/xen_host.rs"]
mod xen_host;

use xen_host::{Running, XenHost, runner, wait_for};

struct Run {
    code: i32,
    text: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Run {
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        Run { code: output.status.code().unwrap_or(-1), text: said.concat() }
    }
}

impl Run {
    fn of(args: &[&str]) -> Run {
        runner(args).output().unwrap().into()
    }

    #[track_caller]
    fn ends(&self, code: i32) -> &Run {
        assert_eq!(self.code, code, "{}", self.text);
        self
    }

    #[track_caller]
    fn says(&self, words: &str) -> &Run {
        assert!(self.text.contains(words), "«{words}» is not in:\n{}", self.text);
        self
    }
}

impl Running {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.0.as_ref().unwrap()), signal).unwrap();
    }

    fn end(mut self) -> Run {
        self.0.take().unwrap().wait_with_output().unwrap().into()
    }
}

const ON_4_17: [&str; 5] = ["run", "--backend", "qemu-xl", "--xen", "4.17"];

#[test]
#[ignore = "boots real Xen"]
fn bad_guests_are_told_from_good_ones_in_every_environment() {
    let tests = ["example", "bad-error", "bad-failure", "bad-panic", "bad-triple-fault"];
    let run = Run::of(&[&ON_4_17[..], &tests].concat());
    run.ends(6).says("✗ wrong: expected EINVAL, got ENOENT").says("! unable");
    run.says("PANIC tests/src/bad/panic.rs:").says("† triple_faults: ").says("| (XEN) ");
    for environment in ["pv64 ", "pvh64", "hvm64"] {
        run.says(&format!("4.17 {environment} example (2 cases)"));
    }
    run.says("3 passed, 12 failed, 0 skipped");
}

#[test]
#[ignore = "boots real Xen"]
fn what_needs_privileges_is_skipped_with_the_reason() {
    let run = Run::of(&[&ON_4_17[..], &["--env", "pv64", "livepatch-list"]].concat());
    run.ends(3).says("livepatch-list: not privileged");
}

#[test]
#[ignore = "boots real Xen"]
fn a_domain_that_hangs_is_destroyed_and_the_next_one_runs() {
    let run = Run::of(&[&ON_4_17[..], &["--env", "pvh64", "bad-hang", "example"]].concat());
    run.ends(7).says("no result within").says("† spins_for_ever: ");
    run.says("1 passed, 1 failed, 0 skipped");
}

/// Each step, what xen-livepatch says to it, and what `xl info` then shows.
#[test]
#[ignore = "boots real Xen"]
fn debians_client_takes_a_payload_of_ours() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ours.livepatch");
    let file = file.to_str().unwrap();
    Run::of(&["payload", "write", "--xen", "4.17", "-o", file, "--text", "-seen"]).ends(0);
    let script = "
        show() { echo \"== $1\"; xen-livepatch list; xl info | grep -E '^xen_(extra|version) '; }
        show before
        xen-livepatch upload ours ours.livepatch && show upload
        xen-livepatch apply ours && show apply
        xen-livepatch revert ours && show revert
        xen-livepatch apply ours && show again
        xen-livepatch unload ours && echo 'unloaded while applied'
        show refused
        xen-livepatch revert ours && xen-livepatch unload ours && show unload && exit 3";
    let run = Run::of(&["dom0", "--xen", "4.17", "--put", file, "--", script]);
    // The command's own exit code.
    run.ends(3);
    run.says("ours is in the wrong state.\nCurrent state: APPLIED\nExpected state: CHECKED");
    assert!(!run.text.contains("unloaded while applied"), "{}", run.text);
    let step = |name: &str| {
        let (_, rest) = run.text.split_once(&format!("== {name}\n")).expect(&run.text);
        rest.split("== ").next().unwrap().to_owned()
    };
    let status = |text: &str| {
        let mut lines = text.lines().filter(|line| line.starts_with("ours "));
        lines.find_map(|line| Some(line.split('|').nth(1)?.trim().to_owned()))
    };
    let extra = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("xen_extra")).unwrap();
        line.split_once(": ").unwrap().1.to_owned()
    };
    let original = extra(&step("before"));
    assert_ne!(original, "-seen");
    for (name, expected, shown) in [
        ("before", None, original.as_str()),
        ("upload", Some("CHECKED"), &original),
        ("apply", Some("APPLIED"), "-seen"),
        ("revert", Some("CHECKED"), &original),
        ("again", Some("APPLIED"), "-seen"),
        ("refused", Some("APPLIED"), "-seen"),
        ("unload", None, &original),
    ] {
        let text = step(name);
        assert_eq!((status(&text).as_deref(), extra(&text).as_str()), (expected, shown), "{name}");
    }
    let version = step("apply");
    assert!(version.lines().any(|line| line.ends_with(": 4.17-seen")), "{version}");
}

#[test]
#[ignore = "boots real Xen"]
fn the_dom0_gets_packages_and_keeps_quoting_and_exit_codes() {
    let dom0 = ["dom0", "--xen", "4.17"];
    let of = |rest: &[&str]| Run::of(&[&dom0, rest].concat());
    let script = "import json, sys; print(json.dumps(['a  b', sys.prefix])); sys.exit(3)";
    let python = of(&["--with", "python3", "--", "/usr/bin/env", "python3", "-c", script]);
    python.ends(3).says("[\"a  b\", \"/usr\"]");
    // Neither is taken for the other.
    of(&["--", "python3 --version"]).ends(127).says("python3: not found");
    of(&["--", "sh", "-c", "echo \"a  b\"; exit 4"]).ends(4).says("a  b\n");
}

/// The process numbers of the QEMUs whose command has this word in it.
fn qemus(word: &str) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let path = entry.ok()?.path();
        let command = fs::read(path.join("cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let number = path.file_name()?.to_str()?.parse().ok()?;
        (command.contains("hostfwd") && command.contains(word)).then(|| Pid::from_raw(number))?
    });
    entries.collect()
}

#[test]
#[ignore = "boots real Xen"]
fn no_end_of_the_runner_leaves_a_qemu() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::KILL, -1)] {
        let word = format!("xtf-test-{}-{code}", std::process::id());
        let logs = tempfile::tempdir().unwrap();
        let path = logs.path().to_str().unwrap();
        let rest = ["--env", "pv64", "bad-hang", "--timeout", "2000", "--logs", path];
        let args = [&ON_4_17[..], &rest, &["--xen-cmdline", &word]].concat();
        let run = Running::start(&args);
        let console = logs.path().join("latest/001-4.17-pv64-bad-hang/guest.log");
        wait_for("the test did not begin", || {
            fs::read_to_string(&console).is_ok_and(|text| text.contains("# Subtest: bad-hang"))
        });
        let qemus = qemus(&word);
        assert_eq!(qemus.len(), 1, "{qemus:?}");
        run.signal(signal);
        run.end().ends(code);
        wait_for("QEMU outlived the runner", || test_kill_process(qemus[0]).is_err());
    }
}

impl XenHost {
    fn ssh(&self, line: &str) -> String {
        let output = Command::new("ssh")
            .args(["-n", "-o", "BatchMode=yes", "-F"])
            .arg(self.config())
            .args(["xtf-dom0", line])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn args<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        let config = self.config();
        let host = ["run", "--backend", "xl", "--host", "xtf-dom0", "--ssh-config", config];
        [&host[..], rest].concat()
    }
}

#[test]
#[ignore = "boots real Xen"]
fn through_ssh_on_a_xen_host() {
    let host = XenHost::boot(&[]);
    let before = host.ssh("ls /tmp");
    let logs = tempfile::tempdir().unwrap();
    let logs = logs.path().to_str().unwrap();
    let run = Run::of(&host.args(&["--logs", logs]));
    run.ends(0).says("xtf-dom0 pv64  example").says("xtf-dom0 pvh64 selftest");
    run.says("xtf-dom0 hvm64 livepatch-priv");
    let guest = Path::new(logs).join("latest/001-xtf-dom0-pv64/guest.log");
    assert!(fs::read_to_string(guest).unwrap().ends_with("Test result: SUCCESS\n"));
    let domains = || host.ssh("xl list | wc -l").trim().to_owned();
    assert_eq!((domains().as_str(), host.ssh("ls /tmp")), ("2", before.clone()));

    for (signal, code) in [(Signal::INT, 130), (Signal::KILL, -1)] {
        let logs = tempfile::tempdir().unwrap();
        let path = logs.path().to_str().unwrap();
        let rest = ["--env", "pv64", "bad-hang", "--timeout", "2000", "--logs", path];
        let guest = logs.path().join("latest/001-xtf-dom0-pv64-bad-hang/guest.log");
        let run = Running::start(&host.args(&rest));
        wait_for("no domain", || domains() == "3");
        wait_for("the test did not begin", || {
            fs::read_to_string(&guest).is_ok_and(|text| text.contains("# Subtest: bad-hang"))
        });
        run.signal(signal);
        run.end().ends(code);
        wait_for("the domain outlived the runner", || domains() == "2");
        wait_for("the folder outlived the runner", || host.ssh("ls /tmp") == before);
    }

    let wrong =
        ["run", "--backend", "xl", "--host", "nobody@xtf-dom0", "--ssh-config", host.config()];
    Run::of(&wrong).ends(69).says("cannot start a shell on nobody@xtf-dom0: ");
}

/// So many have a verdict at least.
const JUDGED: usize = 200;

/// What `payload show` says of the files, and of the Xen.
fn show(files: &[PathBuf], xen: &str) -> Value {
    let mut command = runner(&["payload", "show", "--each", "--json", "--xen", xen]);
    let out = command.args(files).output().unwrap();
    let why = |e| panic!("{e}: {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap_or_else(why)
}

/// The error with which each file will be refused, 0 if it is taken; `None` where the model cannot
/// tell.
fn verdicts(files: &[PathBuf], xen: &str) -> Vec<Option<u64>> {
    let shown = show(files, xen);
    let verdicts = shown["xens"][0]["files"].as_array().unwrap().iter();
    let number = |verdict: &Value| match verdict["upload"].as_str()? {
        "success" => Some(0),
        "refused" => verdict["refusal"]["number"].as_u64(),
        _ => None,
    };
    verdicts.map(number).collect()
}

/// The verdict of `payload show` is Xen's.
#[test]
#[ignore = "boots real Xen"]
fn payloads_are_taken_and_refused_as_foretold() {
    for xen in ["4.17", "4.20"] {
        let dir = tempfile::tempdir().unwrap();
        let first = payloads::build(&payloads::SHAPES[0], &[0; 20], dir.path());
        let shown = show(&[first], xen);
        let id = shown["xens"][0]["build_id"].as_str().unwrap();
        let id: Vec<u8> = (0..id.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&id[at..at + 2], 16).unwrap())
            .collect();

        let files = payloads::many(&id, dir.path());
        let foretold: Vec<(PathBuf, u64)> = files
            .iter()
            .cloned()
            .zip(verdicts(&files, xen))
            .filter_map(|(file, verdict)| Some((file, verdict?)))
            .collect();
        for (shape, verdict) in payloads::SHAPES.iter().zip(verdicts(&files, xen)) {
            assert_eq!(shape.verdict.is_none(), verdict == Some(0), "{xen}: {}", shape.name);
        }
        let taken = foretold.iter().filter(|(_, errno)| *errno == 0).count();
        assert!(foretold.len() >= JUDGED, "{xen}: {} of {}", foretold.len(), files.len());
        assert!(taken > 20 && taken + 20 < foretold.len(), "{xen}: {taken} are taken");

        let all = dir.path().join("all.tar");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(dir.path()).arg("-cf").arg(&all);
        let names = foretold.iter().map(|(file, _)| file.file_name().unwrap());
        assert!(tar.args(names).status().unwrap().success());
        let script = "tar -xf all.tar; for file in *.livepatch; do
                echo \"== $file\"; xen-livepatch upload a $file 2>&1; echo \"ended with $?\"
                xen-livepatch unload a >/dev/null 2>&1; done; echo == end";
        let run = Run::of(&["dom0", "--xen", xen, "--put", all.to_str().unwrap(), "--", script]);
        run.ends(0).says("== end");
        for (file, errno) in &foretold {
            let name = file.file_name().unwrap().to_str().unwrap();
            let (_, said) = run.text.split_once(&format!("== {name}\n")).expect(&run.text);
            let said = said.split("== ").next().unwrap();
            let error = said.split_once("rror ").map(|(_, rest)| {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                digits.parse::<u64>().unwrap_or(u64::MAX)
            });
            let got = if said.contains("ended with 0") { Some(0) } else { error };
            assert_eq!(got, Some(*errno), "{xen}: {name}: {said}");
        }
        println!("{xen}: {} verdicts, {taken} taken", foretold.len());
    }
}

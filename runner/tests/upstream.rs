//! Upstream XTF's own `xtf-runner`, unmodified, on an exported tree, on a real Xen host.
//!
//! Nothing of upstream is in this project. `UPSTREAM` names a checkout, or a folder with its
//! `xtf-runner`; `XEN_HOST` is a command that runs a line on a host with xl and Python 3, such as
//! `ssh root@box`. For the mode `logfile` that host's xenconsoled has to run with `--log=guest`.
//! Without `XEN_HOST` the host is the Linux dom0 of `xtf-runner dom0`. `make test-upstream` says so
//! too.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

#[path = "fixtures/xen_host.rs"]
mod xen_host;

use xen_host::XenHost;

/// What is asked for, what upstream's runner is to say of each domain, and how it is to end.
struct Row {
    selection: &'static [&'static str],
    results: &'static [(&'static str, &'static str)],
    code: i32,
}

/// The dom0's xenconsoled keeps no logs: those of thousands of domains would fill its memory.
const LOG_OF_GUESTS: &str = "pid=$(cat /run/xenconsoled.pid) && kill $pid &&
    while kill -0 $pid 2>/dev/null; do sleep 1; done
    mkdir -p /var/log/xen/console && xenconsoled --log=guest --pid-file=/run/xenconsoled.pid";

const ROWS: &[Row] = &[
    Row {
        selection: &["example", "example-pvh"],
        results: &[
            ("test-pv64-example", "SUCCESS"),
            ("test-hvm64-example", "SUCCESS"),
            ("test-hvm64-example-pvh", "SUCCESS"),
        ],
        code: 0,
    },
    Row {
        selection: &["functional", "livepatch-priv", "livepatch-priv-pvh"],
        results: &[
            ("test-pv64-livepatch-priv", "SUCCESS"),
            ("test-hvm64-livepatch-priv", "SUCCESS"),
            ("test-hvm64-livepatch-priv-pvh", "SUCCESS"),
        ],
        code: 0,
    },
    Row { selection: &["pv64-selftest"], results: &[("test-pv64-selftest", "SUCCESS")], code: 0 },
    Row {
        selection: &["pv64-livepatch-args"],
        results: &[("test-pv64-livepatch-args", "SKIP")],
        code: 3,
    },
    Row {
        selection: &["bad-error"],
        results: &[("test-pv64-bad-error", "ERROR"), ("test-hvm64-bad-error", "ERROR")],
        code: 4,
    },
    Row {
        selection: &["bad-panic-pvh"],
        results: &[("test-hvm64-bad-panic-pvh", "ERROR")],
        code: 4,
    },
    Row {
        selection: &["bad-failure"],
        results: &[("test-pv64-bad-failure", "FAILURE"), ("test-hvm64-bad-failure", "FAILURE")],
        code: 5,
    },
    Row {
        selection: &["bad-triple-fault", "bad-triple-fault-pvh", "pv64-example"],
        results: &[
            ("test-pv64-bad-triple-fault", "CRASH"),
            ("test-hvm64-bad-triple-fault", "CRASH"),
            ("test-hvm64-bad-triple-fault-pvh", "CRASH"),
            ("test-pv64-example", "SUCCESS"),
        ],
        code: 6,
    },
];

/// The same of 32-bit domains, in a tree of their own: Debian's Xen takes no PV domain among them.
const NARROW_ROWS: &[Row] = &[
    Row {
        selection: &["utility"],
        results: &[
            ("test-hvm32-example", "SUCCESS"),
            ("test-hvm32pse-example", "SUCCESS"),
            ("test-hvm32pae-example", "SUCCESS"),
        ],
        code: 0,
    },
    Row {
        selection: &["hvm32-bad-triple-fault", "hvm32pae-bad-error"],
        results: &[("test-hvm32-bad-triple-fault", "CRASH"), ("test-hvm32pae-bad-error", "ERROR")],
        code: 6,
    },
];

/// The tests that the rows are about.
const TESTS: [&str; 8] = [
    "example",
    "selftest",
    "livepatch-priv",
    "livepatch-args",
    "bad-error",
    "bad-panic",
    "bad-failure",
    "bad-triple-fault",
];

/// The words in front of a line that a Xen host is to run.
struct Host {
    command: Vec<String>,
    _booted: Option<XenHost>,
}

impl Host {
    /// The one that is given, or the Linux dom0.
    fn of(given: &str) -> Host {
        let command: Vec<String> = given.split_ascii_whitespace().map(str::to_owned).collect();
        if !command.is_empty() {
            return Host { command, _booted: None };
        }
        let booted = XenHost::boot(&["--with", "python3"]);
        let command = ["ssh", "-o", "BatchMode=yes", "-F", booted.config(), "xtf-dom0"];
        let host = Host { command: command.map(str::to_owned).to_vec(), _booted: Some(booted) };
        let (_, code) = host.run(LOG_OF_GUESTS, Stdio::null());
        assert_eq!(code, 0, "xenconsoled does not start again");
        host
    }

    /// Runs a line there; what it prints and how it ends.
    fn run(&self, line: &str, input: Stdio) -> (String, i32) {
        let (program, words) = self.command.split_first().unwrap();
        let output = Command::new(program)
            .args(words)
            .arg(line)
            .stdin(input)
            .stderr(Stdio::inherit())
            .output()
            .unwrap_or_else(|e| panic!("{program}: {e}"));
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code().unwrap_or(-1))
    }

    /// Copies a folder there; its path.
    fn copy(&self, tree: &Path) -> String {
        let (folder, code) = self.run("mktemp -d", Stdio::null());
        assert_eq!(code, 0, "the host makes no temporary folder");
        let folder = folder.trim().to_owned();
        let mut tar = Command::new("tar")
            .args(["-cf", "-", "."])
            .current_dir(tree)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let unpack = format!("tar -C {folder} -xf -");
        let input = tar.stdout.take().unwrap().into();
        assert_eq!(self.run(&unpack, input).1, 0, "the host unpacks no tar");
        assert!(tar.wait().unwrap().success());
        folder
    }
}

#[test]
#[ignore = "needs upstream's xtf-runner"]
fn upstreams_runner_gives_the_right_answers() {
    let host = Host::of(&env::var("XEN_HOST").unwrap_or_default());
    let narrow = ["example", "bad-triple-fault", "bad-error", "--env", "hvm32,hvm32pse,hvm32pae"];
    let wrong = [wrong(&host, &TESTS, ROWS), wrong(&host, &narrow, NARROW_ROWS)].concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What it says otherwise than the rows, of the tree that `export` makes with these arguments.
fn wrong(host: &Host, arguments: &[&str], rows: &[Row]) -> Vec<String> {
    let upstream = env::var("UPSTREAM").expect("UPSTREAM: a checkout of upstream's XTF");
    let tree = tempfile::tempdir().unwrap();
    let export = Command::new(env!("CARGO_BIN_EXE_xtf-runner"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .arg("export")
        .arg(tree.path())
        .args(arguments)
        .status()
        .unwrap();
    assert!(export.success());
    let runner = Path::new(&upstream).join("xtf-runner");
    fs::copy(&runner, tree.path().join("xtf-runner"))
        .unwrap_or_else(|e| panic!("UPSTREAM: {}: {e}", runner.display()));

    let folder = host.copy(tree.path());
    let mut wrong = Vec::new();
    for mode in ["console", "logfile"] {
        for row in rows {
            let selection = row.selection.join(" ");
            let line = format!("cd {folder} && python3 xtf-runner -m {mode} {selection} 2>&1");
            let (text, code) = host.run(&line, Stdio::null());
            println!("-m {mode} {selection}: exit {code}");
            let summary = text.split_once("Combined test results:").map_or("", |(_, rest)| rest);
            let mut results: Vec<(&str, &str)> = summary
                .lines()
                .filter_map(|line| line.split_once(' '))
                .map(|(name, result)| (name, result.trim()))
                .collect();
            let mut expected = row.results.to_vec();
            results.sort_unstable();
            expected.sort_unstable();
            if code != row.code || results != expected {
                wrong.push(format!(
                    "-m {mode} {selection}: expected {}, {expected:?}, got {code} and:\n{text}",
                    row.code
                ));
            }
        }
    }
    assert_eq!(host.run(&format!("rm -r {folder}"), Stdio::null()).1, 0);
    wrong
}

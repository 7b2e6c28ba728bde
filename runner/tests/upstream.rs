//! Upstream XTF's own `xtf-runner`, unmodified, on an exported tree, on a real Xen host.
//!
//! Nothing of upstream is in this project. `UPSTREAM` names a checkout, or a folder with its
//! `xtf-runner`; `XEN_HOST` is a command that runs a line on a host with xl and Python 3, such as
//! `ssh root@box`. For the mode `logfile` that host's xenconsoled has to run with `--log=guest`.
//! `make test-upstream` says so too.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What is asked for, what upstream's runner is to say of each domain, and how it is to end.
struct Row {
    selection: &'static [&'static str],
    results: &'static [(&'static str, &'static str)],
    code: i32,
}

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

fn variable(name: &str, what: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: {what}"))
}

/// Runs a line on the host; what it prints and how it ends.
fn on_host(line: &str, input: Stdio) -> (String, i32) {
    let host = variable("XEN_HOST", "a command that runs a line on a Xen host, as `ssh root@box`");
    let mut words = host.split_ascii_whitespace();
    let output = Command::new(words.next().expect("XEN_HOST is empty"))
        .args(words)
        .arg(line)
        .stdin(input)
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|e| panic!("XEN_HOST `{host}`: {e}"));
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code().unwrap_or(-1))
}

fn copy_to_host(tree: &Path) -> String {
    let (folder, code) = on_host("mktemp -d", Stdio::null());
    assert_eq!(code, 0, "the host makes no temporary folder");
    let folder = folder.trim().to_owned();
    let mut tar = Command::new("tar")
        .args(["-cf", "-", "."])
        .current_dir(tree)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let unpack = format!("tar -C {folder} -xf -");
    assert_eq!(on_host(&unpack, tar.stdout.take().unwrap().into()).1, 0, "the host unpacks no tar");
    assert!(tar.wait().unwrap().success());
    folder
}

#[test]
#[ignore = "needs upstream's xtf-runner and a Xen host"]
fn upstreams_runner_gives_the_right_answers() {
    let upstream = variable("UPSTREAM", "a checkout of upstream's XTF");
    let tree = tempfile::tempdir().unwrap();
    let export = Command::new(env!("CARGO_BIN_EXE_xtf-runner"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .arg("export")
        .arg(tree.path())
        .args(TESTS)
        .status()
        .unwrap();
    assert!(export.success());
    let runner = Path::new(&upstream).join("xtf-runner");
    fs::copy(&runner, tree.path().join("xtf-runner"))
        .unwrap_or_else(|e| panic!("UPSTREAM: {}: {e}", runner.display()));

    let folder = copy_to_host(tree.path());
    let mut wrong = Vec::new();
    for mode in ["console", "logfile"] {
        for row in ROWS {
            let selection = row.selection.join(" ");
            let line = format!("cd {folder} && python3 xtf-runner -m {mode} {selection} 2>&1");
            let (text, code) = on_host(&line, Stdio::null());
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
    assert_eq!(on_host(&format!("rm -r {folder}"), Stdio::null()).1, 0);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

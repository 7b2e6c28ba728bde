//! `fuzz livepatch` under real Xen. Needs the image, the plugin, xtf-fuzz and QEMU, and a Xen in the
//! cache. Release builds only: `make test-fuzz`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn runner(words: &[&str]) -> Output {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut command = Command::new(workspace.join("target/release/xtf-runner"));
    command.current_dir(workspace).args(words).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The texts that a run has left in `findings`.
fn kept(findings: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(findings).unwrap().map(|entry| entry.unwrap().path());
    let entries = folders.flat_map(|folder| fs::read_dir(folder).unwrap());
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// How many machines a run used, and how many of its findings cost it one.
fn machines_and_findings(text: &str) -> (usize, usize) {
    let (_, rest) = text.split_once("waiting for ").unwrap();
    let (machines, _) = rest.split_once(" machines").unwrap();
    (machines.parse().unwrap(), text.matches(" KNOWN ").count())
}

#[test]
#[ignore = "fuzzes Xen"]
fn what_is_known_is_no_news_and_replays() {
    let dir = tempfile::tempdir().unwrap();
    let (corpus, findings) = (dir.path().join("corpus"), dir.path().join("findings"));
    let common = ["fuzz", "livepatch", "--xen", "4.17", "--seconds", "20", "--findings"];
    let fuzz = |more: &[&str]| {
        let findings = findings.to_str().unwrap();
        runner(&[&common[..], &[findings, "--corpus", corpus.to_str().unwrap()], more].concat())
    };
    let output = fuzz(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    // One at first, one for each finding, a few for what nobody could foresee; more if programs got
    // into each other's way.
    let (machines, findings_known) = machines_and_findings(&said(&output));
    assert!(findings_known > 0, "{}", said(&output));
    assert!(machines <= findings_known + 3, "{}", said(&output));
    let blocks = fs::read_to_string(corpus.join("blocks.lst")).unwrap();
    assert!(blocks.lines().count() > 500, "{} blocks", blocks.lines().count());
    for finding in kept(&findings) {
        let path = finding.to_str().unwrap();
        let output = runner(&["replay", path, "--xen", "4.17", "--times", "3"]);
        assert_eq!(output.status.code(), Some(6), "{path}: {}", said(&output));
    }
    // The same without the file that knows them.
    let nothing = dir.path().join("nothing.toml");
    fs::write(&nothing, "").unwrap();
    let output = fuzz(&["--expect", nothing.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(6), "{}", said(&output));
    assert!(said(&output).contains(" CRASH "), "{}", said(&output));
}

#[test]
#[ignore = "fuzzes Xen"]
fn a_pvh_control_domain_gets_its_programs_too() {
    let dir = tempfile::tempdir().unwrap();
    let (corpus, findings) = (dir.path().join("corpus"), dir.path().join("findings"));
    let (corpus, findings) = (corpus.to_str().unwrap(), findings.to_str().unwrap());
    let common = ["fuzz", "livepatch", "--xen", "4.17", "--env", "pvh64", "--seconds", "10"];
    let output = runner(&[&common[..], &["--findings", findings, "--corpus", corpus]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let blocks = fs::read_to_string(dir.path().join("corpus/blocks.lst")).unwrap();
    assert!(blocks.lines().count() > 400, "{} blocks", blocks.lines().count());
}

/// Xen with the check of a name's last byte inverted: right names are refused.
#[test]
#[ignore = "fuzzes Xen"]
fn a_flaw_put_in_on_purpose_is_found_and_replays() {
    let branch = ["--functions", "get_name", "--only", "get_name+0x3e", "livepatch-name"];
    let output = runner(&[&["mutate", "--xen", "4.17"], &branch[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (mutant, findings) = (dir.path().join("mutant"), dir.path().join("findings"));
    fs::copy(workspace.join("logs/latest/mutant"), &mutant).unwrap();
    let symbols = workspace.join(".cache/debian-bookworm-xen-hypervisor-4.17-amd64-dbg/xen");
    let (mutant, symbols) = (mutant.to_str().unwrap(), symbols.to_str().unwrap());
    // The function that was changed is not what the symbols say, and so can't guide.
    let output = runner(&[
        "fuzz",
        "livepatch",
        "--xen",
        mutant,
        "--symbols",
        symbols,
        "--functions",
        "livepatch_op",
        "--seconds",
        "10",
        "--findings",
        findings.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    let found = kept(&findings);
    let path = found.iter().find(|path| path.to_string_lossy().contains("diverges"));
    let path = path.unwrap_or_else(|| panic!("{found:?}")).to_str().unwrap();
    let output = runner(&["replay", path, "--xen", mutant, "--times", "3"]);
    assert_eq!(output.status.code(), Some(5), "{path}: {}", said(&output));
    let output = runner(&["replay", path, "--xen", "4.17"]);
    assert_eq!(output.status.code(), Some(0), "{path}: {}", said(&output));
}

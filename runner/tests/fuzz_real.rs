//! `fuzz` under real Xen. Needs the image, the plugin, xtf-fuzz and QEMU, and a Xen in
//! the cache. Release builds only: `make test-fuzz`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[path = "fixtures/ended_xen.rs"]
mod ended_xen;

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

/// Runs that make use of what the runs before have learned, on a Xen that ends whenever it reverts.
#[test]
#[ignore = "fuzzes Xen"]
fn what_ends_a_xen_is_found_learned_and_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (xen, corpus, findings) = (path("xen"), path("corpus"), path("findings"));
    // An undefined instruction.
    ended_xen::write(Path::new(&xen), "revert_payload", &[0x0f, 0x0b]);
    let symbols = ended_xen::symbols();
    let symbols = symbols.to_str().unwrap();
    // The function that was changed is not what the symbols say, and so can't guide.
    let common = ["--symbols", symbols, "--functions", "livepatch_op", "--seconds", "30"];
    let fuzz = |more: &[&str]| {
        let places = ["--corpus", &corpus, "--findings", &findings, "--xen", &xen];
        runner(&[&["fuzz", "livepatch"], &places[..], &common[..], more].concat())
    };
    // The project's own file knows of that function on this release.
    let nothing = dir.path().join("nothing.toml");
    fs::write(&nothing, "").unwrap();
    let nothing = nothing.to_str().unwrap();
    let output = fuzz(&["--expect", nothing]);
    assert!(matches!(output.status.code(), Some(6 | 7)), "{}", said(&output));
    assert!(said(&output).contains("CRASH revert_payload"), "{}", said(&output));
    assert!(said(&output).contains("\nlearned: "), "{}", said(&output));
    let found = kept(Path::new(&findings));
    let finding = found.iter().find(|path| path.to_string_lossy().contains("revert_payload"));
    let finding = finding.unwrap().to_str().unwrap();
    let output = runner(&["replay", finding, "--xen", &xen, "--xen", "4.17"]);
    assert_eq!(output.status.code(), Some(6), "{}", said(&output));
    assert!(said(&output).contains("still dies"), "{}", said(&output));

    let mut learned = fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path());
    let is_learned = |path: &PathBuf| path.to_string_lossy().contains("learned-");
    let learned = learned.find(is_learned).unwrap();
    let text = fs::read_to_string(&learned).unwrap();
    assert!(text.contains("place = \"revert_payload"), "{text}");
    assert!(text.contains("\"apply\""), "{text}");
    // What is expected everywhere is no news.
    let known = dir.path().join("known.toml");
    let entry = |status| {
        format!("[[expect]]\ntest = 'fuzz/*'\nstatus = '{status}'\nreason = 'on purpose'\n")
    };
    fs::write(&known, entry("CRASH") + &entry("TIMEOUT")).unwrap();
    let output = fuzz(&["--expect", known.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    // Forgotten at the start, learned anew.
    let output = fuzz(&["--forget", "--expect", nothing]);
    assert!(said(&output).contains(" revert_payload"), "{}", said(&output));
}

#[test]
#[ignore = "fuzzes Xen"]
fn a_pvh_control_domain_gets_its_programs_too() {
    let dir = tempfile::tempdir().unwrap();
    let (corpus, findings) = (dir.path().join("corpus"), dir.path().join("findings"));
    let (corpus, findings) = (corpus.to_str().unwrap(), findings.to_str().unwrap());
    let common = ["fuzz", "livepatch", "--xen", "4.17", "--env", "pvh64", "--seconds", "10"];
    let output = runner(&[&common[..], &["--findings", findings, "--corpus", corpus]].concat());
    assert!(matches!(output.status.code(), Some(0 | 6 | 7)), "{}", said(&output));
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
    let symbols = ended_xen::symbols();
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
    let path = found.iter().find(|path| path.to_string_lossy().contains("divergence"));
    let path = path.unwrap_or_else(|| panic!("{found:?}")).to_str().unwrap();
    let output = runner(&["replay", path, "--xen", mutant, "--times", "3"]);
    assert_eq!(output.status.code(), Some(5), "{path}: {}", said(&output));
    let output = runner(&["replay", path, "--xen", "4.17"]);
    assert_eq!(output.status.code(), Some(0), "{path}: {}", said(&output));
}

/// Xen with a privileged call that does nothing and succeeds, for everybody. It comes first in a
/// multicall, whose own answer says nothing of it.
#[test]
#[ignore = "fuzzes Xen"]
fn a_privileged_call_granted_in_a_multicall_is_found_and_replays() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    // Return 0.
    ended_xen::write(Path::new(&path("xen")), "do_kexec_op", &[0x31, 0xc0, 0xc3]);
    let toolstack = "toolstack = { suite = 'bookworm', package = 'xen-utils-4.17' }";
    let config = path("xtf-runner.toml");
    fs::write(&config, format!("[hypervisor.granting]\npath = 'xen'\n{toolstack}\n")).unwrap();
    std::os::unix::fs::symlink(workspace.join(".cache"), path(".cache")).unwrap();
    let (image, findings) = ("target/x86_64-unknown-none/release/xtf", path("findings"));
    let places = ["--config", &config, "--xen", "granting", "--image", image];
    let calls = ["--only", "multicall,kexec_op", "--except", "kexec_op.1"];
    // The first call of this seed is a multicall.
    let one = ["--env", "pv64", "--seed", "2", "--steps", "1", "--seconds", "1"];
    let more = ["--findings", &findings];
    let output = runner(&[&["fuzz", "hypercall"], &places[..], &calls, &one, &more].concat());
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    let granted = "step 0: kexec_op: in a multicall, answers success, not an error";
    assert!(said(&output).contains(granted), "{}", said(&output));
    let scripts = kept(Path::new(&findings));
    let target = workspace.join("target/release");
    let others = std::env::var("PATH").unwrap();
    let output = Command::new("sh")
        .arg(&scripts[0])
        .env("PATH", format!("{}:{others}", target.display()))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(said(&output).contains(granted), "{}", said(&output));
}

//! The real image under a real Xen that something else than QEMU has loaded.
//!
//! Needs the built image, QEMU, UEFI firmware (the package ovmf) and a Xen in the cache, so
//! `make test` runs these (they are ignored otherwise).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

#[path = "fixtures/each.rs"]
mod each;

use each::each;

const ENVIRONMENTS: [&str; 2] = ["pv64", "pvh64"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A run, and what is left of it.
struct Run {
    code: i32,
    /// All that it said.
    said: String,
    results: Value,
    dir: TempDir,
}

impl Run {
    fn of(args: &[&str]) -> Run {
        let dir = tempfile::tempdir().unwrap();
        let json = dir.path().join("results.json");
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtf-runner"));
        command.current_dir(workspace()).arg("run").args(args);
        command.arg("--json").arg(&json).arg("--logs").arg(dir.path().join("logs"));
        let output = command.output().unwrap();
        let said = [&output.stdout[..], &output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        let results = fs::read_to_string(&json).unwrap_or_else(|e| panic!("{e}: {said}"));
        let results = serde_json::from_str(&results).unwrap();
        Run { code: output.status.code().unwrap_or(-1), said, results, dir }
    }

    fn boots(&self) -> &[Value] {
        self.results["boots"].as_array().unwrap()
    }

    /// The folder of a boot.
    fn folder(&self, boot: &Value) -> PathBuf {
        self.dir.path().join("logs/latest").join(boot["logs"].as_str().unwrap())
    }
}

/// What a shell says of a command, in a folder.
fn shell(command: &str, folder: &Path) -> String {
    let output = Command::new("sh").args(["-c", command]).current_dir(folder).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
#[ignore = "boots real Xen"]
fn firmware_boots_a_xen_efi() {
    each(ENVIRONMENTS, |environment| {
        let run = Run::of(&["example", "livepatch-binary", environment, "--xen", "4.17-efi"]);
        assert_eq!(run.code, 0, "{}", run.said);
        let boot = &run.boots()[0];
        assert_eq!(boot["loader"], "efi");
        // What the guest is told of its Xen is what the runner has read in the file, or the run is
        // an error.
        assert_eq!(boot["build_id"].as_str().unwrap().len(), 2 * 16);
        let xen = fs::read_to_string(run.folder(boot).join("xen.log")).unwrap();
        assert!(xen.contains("(XEN) Bootloader: EFI\n"), "{xen}");
    });
}

/// What is printed or recorded to boot the same again does so.
#[test]
#[ignore = "boots real Xen"]
fn the_commands_of_a_boot_by_firmware() {
    let args = ["example", "pv64", "--xen", "4.17-efi", "--accel", "tcg"];
    each(["anywhere", "in the folder"], |place| {
        let (console, why) = if *place == "anywhere" {
            let mut command = Command::new(env!("CARGO_BIN_EXE_xtf-runner"));
            let output = command.current_dir(workspace()).arg("run").args(args).arg("--dry-run");
            let output = output.output().unwrap();
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            (shell(&printed, Path::new("/")), printed)
        } else {
            let run = Run::of(&[&args[..], &["--snapshot", "always"]].concat());
            assert_eq!(run.code, 0, "{}", run.said);
            let boot = &run.boots()[0];
            assert_eq!(boot["mode"], "fast, tcg, snapshot");
            (shell(boot["command"].as_str().unwrap(), &run.folder(boot)), run.said.clone())
        };
        assert!(console.contains("# Subtest: example"), "{place}: {why}\n{console}");
        assert!(console.contains("Test result: SUCCESS"), "{place}: {why}\n{console}");
    });
}

/// A machine that is too small for Xen: its firmware says so and starts its setup, which waits for
/// a person. Nobody waits for that.
#[test]
#[ignore = "boots real Xen"]
fn firmware_that_cannot_start_xen_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("xtf-runner.toml");
    let text = "[hypervisor.small]\n\
                debian = { suite = \"bookworm\", package = \"xen-hypervisor-4.17-amd64\" }\n\
                loader = \"efi\"\nmemory-mib = 64\n[qemu]\nboot-timeout-s = 3600\n";
    fs::write(&config, text).unwrap();
    let config = format!("--config={}", config.display());
    let image = workspace().join("target/x86_64-unknown-none/release/xtf");
    let image = format!("--image={}", image.display());
    // The cache of the workspace.
    let cache = workspace().join(".cache").canonicalize().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtf-runner"));
    command.env("XTF_CACHE", std::env::var_os("XTF_CACHE").unwrap_or(cache.into()));
    let output = command.args(["run", "example", "pv64", "--xen", "small", &config, &image]);
    let output = output.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(4), "{said}");
    let why = "the firmware could not start Xen, or got back from it: BdsDxe: failed to load ";
    assert!(said.contains(why) && said.contains(": Out of Resources"), "{said}");
}

//! What `new` makes, in a copy of the source tree: formatted, linted, built, and run under real
//! Xen.
//!
//! Needs what `make build` needs, QEMU, and a Xen in the cache, so `make test` runs it.

use std::fs;
use std::path::Path;
use std::process::Command;

#[path = "fixtures/succeed.rs"]
mod succeed;

use succeed::succeed;

/// What the image is built from, and what cargo wants to see beside it.
const SOURCES: [&str; 13] = [
    ".cargo",
    "Cargo.lock",
    "Cargo.toml",
    "arch",
    "kernel",
    "linker.ld",
    "livepatch",
    "plugin",
    "protocol",
    "fuzz",
    "runner",
    "rustfmt.toml",
    "tests",
];

fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

#[test]
#[ignore = "builds an image, boots Xen"]
fn a_new_test_is_well_formed_builds_and_runs() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    // Always at the same place: what is compiled there is compiled once.
    let target_here = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let dir = target_here.join("new-real");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir).unwrap();
    for source in SOURCES {
        copy(&workspace.join(source), &dir.join(source));
    }
    let runner = || Command::new(env!("CARGO_BIN_EXE_xtf-runner"));
    succeed(runner().args(["new", "zeta-probe", "--own-boot", "--workspace"]).arg(&dir));
    succeed(runner().args(["new", "alpha", "--category", "special", "--workspace"]).arg(&dir));

    succeed(runner().args(["new", "mu", "--payloads", "--workspace"]).arg(&dir));

    let target = dir.join("target");
    let cargo = |words: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(&dir).args(words).env("CARGO_TARGET_DIR", &target);
        // What the workspace depends on is compiled already.
        cargo.env("CARGO_BUILD_BUILD_DIR", target_here);
        cargo
    };
    let image = ["--release", "--locked", "-p", "xtf-tests", "--target", "x86_64-unknown-none"];
    succeed(&mut cargo(&["fmt", "-p", "xtf-tests", "--check"]));
    succeed(&mut cargo(&[&["build"], &image[..]].concat()));
    succeed(cargo(&[&["clippy"], &image[..]].concat()).args(["--", "-D", "warnings"]));

    let logs = dir.join("logs");
    let run = |words: &[&str]| {
        let mut command = runner();
        command.current_dir(workspace).args(["run", "--xen", "4.17", "--logs"]).arg(&logs);
        command.arg("--image").arg(target.join("x86_64-unknown-none/release/xtf")).args(words);
        String::from_utf8(succeed(&mut command).stdout).unwrap()
    };
    let said = run(&["zeta-probe", "alpha", "example"]);
    assert!(said.ends_with("6 passed, 0 failed, 0 skipped\n"), "{said}");
    assert!(said.contains("in 4 boots"), "{said}");
    assert!(said.contains("pvh64 zeta-probe (2 cases)"), "{said}");
}

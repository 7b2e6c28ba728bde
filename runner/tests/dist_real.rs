//! What `make dist` packs works without the clone.
//!
//! Needs what `make test-build` builds, QEMU, and a Xen in the cache, so `make test` runs it.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "fixtures/succeed.rs"]
mod succeed;

use succeed::succeed;

/// The files below a folder that none of the folders in `but` holds, as paths from there.
fn files(below: &Path, but: &[&str]) -> Vec<String> {
    let mut open = vec![below.to_owned()];
    let mut files = Vec::new();
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(below).unwrap().display().to_string();
            match path.is_dir() && !path.is_symlink() {
                true if but.contains(&name.as_str()) => {}
                true => open.push(path),
                false => files.push(name),
            }
        }
    }
    files.sort();
    files
}

/// The one file that `make dist` made with this ending.
fn made(dist: &Path, ending: &str) -> PathBuf {
    let names = files(dist, &[]);
    let [name] = &names.iter().filter(|name| name.ends_with(ending)).collect::<Vec<_>>()[..] else {
        panic!("{ending}: {names:?}")
    };
    dist.join(name)
}

/// Lists, and boots a test, where there is nothing of the project but what was unpacked.
#[track_caller]
fn works(runner: &Path, elsewhere: &Path, cache: &Path) {
    let [home, caches, here] = ["home", "caches", "here"].map(|name| elsewhere.join(name));
    for dir in [&home, &caches, &here] {
        fs::create_dir_all(dir).unwrap();
    }
    // The Xen that the other tests have.
    symlink(cache, caches.join("xtf-rs")).unwrap();
    let run = |words: &[&str]| {
        let mut command = Command::new(runner);
        command.current_dir(&here).args(words).env("HOME", &home).env_remove("XTF_CACHE");
        command.env("XDG_CACHE_HOME", &caches);
        String::from_utf8(succeed(&mut command).stdout).unwrap()
    };
    assert!(run(&["list"]).contains("livepatch-list"));
    assert_eq!(files(&here, &[]), [""; 0]);

    let said = run(&["run", "example", "pv64", "--json", "results.json", "--junit", "junit.xml"]);
    assert!(said.ends_with("1 passed, 0 failed, 0 skipped\n"), "{said}");
    let boot = fs::canonicalize(here.join("logs/latest/001-4.17-pv64-example")).unwrap();
    assert!(fs::read_to_string(boot.join("guest.log")).unwrap().contains("# Subtest: example"));
    assert_eq!(files(&here, &["logs"]), ["junit.xml", "results.json"]);
    assert_eq!(files(&home, &[]), [""; 0]);
    // The image beside the runner, and no other.
    let results = fs::read(here.join("results.json")).unwrap();
    let results: serde_json::Value = serde_json::from_slice(&results).unwrap();
    let image = fs::canonicalize(runner).unwrap().with_file_name("xtf");
    assert_eq!(results["run"]["image"], *image.to_string_lossy());

    // So is the one for 32-bit guests.
    let said = run(&["run", "example", "--env", "hvm32"]);
    assert!(said.ends_with("1 passed, 0 failed, 0 skipped\n"), "{said}");
}

#[test]
#[ignore = "boots Xen"]
fn the_package_and_the_tarball_work_elsewhere() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let cache = env::var_os("XTF_CACHE").map_or(workspace.join(".cache"), PathBuf::from);
    let elsewhere = tempfile::tempdir().unwrap();
    let place = |name: &str| elsewhere.path().join(name);
    let dist = place("dist");
    succeed(Command::new(workspace.join("scripts/dist")).arg(&dist));

    let package = place("package");
    succeed(Command::new("dpkg-deb").arg("-x").arg(made(&dist, ".deb")).arg(&package));
    succeed(Command::new("tar").arg("-xzf").arg(made(&dist, ".tar.gz")).current_dir(&elsewhere));
    let tarball = made(&dist, ".tar.gz").file_name().unwrap().to_str().unwrap().to_owned();
    let tarball = place(tarball.trim_end_matches(".tar.gz"));

    // What each of them holds, and where.
    let programs = ["libxtf_plugin.so", "xtf", "xtf-fuzz", "xtf-runner", "xtf32"];
    succeed(
        Command::new(env!("CARGO_BIN_EXE_xtf-runner")).args(["generate", "man"]).arg(place("man")),
    );
    let pages = files(&place("man"), &[]).into_iter().map(|page| format!("{page}.gz"));
    let pages: Vec<String> = pages.collect();
    let docs = files(&workspace.join("docs"), &[]);
    let share = package.join("usr/share");
    let doc = share.join("doc/xtf-rs");
    assert_eq!(files(&package.join("usr/bin"), &[]), ["xtf-runner"]);
    assert_eq!(files(&package.join("usr/lib/xtf-rs"), &[]), programs);
    assert_eq!(files(&share.join("man/man1"), &[]), pages);
    assert_eq!(files(&doc.join("docs"), &[]), docs);
    assert_eq!(files(&tarball.join("man"), &[]), pages);
    assert_eq!(files(&tarball.join("docs"), &[]), docs);
    for completion in [
        "bash-completion/completions/xtf-runner",
        "fish/vendor_completions.d/xtf-runner.fish",
        "zsh/vendor-completions/_xtf-runner",
    ] {
        assert!(share.join(completion).is_file(), "{completion}");
    }
    let completions = files(&tarball.join("completions"), &[]);
    assert_eq!(completions, ["_xtf-runner", "xtf-runner.bash", "xtf-runner.fish"]);
    let examples = ["examples/expectations.toml", "examples/xtf-runner.toml"];
    let beside = [&["CONTRIBUTING.md", "README.md", "copyright"], &examples[..]].concat();
    assert_eq!(files(&doc, &["docs"]), beside);
    let mut all = [&programs[..], &beside].concat();
    all.sort_unstable();
    assert_eq!(files(&tarball, &["completions", "docs", "man"]), all);

    works(&package.join("usr/bin/xtf-runner"), &place("with-package"), &cache);
    works(&tarball.join("xtf-runner"), &place("with-tarball"), &cache);
}

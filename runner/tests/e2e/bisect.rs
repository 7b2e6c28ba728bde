//! Bisection: what `git bisect run` makes of the exit codes.

use std::process::Command;

use crate::world::{World, fixture};

/// A history in which the third commit can't be built, and the last one breaks a claim.
#[test]
fn git_finds_the_commit_that_broke_it() {
    let world = World::new();
    let run = world.command(&["run", "--bisect"], "print", "success.log");
    let git = |words: &[&str]| {
        let mut git = Command::new("git");
        let environment = run.get_envs().filter_map(|(name, value)| Some((name, value?)));
        git.envs(environment).current_dir(world.path(".")).env("HOME", world.path("."));
        git.args(["-c", "user.name=x", "-c", "user.email=x@example.org"]).args(words);
        let out = git.output().unwrap();
        let said = [out.stdout, out.stderr].concat();
        (out.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    git(&["init", "-q"]);
    for (number, log) in ["success", "success", "none", "success", "good"].into_iter().enumerate() {
        world.file("commit", &format!("{number} {log}\n"));
        git(&["add", "commit"]);
        let (code, told) = git(&["commit", "-q", "-m", &format!("commit {number}")]);
        assert_eq!(code, Some(0), "{told}");
    }
    git(&["bisect", "start", "HEAD", "HEAD~4"]);
    let words = run.get_args().map(|word| word.to_str().unwrap());
    let runner = shlex::try_join([env!("CARGO_BIN_EXE_xtf-runner")].into_iter().chain(words));
    let logs = fixture("good.log").parent().unwrap().display().to_string();
    let step = format!(
        "read number log <commit; [ $log != none ] || exit 125; LOG={logs}/$log.log {}",
        runner.unwrap()
    );
    let (code, told) = git(&["bisect", "run", "sh", "-c", &step]);
    assert_eq!(code, Some(0), "{told}");
    let first = told.split_once(" is the first bad commit").unwrap_or_else(|| panic!("{told}")).1;
    assert!(first.contains("commit 4"), "{told}");
}

#[test]
fn bisection_has_codes_of_its_own() {
    let world = World::new();
    for (log, words, code) in [
        ("success.log", &["run", "--bisect"][..], 0),
        ("good.log", &["run", "--bisect"], 1),
        ("good.log", &["run", "--bisect", "--xen", "/none/xen"], 125),
        ("good.log", &["run", "--bisect", "--image", "/none/xtf"], 125),
        ("good.log", &["run", "--bisect", "no-such-test"], 128),
        ("good.log", &["run", "--bisect", "--no-such-option"], 128),
    ] {
        let out = world.run(words, "print", log);
        assert_eq!(out.code, code, "{words:?}: {out:?}");
    }
}

//! The CI files of docs/ci, run: what their test jobs type, on four machines each.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::world::{World, fixture};

#[path = "../fixtures/ci.rs"]
mod yaml;

/// A guest that does what its command line says.
const HONEST: &str = r#"
list=${module#*tests=}; list=${list%% *}; number=0
say() { printf '%s\n' "$@"; }
set -- $(say "$list" | tr -s , ' ')
say '--- Xen Test Framework ---' 'Environment: PV 64bit' 'KTAP version 1' "1..$#"
for test; do
    number=$((number + 1))
    case $test in example) cases='hello other' ;; args) cases='list/a list/b get/c' ;; *) cases=x ;; esac
    say '  KTAP version 1' "  # Subtest: $test" "  1..$(echo $cases | wc -w)"
    n=0; for case in $cases; do n=$((n + 1)); say "  ok $n $case"; done
    say "ok $number $test"
done
say 'Test result: SUCCESS'
"#;

/// A machine with the lines of a job to run, as after the job that has built.
fn machine(job: &yaml_rust2::Yaml, share: usize) -> (World, Command) {
    let world = World::new();
    let built = world.path("target/x86_64-unknown-none/release");
    fs::create_dir_all(&built).unwrap();
    fs::create_dir_all(world.path("target/release")).unwrap();
    fs::rename(world.path("xtf"), built.join("xtf")).unwrap();
    // A copy, as an artefact is: the job changes its permissions.
    let runner = world.path("target/release/xtf-runner");
    fs::copy(env!("CARGO_BIN_EXE_xtf-runner"), runner).unwrap();
    let bin = world.path("bin");
    fs::create_dir(&bin).unwrap();
    symlink(fixture("fake-qemu.sh"), bin.join("qemu-system-x86_64")).unwrap();
    symlink(fixture("fake-apt/apt-get"), bin.join("apt-get")).unwrap();

    let lines = yaml::scripts(job);
    let script: Vec<String> = lines.iter().map(|line| yaml::filled_in(line, share)).collect();
    assert!(!script.is_empty());
    let template = world.command(&[], "script", "success.log");
    let mut shell = Command::new("/bin/sh");
    shell.args(["-e", "-c", &script.join("\n")]).current_dir(world.path("."));
    for (name, value) in template.get_envs().filter_map(|(name, value)| Some((name, value?))) {
        shell.env(name, value);
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    shell.env("SCRIPT", HONEST).env("PATH", path);
    (world, shell)
}

/// Runs the lines of the test job on the machines with the shares 1 to 4, and then those of the job
/// that makes one report of what these leave. Returns the tests that ran.
fn run(file: &str, test: &yaml_rust2::Yaml, report: &yaml_rust2::Yaml) -> BTreeSet<String> {
    let (together, mut merge) = machine(report, 0);
    fs::create_dir(together.path("results")).unwrap();
    for share in 1..=4 {
        let (world, mut shell) = machine(test, share);
        let out = shell.output().unwrap();
        assert!(out.status.success(), "{file} {share}: {shell:?} {out:?}");
        assert!(world.path("logs/latest").exists(), "{file} {share}");
        for kept in fs::read_dir(world.path("results")).unwrap() {
            let kept = kept.unwrap();
            let place = together.path("results").join(kept.file_name());
            assert!(!place.exists(), "{file} {share}: {place:?} is another share's, too");
            fs::copy(kept.path(), place).unwrap();
        }
    }
    let out = merge.output().unwrap();
    assert!(out.status.success(), "{file}: {merge:?} {out:?}");
    for report in ["results/junit.xml", "results/index.html"] {
        assert!(together.path(report).exists(), "{file}: no {report}");
    }
    let text = fs::read_to_string(together.path("results/results.json")).unwrap();
    let results: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&results["complete"], results["parts"].as_array().unwrap().len()),
        (&true.into(), 4)
    );
    let tests = results["tests"].as_array().unwrap().iter();
    tests.map(|result| result["test"].as_str().unwrap().to_owned()).collect()
}

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

#[test]
fn the_shares_of_a_ci_run_are_the_run() {
    let all = ["args", "example", "needy"].map(str::to_owned);
    let github = yaml::parse(include_str!("../../../docs/ci/github-actions.yml"));
    assert_eq!(
        run("github-actions.yml", &github["jobs"]["test"], &github["jobs"]["report"]),
        all.clone().into()
    );
    let gitlab = yaml::parse(include_str!("../../../docs/ci/gitlab-ci.yml"));
    assert_eq!(run("gitlab-ci.yml", &gitlab["test"], &gitlab["report"]), all.into());
}

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

/// Runs a test job's lines on the machines with the shares 1 to 4; returns the tests that ran.
fn run(file: &str, job: &yaml_rust2::Yaml) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for share in 1..=4 {
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
        let template = world.command(&[], "script", "success.log");
        let mut shell = Command::new("/bin/sh");
        shell.args(["-e", "-c", &script.join("\n")]).current_dir(world.path("."));
        for (name, value) in template.get_envs().filter_map(|(name, value)| Some((name, value?))) {
            shell.env(name, value);
        }
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let out = shell.env("SCRIPT", HONEST).env("PATH", path).output().unwrap();
        assert!(out.status.success(), "{file} {share}: {script:#?} {out:?}");

        let text = fs::read_to_string(world.path("results/results.json")).unwrap();
        let results: serde_json::Value = serde_json::from_str(&text).unwrap();
        for result in results["tests"].as_array().unwrap() {
            let name = result["test"].as_str().unwrap();
            assert!(tests.insert(name.to_owned()), "{file}: {name} ran twice");
        }
        for report in ["results/junit.xml", "results/index.html", "logs/latest"] {
            assert!(world.path(report).exists(), "{file} {share}: no {report}");
        }
    }
    tests
}

#[test]
fn the_shares_of_a_ci_run_are_the_run() {
    let all = ["args", "example", "needy"].map(str::to_owned);
    let github = yaml::parse(include_str!("../../../docs/ci/github-actions.yml"));
    assert_eq!(run("github-actions.yml", &github["jobs"]["test"]), all.clone().into());
    let gitlab = yaml::parse(include_str!("../../../docs/ci/gitlab-ci.yml"));
    assert_eq!(run("gitlab-ci.yml", &gitlab["test"]), all.into());
}

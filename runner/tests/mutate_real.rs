//! `mutate` under real Xen. Needs the image, the plugin, QEMU and, the first time, Debian's archive.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What `mutate` with the options `more` says of these functions when it runs the tests on names: its
/// output, its complaints, and a record for each mutant.
fn measure(functions: &str, out: &Path, more: &[&str]) -> (String, String, Vec<Value>) {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtf-runner"));
    command.current_dir(workspace).args(["mutate", "--xen", "4.17", "--functions", functions]);
    command.arg("--out").arg(out).args(more).arg("livepatch-name");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let records = fs::read_to_string(out).unwrap();
    let records = records.lines().map(|line| serde_json::from_str(line).unwrap());
    let mutants = records.filter(|record: &Value| record["record"] == "mutant").collect();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), mutants)
}

/// Every branch of `get_name` is a rule on names that the tests state. A few of their cases tell in one
/// boot, which begins on Xen itself; what no case executes takes none.
#[test]
#[ignore = "boots Xen"]
fn a_mutant_costs_a_boot_with_what_executes_its_branch() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.jsonl");
    let functions = "get_name,is_patch";
    let (first, complaints, mutants) = measure(functions, &out, &[]);
    assert_eq!(complaints, "");
    let of = |function: &str| {
        let prefix = format!("{function}+");
        let of_it =
            mutants.iter().filter(move |m| m["site"].as_str().unwrap().starts_with(&prefix));
        of_it
            .map(|m| (m["verdict"].as_str().unwrap(), m["boots"].as_u64().unwrap()))
            .collect::<Vec<_>>()
    };
    let (named, unnamed) = (of("get_name"), of("is_patch"));
    assert!(!named.is_empty() && named.iter().all(|mutant| *mutant == ("killed", 1)), "{first}");
    assert!(unnamed.len() > 1 && unnamed.iter().all(|m| *m == ("not-reached", 0)), "{first}");

    let (again, _, all) = measure(functions, &out, &["--resume"]);
    assert_eq!(all, mutants, "{again}");
    let killed = format!("{} of {} mutants killed", named.len(), mutants.len());
    assert!(first.contains(&killed) && again.contains(&killed), "{first}{again}");
}

/// A 32-bit guest has an image of its own, and marks what it does as the other one.
#[test]
#[ignore = "boots Xen"]
fn a_32_bit_guest_measures_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.jsonl");
    let (said, complaints, mutants) = measure("get_name,is_patch", &out, &["--env", "hvm32"]);
    assert_eq!(complaints, "");
    let count = |verdict: &str| mutants.iter().filter(|m| m["verdict"] == verdict).count();
    assert!(count("killed") > 1 && count("not-reached") > 1, "{said}");
    assert_eq!(count("killed") + count("not-reached"), mutants.len(), "{said}");
}

/// Without the plugin everything runs on each mutant.
#[test]
#[ignore = "boots Xen"]
fn a_qemu_that_loads_no_plugin_costs_time_only() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.jsonl");
    let plugin = dir.path().join("plugin.so");
    fs::write(&plugin, "none").unwrap();
    let more = ["--fail-under", "100", "--plugin", plugin.to_str().unwrap()];
    let (said, complaints, mutants) = measure("get_name", &out, &more);
    assert!(complaints.contains("every test runs on each mutant"), "{complaints}");
    assert!(!mutants.is_empty() && mutants.iter().all(|m| m["verdict"] == "killed"), "{said}");
}

/// A mutant of each operator is killed, and one that is known to be equivalent survives. Where they
/// are differs between builds, so the list tells.
#[test]
#[ignore = "boots Xen"]
fn a_mutant_of_each_operator_is_killed() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mutate = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtf-runner"));
        command.current_dir(workspace).args(["mutate", "--xen", "4.17"]).args(args);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let operators = ["--operators", "condition,immediate,mask,call", "--list"];
    let list = mutate(&operators);
    let first = |parts: &[&str]| {
        let line = list.lines().find(|line| parts.iter().all(|part| line.contains(part)));
        line.unwrap_or_else(|| panic!("{parts:?} in {list}")).split_whitespace().nth(1).unwrap()
    };
    for (operator, name, test) in [
        // Whether anything is applied yet.
        ("condition", first(&["livepatch_op+", " condition ", "sete %sil"]), "livepatch-action"),
        ("immediate", first(&["get_name+", ":-1 ", "$0x7f,%ax"]), "livepatch-name"),
        // The flag NODEPS.
        ("mask", first(&["livepatch_op+", ":bit0 ", "testb $1,0x20("]), "livepatch-stack"),
        ("call", first(&["livepatch_op+", " call ", "call memcpy"]), "livepatch-action"),
    ] {
        let said = mutate(&["--only", name, test]);
        assert!(said.ends_with(": killed\n"), "{operator}: {said}");
    }
    let equivalent = first(&["livepatch_op+", "(equivalent: "]);
    let said = mutate(&["--only", equivalent, "livepatch-name"]);
    assert!(said.ends_with(": survived\n"), "{said}");
}

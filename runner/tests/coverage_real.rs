//! `coverage` under real Xen. Needs the image, the plugin, QEMU and, the first time, Debian's
//! archive.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// How many of a function's blocks, and of how many, the tests `tests` execute.
fn blocks(document: &Value, name: &str) -> (u64, u64) {
    let functions = document["functions"].as_array().unwrap();
    let function = functions.iter().find(|function| function["name"] == name).unwrap();
    let share = &function["executed_blocks"];
    (share["executed"].as_u64().unwrap(), share["all"].as_u64().unwrap())
}

fn coverage(tests: &[&str]) -> Value {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("out.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtf-runner"));
    command.current_dir(workspace).args(["coverage", "--xen", "4.17", "--env", "pv64", "--json"]);
    let output = command.arg(&json).args(tests).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&fs::read(&json).unwrap()).unwrap()
}

#[test]
#[ignore = "boots Xen"]
fn what_runs_is_counted_and_nothing_else_is() {
    let example = coverage(&["example"]);
    assert_eq!(example["totals"]["blocks"]["all"], 889);
    assert_eq!(example["totals"]["instructions"]["all"], 4225);
    // The guest looks whether Xen has live patching, and no further: no test needs it.
    let (executed, all) = blocks(&example, "livepatch_op");
    assert!(0 < executed && executed < all, "{executed} of {all}");
    for function in ["build_id_dep", "arch_livepatch_revert", "livepatch_printall"] {
        assert_eq!(blocks(&example, function).0, 0, "{function}");
    }

    let names = coverage(&["livepatch-name"]);
    let (few, (executed, all)) = (blocks(&example, "get_name").0, blocks(&names, "get_name"));
    assert!(few == 0 && 0 < executed && executed <= all && all == 12, "{few}, {executed} of {all}");
    assert_eq!(blocks(&names, "livepatch_printall").0, 0);
}

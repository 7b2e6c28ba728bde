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

    // The table in the documentation is of the Xen that is current. Some tests execute no more than all.
    let table = documented();
    for document in [&example, &names] {
        let functions = document["functions"].as_array().unwrap();
        assert_eq!(functions.len() + 1, table.len(), "docs/coverage.md is stale");
        for function in functions {
            let name = function["name"].as_str().unwrap();
            let row = table.iter().find(|row| row.0.rsplit('#').next() == Some(name));
            let (_, instructions, [executed, all]) = row.unwrap_or_else(|| panic!("{name}"));
            let now = (&function["instructions"]["all"], blocks(document, name));
            assert_eq!((now.0.as_u64(), now.1.1), (Some(*instructions), *all), "{name}");
            assert!(now.1.0 <= *executed, "docs/coverage.md is stale: {name}");
        }
    }
}

/// The table of docs/coverage.md: functions with their instructions, and their blocks, executed and all.
fn documented() -> Vec<(String, u64, [u64; 2])> {
    let text = include_str!("../../docs/coverage.md");
    let rows = text.lines().skip_while(|line| !line.starts_with("Function ")).skip(1);
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words[at].parse().unwrap();
        (words[0].to_owned(), number(1), [number(6), number(5)])
    };
    rows.take_while(|line| !line.is_empty()).map(row).collect()
}

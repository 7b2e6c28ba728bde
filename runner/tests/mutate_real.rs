//! `mutate` under real Xen. Needs the image, QEMU and, the first time, Debian's archive.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Every branch of `get_name` is a rule on names that the tests state.
#[test]
#[ignore = "boots Xen"]
fn the_name_tests_kill_every_mutant_of_get_name() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.jsonl");
    let measure = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtf-runner"));
        command.current_dir(workspace).args(["mutate", "--xen", "4.17", "--functions", "get_name"]);
        command.args(["--fail-under", "100", "--out"]).arg(&out).args(more).arg("livepatch-name");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let first = measure(&[]);
    let again = measure(&["--resume"]);
    let records = fs::read_to_string(&out).unwrap();
    let mutants = records.lines().filter(|line| line.contains("\"record\":\"mutant\"")).count();
    assert!(mutants > 0, "{first}");
    assert_eq!(again.matches("killed by").count(), 0, "{again}");
    let all = format!("{mutants} of {mutants} mutants killed (100 %)");
    assert!(first.contains(&all) && again.contains(&all), "{first}{again}");
}

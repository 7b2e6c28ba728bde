//! What follows from the sources: well-formed, and in docs/ as it is now.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::world::World;

/// A page of docs/ against what would be generated.
#[track_caller]
fn fresh(world: &World, what: &str) {
    let out = world.run(&["generate", what], "print", "good.log");
    assert_eq!(out.code, 0, "{out:?}");
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let kept = fs::read_to_string(docs.join(what).with_extension("md")).unwrap();
    let stale = kept.lines().zip(out.stdout.lines()).find(|(kept, now)| kept != now);
    assert!(kept == out.stdout, "docs/{what}.md is stale: make docs; first difference: {stale:?}");
}

#[test]
fn the_reference_of_the_configuration_is_fresh() {
    fresh(&World::new(), "config");
}

#[test]
fn the_reference_of_the_command_line_is_fresh() {
    fresh(&World::new(), "cli");
}

#[test]
fn every_key_of_the_configuration_is_explained() {
    let out = World::new().run(&["generate", "config"], "print", "good.log");
    let rows: Vec<Vec<&str>> = out
        .stdout
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    for row in &rows {
        assert!(row.len() == 4 && !row[1].is_empty() && !row[3].is_empty(), "{row:?}");
    }
    let boot = ["`boot-timeout-s`", "number from 1", "`60`"];
    assert!(rows.iter().any(|row| row[..3] == boot), "{rows:?}");
    assert!(rows.iter().any(|row| row[0] == "`qemu-args`" && row[1] == "list of strings"));
    let loaders = "`\"direct\"`, `\"efi\"`, `\"grub\"`, `\"grub-efi\"`";
    assert!(rows.iter().any(|row| row[0] == "`loader`" && row[1] == loaders), "{rows:?}");
    assert!(rows.iter().any(|row| row[0] == "`debian`" && row[1] == "table of `package`, `suite`"));
}

#[test]
fn man_pages() {
    let world = World::new();
    let out = world.run(&["generate", "man", "man"], "print", "good.log");
    assert_eq!(out.code, 0, "{out:?}");
    for (page, word) in [
        ("xtf-runner", "Exit codes: 0 success"),
        ("xtf-runner-run", "\\-\\-partition"),
        ("xtf-runner-list", "\\-\\-runs"),
        ("xtf-runner-new", "\\-\\-own\\-boot"),
    ] {
        let text = fs::read_to_string(world.path("man").join(page).with_extension("1")).unwrap();
        assert!(text.contains(".TH ") && text.contains(word), "{page}: {text}");
    }
    assert!(!world.path("man/xtf-runner-generate.1").exists());
}

#[test]
fn completions() {
    let world = World::new();
    let out = world.run(&["generate", "completions", "completions"], "print", "good.log");
    assert_eq!(out.code, 0, "{out:?}");
    for file in ["xtf-runner.bash", "_xtf-runner", "xtf-runner.fish"] {
        let text = fs::read_to_string(world.path("completions").join(file)).unwrap();
        assert!(text.contains("partition"), "{file}");
    }
    // What bash itself makes of it.
    let script = "source completions/xtf-runner.bash; set -- $(complete -p xtf-runner); \
                  while [ \"$1\" != -F ]; do shift; done; COMP_WORDS=(xtf-runner run --part); \
                  COMP_CWORD=2; $2 xtf-runner --part run; echo \"${COMPREPLY[*]}\"";
    let bash = Command::new("bash").current_dir(world.path(".")).args(["-c", script]).output();
    let said = bash.unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "--partition\n", "{said:?}");
}

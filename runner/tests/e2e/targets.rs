//! Where reports go: through links, into open descriptors, and never two into one file.
//!
//! A report in the wrong place would replace what is there. So no path here leads to a descriptor of
//! the machine: only to those that a shell opens in the test's own folder.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::world::{Output, World, fixture};

/// A run that succeeds, with options and redirections as a shell reads them.
fn run(world: &World, rest: &str) -> Output {
    let runner = env!("CARGO_BIN_EXE_xtf-runner");
    let qemu = fixture("fake-qemu.sh");
    let line = format!("{runner} run --image xtf --accel tcg --qemu {} {rest}", qemu.display());
    world.shell(&line, "print", "success.log")
}

fn is_link(world: &World, name: &str) -> bool {
    fs::symlink_metadata(world.path(name)).unwrap().is_symlink()
}

/// Whether `text` is one whole report, and nothing else.
fn is_report(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|json| json["complete"] == true)
}

fn holds_report(world: &World, name: &str) -> bool {
    fs::read_to_string(world.path(name)).is_ok_and(|text| is_report(&text))
}

#[test]
fn a_link_is_followed() {
    let world = World::new();
    fs::create_dir(world.path("links")).unwrap();
    symlink("links/second.json", world.path("first.json")).unwrap();
    symlink("../out/real.json", world.path("links/second.json")).unwrap();
    // The first time, there is nothing at the end.
    for _ in 0..2 {
        let out = run(&world, "--json first.json");
        assert_eq!(out.code, 0, "{out:?}");
        assert!(is_link(&world, "first.json") && is_link(&world, "links/second.json"));
        assert!(holds_report(&world, "out/real.json"));
        assert_eq!(fs::read_dir(world.path("out")).unwrap().count(), 1);
    }
    symlink("round", world.path("round")).unwrap();
    let out = run(&world, "--json round");
    assert!(out.code == 74 && out.stderr.contains("round"), "{out:?}");
}

#[test]
fn an_open_descriptor_gets_the_final_report() {
    let world = World::new();
    symlink("/proc/self/fd/3", world.path("link")).unwrap();
    for path in ["/dev/fd/3", "/proc/self/fd/3", "link"] {
        let out = run(&world, &format!("--json {path} 3>three.json"));
        assert_eq!(out.code, 0, "{out:?}");
        assert!(out.stdout.contains("PASS ["), "{out:?}");
        assert!(holds_report(&world, "three.json"), "{path}");
    }
    let out = run(&world, "--json /dev/fd/3 3>&1 | cat >piped.json");
    assert!(holds_report(&world, "piped.json"), "{out:?}");
    assert!(is_link(&world, "link"));
    let out = run(&world, "--json /dev/fd/3 3>&-");
    assert!(out.code == 74 && out.stderr.contains("/dev/fd/3"), "{out:?}");
}

#[test]
fn what_leads_to_standard_output_has_it_alone() {
    let world = World::new();
    symlink("/proc/self/fd/1", world.path("out")).unwrap();
    for redirected in ["--json out >out.json", "--json /dev/fd/3 3>out.json >&3"] {
        let out = run(&world, redirected);
        assert_eq!(out.code, 0, "{out:?}");
        assert!(out.stderr.contains("PASS ["), "{out:?}");
        assert!(holds_report(&world, "out.json"), "{redirected}");
    }
    let out = run(&world, "--json out");
    assert!(is_report(&out.stdout), "{out:?}");
    assert!(is_link(&world, "out"));
}

#[test]
fn no_two_reports_share_a_file() {
    let world = World::new();
    fs::create_dir(world.path("sub")).unwrap();
    symlink("r", world.path("link")).unwrap();
    symlink("/proc/self/fd/1", world.path("out")).unwrap();
    for (options, rest) in [
        (["--json r", "--junit r"], ""),
        (["--json r", "--html ./sub/../r"], ""),
        (["--junit r", "--ktap link"], ""),
        (["--json r", "--ktap /dev/fd/3"], "3>r"),
        (["--json /dev/fd/3", "--html /dev/fd/4"], "3>r 4>&3"),
        (["--json -", "--junit out"], ""),
        (["--json -", "--html -"], ""),
        (["--json r", "--html -"], ">r"),
    ] {
        let [first, second] = options;
        let out = run(&world, &format!("{first} {second} {rest}"));
        assert_eq!(out.code, 64, "{options:?} {out:?}");
        let name = |option: &str| option.split(' ').next().unwrap().to_owned();
        let why = format!("{} and {} name the same", name(first), name(second));
        assert!(out.stderr.contains(&why), "{options:?} {out:?}");
        assert!(!world.path("logs").exists(), "{options:?} was booted");
    }
    // Nothing is lost there that anybody wants.
    let out = run(&world, "--json /dev/null --junit /dev/null");
    assert!(out.code == 0 && out.stdout.contains("PASS ["), "{out:?}");
}

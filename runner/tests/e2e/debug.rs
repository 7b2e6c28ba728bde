//! What `debug` can't do, in a clear sentence each.

use std::fs;

use crate::world::World;

/// The runner says so of the only boot of the last run, and ends with `code`.
#[track_caller]
fn refused(world: &World, args: &[&str], code: i32, words: &str) {
    let out = world.run_plain(&[&["debug", "--no-gdb"], args].concat());
    assert!(out.stderr.contains(words), "«{words}» is not in: {out:?}");
    assert_eq!(out.code, code, "{out:?}");
}

#[test]
fn boots_that_are_not_the_same_twice() {
    for (config, args, words) in [
        ("", &["--boot", "plain"][..], "ran in real time"),
        ("vcpus = 2\n", &[], "had 2 CPUs"),
        ("", &["--accel", "kvm"], "ran under KVM"),
    ] {
        let world = World::new();
        let path = world.path("xtf-runner.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text.replace("path = 'xen'\n", &format!("path = 'xen'\n{config}")))
            .unwrap();
        let run = world.run(&[&["run", "example"], args].concat(), "print", "example.log");
        if words.contains("KVM") && run.code == 69 {
            // There is none here.
            continue;
        }
        refused(&world, &["logs/latest"], 64, words);
        refused(&world, &["logs/latest/001"], 64, words);
    }
}

#[test]
fn folders_that_hold_no_boot() {
    let world = World::new();
    refused(&world, &["./none"], 65, "no folder of a boot in");
    fs::create_dir(world.path("old")).unwrap();
    world.file("old/console.log", "");
    refused(&world, &["old"], 65, "has no boot.json");
    refused(&world, &["logs/20260101-000000/001"], 74, "cannot look for a boot in");
}

#[test]
fn a_boot_whose_files_are_gone() {
    let world = World::new();
    world.run(&["run", "example"], "print", "example.log");
    let of_boot = world.boot_dir("001").join("xtf");
    fs::remove_file(of_boot.canonicalize().unwrap()).unwrap();
    refused(&world, &["logs/latest"], 65, "leads to what is no longer there");
}

#[test]
fn half_a_recording_and_another_qemu() {
    let world = World::new();
    world.run(&["run", "example"], "print", "example.log");
    let recording = world.boot_dir("001").join("recording.json");
    fs::write(&recording, "{\"date\": \"2026-").unwrap();
    refused(&world, &["logs/latest"], 65, "it was cut off, or is of another xtf-runner");
    let whole = r#"{ "date": "2026-01-02T03:04:05", "end": 5, "hash": 6 }"#;
    fs::write(&recording, whole).unwrap();
    let mut command = world.command(&["debug", "--no-gdb", "logs/latest"], "print", "good.log");
    let out = command.env("FAKE_QEMU_VERSION", "98.0").output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("was made by QEMU emulator version 99.0 (fake)"), "{said}");
    assert_eq!(out.status.code(), Some(69));
}

#[test]
fn without_the_plugin_nothing_is_made_again() {
    let world = World::new();
    world.run(&["run", "example"], "print", "example.log");
    refused(&world, &["logs/latest", "--plugin", "none.so"], 65, "there is no plugin at none.so");
}

#[test]
fn domains_are_not_recorded() {
    let world = World::new();
    let run = ["run", "example", "--backend", "xl", "--record-failures"];
    let out = world.run_plain(&run);
    assert!(out.stderr.contains("--record-failures needs --backend qemu"), "{out:?}");
    assert_eq!(out.code, 64, "{out:?}");
}

#[test]
fn without_gdb_one_is_told_before_the_boot() {
    let world = World::new();
    world.run(&["run", "example"], "print", "example.log");
    let mut command = world.command(&["debug", "logs/latest"], "print", "good.log");
    let out = command.env("PATH", world.path("none")).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("install gdb, or connect a debugger of yours: --no-gdb"), "{said}");
    assert_eq!(out.status.code(), Some(69));
}

//! Xens that cannot do something, and several Xens in a run.

use std::fs;

use crate::world::{World, fixture};

/// The least that passes for a Xen, with these strings in it.
fn xen_with(world: &World, path: &str, strings: &[&str]) {
    let mut xen = fs::read(world.path("xen")).unwrap();
    for string in strings {
        xen.extend(format!("\0{string}\0").bytes());
    }
    let path = world.path(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, xen).unwrap();
}

/// A world whose tests run in both environments.
pub fn for_both() -> World {
    let world = World::new();
    let meta = |name: &str, cases: &str| {
        format!(
            "{{'name':'{name}','title':'t','category':'functional','environments':['pv64','pvh64'],\
             'needs':[],'own_boot':false,'vcpus':1,'timeout_s':300,'default':true,\
             'cases':[{cases}]}}\n"
        )
        .replace('\'', "\"")
    };
    let tests = [
        meta("example", "'hello','other'"),
        meta("args", "'list/a','list/b','get/c'"),
        meta("needy", "'x'"),
    ];
    world.image("xtf", ".xtf.meta", tests.concat().as_bytes());
    world
}

const PV: &str = "*** Building a PV Dom%d ***";
const PVH: &str = "*** Building a PVH Dom%d ***";

#[test]
fn what_the_binary_cannot_do_is_skipped_without_a_boot() {
    let world = for_both();
    xen_with(&world, "no-hvm/xen", &[PV]);
    let args = ["run", "--xen", "./no-hvm", "--json", "out.json"];
    let out = world.run(&args, "print", "success.log");
    assert_eq!(out.code, 0, "{out:?}");
    assert_eq!(out.sums(), "2 passed, 0 failed, 4 skipped");
    // Where it is found out, and in the end.
    let why = "this Xen has no code for a PVH dom0: it was built with CONFIG_HVM=n";
    assert_eq!(out.stdout.matches(why).count(), 2, "{out:?}");
    assert!(out.stdout.contains("Xen no-hvm pvh64, 3 tests: this Xen has no code"), "{out:?}");
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(world.path("out.json")).unwrap()).unwrap();
    let told = json["tests"].as_array().unwrap().iter().filter(|test| test["reasons"][0] == why);
    assert_eq!(told.count(), 3, "every report has the reason");
    assert_eq!(fs::read_to_string(world.boot_dir("002-").join("console.log")).unwrap(), "");
}

#[test]
fn what_a_boot_shows_is_not_tried_again() {
    let world = for_both();
    let script = r#"
        echo x >>"$PIPE.boots"
        case "$*" in
        *dom0=pvh*)
            echo '(XEN) Panic on CPU 0:'
            echo '(XEN) Presently, iommu must be enabled for PVH hardware domain'
            echo '(XEN) Reboot in five seconds...' ;;
        esac
    "#;
    let args =
        ["run", "--env", "pvh64", "--isolate", "--jobs", "1", "--snapshot", "never", "--verbose"];
    let out = world.script(&args, script, "success.log");
    assert_eq!(out.code, 3, "{out:?}");
    assert_eq!(out.sums(), "0 passed, 0 failed, 3 skipped");
    let why = "this Xen can have a PVH dom0 only with an IOMMU, and finds none in this machine";
    assert_eq!(out.stdout.matches(why).count(), 2, "{out:?}");
    assert!(!out.stdout.contains("CRASH"), "{out:?}");
    assert_eq!(fs::read_to_string(world.path("pipe.boots")).unwrap(), "x\n");
}

#[test]
fn an_old_xen_gets_the_iommu_that_it_needs() {
    let world = for_both();
    let command = |strings: &[&str]| {
        xen_with(&world, "old/xen", strings);
        let args = ["run", "--dry-run", "--xen", "./old", "--env", "pvh64"];
        world.run(&args, "print", "success.log").stdout
    };
    let old = command(&[PV, PVH]);
    assert!(old.contains("-machine q35 -device amd-iommu "), "{old}");
    assert!(old.contains("dom0=pvh") && !old.contains("dom0-iommu"), "{old}");
    let new = command(&[PV, PVH, "dom0-iommu"]);
    assert!(new.contains("-machine pc ") && new.contains("dom0-iommu=none"), "{new}");
}

#[test]
fn a_xen_without_a_console_is_told_as_that() {
    let world = World::new();
    let out = world.run(&["run"], "mute", "success.log");
    assert_eq!(out.code, 4, "{out:?}");
    assert!(out.stdout.contains("not a word came from Xen: it has no console"), "{out:?}");
}

#[test]
fn what_was_built_into_the_command_line_is_noted() {
    let world = World::new();
    let good = fs::read_to_string(fixture("success.log")).unwrap();
    let complain = |option: &str| {
        let line = format!("\n# xen refuses: parameter \"{option}\" unknown!\r\n1..3");
        let log = world.file("complains.log", &good.replacen("\n1..3", &line, 1));
        world.run(&["run"], "print", log.to_str().unwrap())
    };
    let theirs = complain("gone");
    assert_eq!(theirs.code, 0, "{theirs:?}");
    let note = "NOTE Xen fake: Xen refuses an option that it was built with (CONFIG_CMDLINE): \
                parameter \"gone\" unknown!";
    assert!(theirs.stdout.contains(note), "{theirs:?}");
    let ours = complain("bootscrub");
    assert_eq!(ours.code, 4, "{ours:?}");
    assert!(ours.stdout.contains("Xen refuses an option of its command line"), "{ours:?}");
}

#[test]
fn a_folder_of_xens_is_a_run() {
    let world = World::new();
    for path in ["all/4.9/xen", "all/4.10/xen/xen", "all/other/README"] {
        xen_with(&world, path, &[]);
    }
    let folder = world.path("all").display().to_string();
    let (first, second) = (format!("{folder}/4.9"), format!("{folder}/4.10"));
    for args in [&[folder.as_str()][..], &[&first, &second], &[&first, "--xen", &second]] {
        let args = [&["run", "--xen"], args, &["--json", "out.json"]].concat();
        let out = world.run(&args, "print", "success.log");
        assert_eq!(out.code, 0, "{out:?}");
        assert_eq!(out.sums(), "4 passed, 0 failed, 2 skipped");
        for name in ["4.9", "4.10"] {
            assert!(out.stdout.contains(&format!("] {name} pv64  example (2 cases, ")), "{out:?}");
        }
    }
    let page = world.run_plain(&["generate", "releases", "out.json"]);
    assert_eq!(page.code, 0, "{page:?}");
    assert!(page.stdout.contains("| 4.10 | pv64 | "), "{page:?}");

    let other = format!("{folder}/other");
    let out = world.run(&["run", "--xen", &first, &other], "print", "success.log");
    assert_eq!(out.code, 65, "{out:?}");
    assert!(out.stderr.contains("all/other holds neither xen nor xen*.gz"), "{out:?}");
}

//! What `coverage` refuses before anything runs, and a QEMU that can't load the plugin.

use std::fs;

use crate::world::{Output, World};
use crate::xen_build;

const FUNCTIONS: [xen_build::Function<'_>; 2] = [
    ("get_name", Some("common/livepatch.c"), &[0x85, 0xc0, 0x74, 0x00, 0xc3]),
    // 0x06 is no instruction.
    ("broken", None, &[0x90, 0x06, 0xc3]),
];

fn coverage(world: &World, args: &[&str]) -> Output {
    world.run(&[&["coverage"], args].concat(), "print", "success.log")
}

fn world() -> World {
    let world = World::new();
    world.file(
        "xtf-runner.toml",
        "default-xen = ['fake']\n[hypervisor.fake]\npath = 'xen'\nsymbols = 'xen-syms'\n",
    );
    fs::write(world.path("xen"), xen_build::boot(1, &FUNCTIONS)).unwrap();
    fs::write(world.path("xen-syms"), xen_build::syms(1, &FUNCTIONS)).unwrap();
    world.file("libxtf_plugin.so", "");
    world
}

#[test]
fn what_can_not_be_measured() {
    let world = world();
    fs::create_dir(world.path("bare")).unwrap();
    fs::copy(world.path("xen"), world.path("bare/xen")).unwrap();
    for (args, code, why) in [
        (&["--plugin", "gone.so"][..], 65, "there is no plugin at gone.so; build it"),
        (&["--lcov", "out.info"], 65, "has no debug information"),
        (&["--functions", "zz"], 66, "no function of this Xen matches `zz`"),
        (
            &["--functions", "broken", "--plugin", "libxtf_plugin.so"],
            65,
            "cannot decode the code of broken at 0xffff82d040200081",
        ),
        (&["--xen", "./bare"], 64, "no symbols of Xen bare"),
    ] {
        let out = coverage(&world, args);
        assert_eq!(out.code, code, "{args:?} {out:?}");
        assert!(out.stderr.contains(why), "{args:?} {out:?}");
        assert!(!world.path("out.info").exists() && !out.stdout.contains("Running"), "{out:?}");
    }
}

#[test]
fn a_qemu_without_plugins_is_told() {
    let world = world();
    let out = coverage(&world, &["--plugin", "libxtf_plugin.so"]);
    assert_eq!(out.code, 69, "{out:?}");
    assert!(out.stderr.contains("does not load the plugin"), "{out:?}");
    assert!(out.stderr.contains("built with TCG plugins"), "{out:?}");
}

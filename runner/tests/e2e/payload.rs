//! `payload show`: what is no payload, and what belongs to no Xen.

use std::fs;

use crate::world::World;
use crate::xen_build;

const FUNCTIONS: [xen_build::Function<'_>; 3] = [
    ("xen_major_version", None, &[0xb8, 4, 0, 0, 0, 0xc3]),
    ("xen_minor_version", None, &[0xb8, 20, 0, 0, 0, 0xc3]),
    // lea rax, [rip + 1]; ret; and the text.
    ("xen_extra_version", None, b"\x48\x8d\x05\x01\0\0\0\xc3.4\0"),
];

/// A world with a Xen 4.20.4 and its symbols, and a payload for it.
fn world() -> World {
    let world = World::new();
    fs::write(world.path("xen"), xen_build::boot(7, &FUNCTIONS)).unwrap();
    fs::write(world.path("xen-syms"), xen_build::syms(7, &FUNCTIONS)).unwrap();
    let id = "07".repeat(20);
    let write = ["payload", "write", "--build-id", &id, "-o", "lp.livepatch", "--text", "-x"];
    let out = world.run(&write, "print", "good.log");
    assert_eq!(out.code, 0, "{out:?}");
    world
}

#[test]
fn a_payload_for_this_xen_and_for_another() {
    let world = world();
    let show = |xen: &str| {
        world.run(&["payload", "show", "lp.livepatch", "--xen", xen], "print", "good.log")
    };
    let out = show("./xen");
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stdout.contains("Xen 4.20.4, "), "{out:?}");
    assert!(out.stdout.contains("  lp.livepatch: UPLOAD succeeds\n"), "{out:?}");

    fs::create_dir(world.path("other")).unwrap();
    fs::write(world.path("other/xen"), xen_build::boot(8, &FUNCTIONS)).unwrap();
    fs::write(world.path("other/xen-syms"), xen_build::syms(8, &FUNCTIONS)).unwrap();
    let out = show("./other/xen");
    assert_eq!(out.code, 5, "{out:?}");
    assert!(out.stdout.contains("UPLOAD: EINVAL from check_xen_buildid"), "{out:?}");
    // Symbols of another build are noticed.
    fs::write(world.path("other/xen-syms"), xen_build::syms(7, &FUNCTIONS)).unwrap();
    let out = show("./other/xen");
    assert_eq!(out.code, 65, "{out:?}");
    assert!(out.stderr.contains("build-id 0808"), "{out:?}");
}

#[test]
fn what_is_no_payload() {
    let world = world();
    world.file("text", "hello");
    fs::write(world.path("large"), vec![0x7f; 65 << 20]).unwrap();
    for (file, code, why) in [
        ("text", 65, "text is no ELF file, so it is no payload"),
        ("large", 65, "large has 68157440 bytes, and a payload at most 2 MiB"),
        ("missing", 74, "cannot read missing"),
    ] {
        let out = world.run(&["payload", "show", file], "print", "good.log");
        assert_eq!(out.code, code, "{out:?}");
        assert!(out.stderr.contains(why), "{out:?}");
    }
    let twice = ["payload", "show", "lp.livepatch", "lp.livepatch"];
    let out = world.run(&twice, "print", "good.log");
    assert_eq!(out.code, 64, "{out:?}");
    assert!(out.stderr.contains("lp.livepatch is named twice"), "{out:?}");
    let symbols = [
        "payload",
        "show",
        "lp.livepatch",
        "--xen",
        "xen",
        "--xen",
        "fake",
        "--symbols",
        "xen-syms",
    ];
    let out = world.run(&symbols, "print", "good.log");
    assert_eq!(out.code, 64, "{out:?}");
    assert!(out.stderr.contains("--symbols is for one --xen"), "{out:?}");
}

#[test]
fn a_document_for_programs() {
    let world = world();
    let args = ["payload", "show", "lp.livepatch", "--xen", "./xen", "--json"];
    let out = world.run(&args, "print", "good.log");
    let shown: serde_json::Value = serde_json::from_str(&out.stdout).unwrap();
    assert_eq!(shown["schema"], "xtf-rs/payload/1");
    assert_eq!(shown["files"][0]["functions"][0]["name"], "xen_extra_version");
    assert_eq!(shown["xens"][0]["release"], "4.20.4");
    assert_eq!(shown["xens"][0]["files"][0]["upload"], "success");
}

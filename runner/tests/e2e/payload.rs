//! `payload show`: what is no payload, and what belongs to no Xen. `payload try`: what is refused
//! before anything boots, and what is told of a boot.

use std::fs;

use crate::world::{Output, World, fixture};
use crate::xen_build;

const FUNCTIONS: [xen_build::Function<'_>; 4] = [
    ("livepatch_op", None, &[0xc3]),
    ("xen_major_version", None, &[0xb8, 4, 0, 0, 0, 0xc3]),
    ("xen_minor_version", None, &[0xb8, 20, 0, 0, 0, 0xc3]),
    // lea rax, [rip + 1]; ret; and the text.
    ("xen_extra_version", None, b"\x48\x8d\x05\x01\0\0\0\xc3.4\0"),
];

/// A world with a Xen 4.20.4, and a payload for it.
fn world() -> World {
    let world = World::new();
    fs::write(world.path("xen"), xen_build::boot(7, &FUNCTIONS)).unwrap();
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
    let out = show("./other/xen");
    assert_eq!(out.code, 5, "{out:?}");
    assert!(out.stdout.contains("UPLOAD: EINVAL from check_xen_buildid"), "{out:?}");
    // Without live patching.
    fs::write(world.path("other/xen"), xen_build::boot(7, &FUNCTIONS[1..])).unwrap();
    let out = show("./other/xen");
    assert_eq!(out.code, 5, "{out:?}");
    assert!(out.stdout.contains("UPLOAD: ENOSYS from livepatch_op"), "{out:?}");
    // Without symbols.
    fs::write(world.path("other/xen"), xen_build::boot(7, &[])).unwrap();
    let out = show("./other/xen");
    assert_eq!(out.code, 65, "{out:?}");
    assert!(out.stderr.contains("xen has no symbol table of the form"), "{out:?}");
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
        ("pipe", 65, "pipe is no file; name a .livepatch file"),
    ] {
        let out = world.run(&["payload", "show", file], "print", "good.log");
        assert_eq!(out.code, code, "{out:?}");
        assert!(out.stderr.contains(why), "{out:?}");
    }
    let twice = ["payload", "show", "lp.livepatch", "lp.livepatch"];
    let out = world.run(&twice, "print", "good.log");
    assert_eq!(out.code, 64, "{out:?}");
    assert!(out.stderr.contains("lp.livepatch is named twice"), "{out:?}");
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

/// A console on which the upload of `lp` ends so.
fn console(answer: &str) -> String {
    let skip = "# SKIP `upload` did not pass before";
    format!(
        "(XEN) Xen version 4.20.4 (Debian 4.20.4-1) gcc debug=n\n\
         (d0) --- Xen Test Framework ---\n\
         Environment: PV 64bit (Long mode 4 levels)\n\
         xtf-rs 0.1.0: 1 test selected\n\
         KTAP version 1\n\
         1..1\n  \
           KTAP version 1\n  \
           # Subtest: payload-try\n  \
           1..2\n\
         (XEN) livepatch: before\n  \
           #> lp: UPLOAD\n\
         (XEN) livepatch: lp: meanwhile\n  \
           #= {answer}\n  \
           # lp: UPLOAD: expected success, got {answer}\n  \
           not ok 1 upload\n  \
           ok 2 listed {skip}\n\
         not ok 1 payload-try\n\
         Test result: FAILURE\n\
         (XEN) Hardware Dom0 shutdown: rebooting machine\n"
    )
}

/// Tries `files` in a [`world`] whose image has the test.
fn try_them(world: &World, files: &[&str], more: &[&str], log: &str) -> Output {
    let meta = "{'name':'payload-try','title':'A title','category':'utility',\
                'environments':['pv64','pvh64'],'needs':[],'own_boot':false,'vcpus':1,\
                'timeout_s':300,'default':false,'cases':['upload','listed']}\n";
    world.image("try", ".xtf.meta", meta.replace('\'', "\"").as_bytes());
    let qemu = fixture("fake-qemu.sh");
    let own = ["--xen", "./xen", "--env", "pv64", "--cpus", "1", "--image", "try", "--qemu"];
    let own = [&own[..], &[qemu.to_str().unwrap()]].concat();
    let args = [&["payload", "try"], files, &own[..], more].concat();
    world.run(&args, "print", world.file("log", log).to_str().unwrap())
}

#[test]
fn what_is_not_tried() {
    let world = world();
    world.file("text", "hello");
    fs::create_dir(world.path("b")).unwrap();
    fs::copy(world.path("lp.livepatch"), world.path("b/lp.o")).unwrap();
    let mut large = b"\x7fELF".to_vec();
    large.resize(17 << 20, 0);
    fs::write(world.path("large"), large).unwrap();
    for (files, more, code, why) in [
        (&["text"][..], &[][..], 65, "text is no ELF file, so it is no payload"),
        (&["missing"], &[], 74, "cannot read missing"),
        (&["lp.livepatch", "lp.livepatch"], &[], 64, "lp.livepatch is named twice"),
        (&["lp.livepatch", "b/lp.o"], &[], 64, "b/lp.o would both be called lp in Xen; rename"),
        (&["large"], &[], 65, "16 MiB can be tried at a time; try fewer"),
        (&["lp.livepatch"], &["--env", "hvm64"], 64, "hvm64 is a domain"),
        (&["lp.livepatch"], &["--cycles", "0"], 64, "--cycles"),
        (&["lp.livepatch"], &["--cpus", "3"], 64, "--cpus"),
        (&["lp.livepatch"], &["--cpus", "1,2"], 65, "has no test payload-try-smp"),
        (&["lp.livepatch"], &["--expect-extra-version", "0123456789abcdef"], 64, "15 printable"),
        (&["lp.livepatch"], &["--with", "exampel"], 66, "exampel"),
        (
            &["lp.livepatch"],
            &["--json", "-", "--junit", "-"],
            64,
            "--json and --junit name the same",
        ),
    ] {
        let out = try_them(&world, files, more, "");
        assert_eq!(out.code, code, "{files:?} {more:?}: {out:?}");
        assert!(out.stderr.contains(why), "{files:?} {more:?}: {out:?}");
    }
    // An image of old.
    let args = ["payload", "try", "lp.livepatch", "--image", "xtf", "--xen", "./xen"];
    let out = world.run(&args, "print", "good.log");
    assert_eq!(out.code, 65, "{out:?}");
    assert!(out.stderr.contains("has no test payload-try; build it with `make build`"), "{out:?}");
}

#[test]
fn xens_words_and_what_was_not_foretold() {
    let world = world();
    let out = try_them(&world, &["lp.livepatch"], &[], &console("EINVAL"));
    assert_eq!(out.code, 5, "{out:?}");
    let told = "\n./xen: pv64 payload-try\n  \
                lp: UPLOAD: EINVAL (DIFFERENT: `payload show` foretells success)\n    \
                Xen says: livepatch: lp: meanwhile\n";
    assert!(out.stdout.ends_with(told), "{out:?}");

    // The guest was given the file.
    let boot = world.boot_dir("001");
    let archive = fs::read(boot.join("initrd")).unwrap();
    assert!(archive.starts_with(b"070701"));
    let payload = fs::read(world.path("lp.livepatch")).unwrap();
    assert!(archive.windows(payload.len()).any(|window| window == payload));
    let foretold = b"lp: UPLOAD: success\nlp: APPLY: success\nlp: APPLY again: success\n";
    assert!(archive.windows(foretold.len()).any(|window| window == foretold));
    let commands = fs::read_to_string(boot.join("runner.log")).unwrap();
    assert!(commands.contains(" foretold=0 cycles=3 replace=0 lookout=com2,initrd'"), "{commands}");
}

#[test]
fn a_report_on_standard_output_is_alone_there() {
    let world = world();
    let more = ["--json", "-", "--cycles", "7"];
    let out = try_them(&world, &["lp.livepatch"], &more, &console("EINVAL"));
    assert_eq!(out.code, 5, "{out:?}");
    let results: serde_json::Value = serde_json::from_str(&out.stdout).unwrap();
    assert_eq!(results["tests"][0]["test"], "payload-try", "{results}");
    // Whoever boots it again by hand has nobody who looks from outside.
    assert!(out.stdout.contains(" cycles=7 replace=0,initrd'"), "{results}");
    let step = serde_json::json!([{
        "test": "payload-try", "payload": "lp", "step": "UPLOAD", "answer": "EINVAL",
        "foretold": "success", "times": 1, "xen_words": ["livepatch: lp: meanwhile"],
    }]);
    assert_eq!(results["boots"][0]["payload_steps"], step);
    assert!(out.stderr.contains("lp: UPLOAD: EINVAL (DIFFERENT"), "{out:?}");
}

#[test]
fn without_symbols_nothing_is_foretold() {
    let world = world();
    fs::write(world.path("xen"), xen_build::boot(7, &[])).unwrap();
    let out = try_them(&world, &["lp.livepatch"], &[], &console("EINVAL"));
    assert_eq!(out.code, 5, "{out:?}");
    assert!(out.stdout.contains("`payload show` foretells nothing: "), "{out:?}");
    assert!(out.stdout.contains("  lp: UPLOAD: EINVAL\n"), "{out:?}");
}

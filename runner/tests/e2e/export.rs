//! The tree that `export` writes, as its readers find it.

use std::fs;
use std::path::Path;

use object::write::Object as Writer;
use object::{Architecture, BinaryFormat, Endianness, Object, ObjectSection, SectionKind};

use crate::world::{Output, World};

/// Room for a command line in this image.
const ROOM: usize = 64;

const ALL: &str = "'pv64','pvh64','hvm64'";

/// A line of metadata.
fn meta(name: &str, environments: &str, needs: &str, default: bool) -> String {
    format!(
        "{{'name':'{name}','title':'A title','category':'functional','environments':\
         [{environments}],'needs':[{needs}],'own_boot':false,'vcpus':1,'timeout_s':30,\
         'default':{default},'cases':['x']}}\n"
    )
    .replace('\'', "\"")
}

fn world() -> World {
    world_of(
        &[
            meta("plain", ALL, "", true),
            meta("refused", "'pv64'", "'unprivileged'", true),
            meta("dom0-only", ALL, "'privileged'", true),
            meta("unlisted", ALL, "", false),
        ]
        .concat(),
    )
}

/// A world whose image has this metadata.
fn world_of(lines: &str) -> World {
    let world = World::new();
    image(&world, "xtf", Architecture::X86_64, "code", lines);
    world
}

fn image(world: &World, name: &str, kind: Architecture, code: &str, lines: &str) {
    let mut elf = Writer::new(BinaryFormat::Elf, kind, Endianness::Little);
    let mut section = |name: &str, kind, data: &[u8]| {
        let id = elf.add_section(Vec::new(), name.into(), kind);
        elf.append_section_data(id, data, 1);
    };
    section(".text", SectionKind::Text, code.as_bytes());
    section(".xtf.meta", SectionKind::ReadOnlyData, lines.as_bytes());
    section(".xtf.cmdline", SectionKind::ReadOnlyData, &[0; ROOM]);
    section(".debug_info", SectionKind::Debug, &[7; 1000]);
    fs::write(world.path(name), elf.write().unwrap()).unwrap();
}

fn export(world: &World, args: &[&str]) -> Output {
    let args: Vec<&str> =
        ["export", "--image", "xtf"].into_iter().chain(args.iter().copied()).collect();
    world.run(&args, "print", "good.log")
}

fn files(top: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for folder in fs::read_dir(top.join("tests")).unwrap() {
        let folder = folder.unwrap();
        for file in fs::read_dir(folder.path()).unwrap() {
            let (folder, file) = (folder.file_name(), file.unwrap().file_name());
            found.push(format!("{}/{}", folder.display(), file.display()));
        }
    }
    found.sort();
    found
}

/// The contents of an image's section, up to the first NUL.
fn section(image: &Path, name: &str) -> Option<String> {
    let bytes = fs::read(image).unwrap();
    let elf = object::File::parse(&*bytes).unwrap();
    let data = elf.section_by_name(name)?.data().unwrap();
    let text = data.split(|&byte| byte == 0).next().unwrap();
    Some(String::from_utf8(text.to_vec()).unwrap())
}

#[test]
fn what_means_something_to_a_domu() {
    let world = world();
    let out = export(&world, &["tree"]);
    assert_eq!(out.code, 0, "{out:?}");
    assert_eq!(
        out.stdout,
        "tree: 5 domains of 2 tests\n\
         left out: 1 test that an unprivileged domain can only skip; name it to export it\n"
    );
    assert_eq!(
        files(&world.path("tree")),
        [
            "plain-pvh/info.json",
            "plain-pvh/test-hvm64-plain-pvh",
            "plain-pvh/test-hvm64-plain-pvh.cfg",
            "plain/info.json",
            "plain/test-hvm64-plain",
            "plain/test-hvm64-plain.cfg",
            "plain/test-pv64-plain",
            "plain/test-pv64-plain.cfg",
            "plain/test-pvh64-plain",
            "plain/test-pvh64-plain.cfg",
            "refused/info.json",
            "refused/test-pv64-refused",
            "refused/test-pv64-refused.cfg",
        ]
    );
    let info = fs::read_to_string(world.path("tree/tests/plain/info.json")).unwrap();
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    let expected = serde_json::json!({
        "name": "plain",
        "category": "functional",
        "environments": ["pv64", "hvm64"],
        "variations": [],
    });
    assert_eq!(info, expected);
}

#[test]
fn images_select_their_own_test() {
    let world = world();
    assert_eq!(export(&world, &["tree", "--cmdline", " exit=reboot  linger=9"]).code, 0);
    for (image, words) in [
        ("plain/test-pv64-plain", "tests=plain linger=500 exit=reboot linger=9"),
        ("plain-pvh/test-hvm64-plain-pvh", "tests=plain linger=500 exit=reboot linger=9"),
        ("refused/test-pv64-refused", "tests=refused linger=500 exit=reboot linger=9"),
    ] {
        let image = world.path("tree/tests").join(image);
        assert_eq!(section(&image, ".xtf.cmdline").as_deref(), Some(words));
        assert_eq!(section(&image, ".text").as_deref(), Some("code"));
        assert_eq!(section(&image, ".debug_info"), None);
    }
    // What was built is as it was.
    assert_eq!(section(&world.path("xtf"), ".xtf.cmdline").as_deref(), Some(""));
    assert!(section(&world.path("xtf"), ".debug_info").is_some());
}

#[test]
fn names_kinds_and_a_prefix() {
    let world = world();
    let args = ["tree", "dom0-only", "unlisted", "--env", "hvm64,pvh64", "--prefix", "/opt/x y"];
    let out = export(&world, &args);
    assert_eq!((out.code, out.stdout.as_str()), (0, "tree: 6 domains of 2 tests\n"), "{out:?}");
    let config = |path: &str| fs::read_to_string(world.path("tree/tests").join(path)).unwrap();
    let hvm = config("unlisted/test-hvm64-unlisted.cfg");
    let line = "\nfirmware_override=\"/opt/x y/tests/unlisted/test-hvm64-unlisted\"\n";
    assert!(hvm.contains(line), "{hvm}");
    let pvh = config("unlisted-pvh/test-hvm64-unlisted-pvh.cfg");
    let line = "\nkernel=\"/opt/x y/tests/unlisted-pvh/test-hvm64-unlisted-pvh\"\n";
    assert!(pvh.contains(line) && pvh.contains("type=\"pvh\""), "{pvh}");

    // The same folder for something else.
    assert_eq!(export(&world, &["tree", "unlisted", "--env", "pv64"]).code, 0);
    assert_eq!(
        files(&world.path("tree")),
        ["unlisted/info.json", "unlisted/test-pv64-unlisted", "unlisted/test-pv64-unlisted.cfg"]
    );
}

/// An HVM guest is told its paging mode, a PV guest has but one.
#[test]
fn guests_of_32_bits_have_the_other_image() {
    let lines = meta("plain", "'pv64','pv32pae','hvm32','hvm32pse','hvm32pae'", "", true);
    let world = world_of(&lines);
    image(&world, "xtf32", Architecture::I386, "narrow", &lines);
    let out = export(&world, &["tree", "--env", "pv64,pv32pae,hvm32,hvm32pse,hvm32pae"]);
    assert_eq!((out.code, out.stdout.as_str()), (0, "tree: 5 domains of 1 test\n"), "{out:?}");
    for (kind, code, place) in [
        ("pv64", "code", ""),
        ("pv32pae", "narrow", ""),
        ("hvm32", "narrow", " env=hvm32"),
        ("hvm32pse", "narrow", " env=hvm32pse"),
        ("hvm32pae", "narrow", " env=hvm32pae"),
    ] {
        let image = world.path(&format!("tree/tests/plain/test-{kind}-plain"));
        assert_eq!(section(&image, ".text").as_deref(), Some(code), "{kind}");
        let words = format!("tests=plain linger=500{place}");
        assert_eq!(section(&image, ".xtf.cmdline"), Some(words));
        let config = fs::read_to_string(image.with_extension("cfg")).unwrap();
        let domain = if kind.starts_with("pv") { "type=\"pv\"" } else { "type=\"hvm\"" };
        assert!(config.contains(domain), "{config}");
    }
    let info = fs::read_to_string(world.path("tree/tests/plain/info.json")).unwrap();
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    let kinds = ["pv64", "pv32pae", "hvm32", "hvm32pse", "hvm32pae"];
    assert_eq!(info["environments"], serde_json::json!(kinds));
}

#[test]
fn what_cannot_be_exported() {
    let world = world();
    fs::create_dir(world.path("mine")).unwrap();
    world.file("mine/thesis.tex", "");
    let long = "x".repeat(ROOM);
    let cases = [
        (vec!["mine"], 64, "mine is not empty and was not written by an export"),
        (vec!["xtf"], 74, "cannot create the folder xtf"),
        (vec!["tree", "plian"], 66, "did you mean plain"),
        (vec!["tree", "refused", "--env", "hvm64"], 66, "no selected test supports"),
        (vec!["tree", "--prefix", "opt"], 64, "--prefix opt: must be an absolute path"),
        (vec!["tree", "--prefix", "/a\"b"], 64, "without quotes"),
        (vec!["tree", "--env", "hvm16"], 64, "hvm16"),
        (vec!["tree", "--env", "hvm32"], 66, "no selected test supports hvm32"),
        (vec!["tree", "--cmdline", "\u{e4}"], 64, "printable ASCII"),
        (vec!["tree", "--cmdline", &long], 64, "can hold 64 bytes"),
    ];
    for (args, code, text) in &cases {
        let out = export(&world, args);
        assert_eq!(out.code, *code, "{args:?}: {out:?}");
        assert!(out.stderr.contains(text), "{args:?}: {out:?}");
        assert!(!world.path("tree").exists(), "{args:?} left something");
    }
    world.image("bare", ".xtf.meta", section(&world.path("xtf"), ".xtf.meta").unwrap().as_bytes());
    let out = world.run(&["export", "tree", "--image", "bare"], "print", "good.log");
    assert_eq!(out.code, 65, "{out:?}");
    assert!(out.stderr.contains(".xtf.cmdline"), "{out:?}");
}

#[test]
fn two_tests_cannot_share_a_folder() {
    let world = world_of(&(meta("x", ALL, "", true) + &meta("x-pvh", "'pv64'", "", true)));
    let out = export(&world, &["tree"]);
    assert_eq!(out.code, 64, "{out:?}");
    assert!(out.stderr.contains("two tests need the folder tests/x-pvh"), "{out:?}");
    assert_eq!(export(&world, &["tree", "--env", "pv64"]).code, 0);
}

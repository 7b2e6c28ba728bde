//! `payload show` and `payload try` on files that a compiler has made, with the names and the code of
//! a real Xen, and on this Xen.
//!
//! Needs cc, binutils, QEMU and Debian's packages, so `make e2e-test` runs these (they are ignored
//! otherwise).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use livepatch::model::KnownXen;
use object::read::elf::ElfFile32;
use object::{LittleEndian, Object, ObjectSegment};
use serde_json::Value;
use xtf_runner::xen::symbols::{BootXen, KnownSymbols};

mod payloads;

use payloads::{SHAPES, Shape, build, build_upon};

fn payload(what: &str, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtf-runner"));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    command.args(["payload", what]).args(args).output().unwrap()
}

fn document(args: &[&str]) -> (Value, Option<i32>) {
    let out = payload("show", &[args, &["--json"]].concat());
    let text = String::from_utf8(out.stdout).unwrap();
    let why = || format!("{text}{}", String::from_utf8_lossy(&out.stderr));
    (serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {}", why())), out.status.code())
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
#[ignore = "reads a real Xen"]
fn what_compilers_make_is_judged() {
    let dir = tempfile::tempdir().unwrap();
    // Which build it is, from a file that is for none.
    let strange = build(&SHAPES[0], &[0; 20], dir.path());
    let (shown, code) = document(&[strange.to_str().unwrap(), "--xen", "4.17"]);
    assert_eq!(code, Some(5), "{shown}");
    let refusal = &shown["xens"][0]["files"][0]["refusal"];
    assert_eq!(refusal["function"], "xen_build_id_dep", "{shown}");
    let id = bytes(shown["xens"][0]["build_id"].as_str().unwrap());

    for shape in &SHAPES {
        let file = build(shape, &id, dir.path());
        let (shown, code) = document(&[file.to_str().unwrap(), "--xen", "4.17"]);
        let verdict = &shown["xens"][0]["files"][0];
        match shape.verdict {
            None => {
                assert_eq!(verdict["upload"], "success", "{}: {verdict}", shape.name);
                assert_eq!(code, Some(0));
            }
            Some((errno, function)) => {
                let refusal = &verdict["refusal"];
                let told = (refusal["errno"].as_str(), refusal["function"].as_str());
                assert_eq!(told, (Some(errno), Some(function)), "{}: {verdict}", shape.name);
                assert_eq!(code, Some(5));
            }
        }
        let functions = shown["files"][0]["functions"].as_array().unwrap();
        let names: Vec<_> = functions.iter().map(|function| &function["name"]).collect();
        assert_eq!(names, ["xen_extra_version", "xen_deny"], "{}", shape.name);
        let place = &verdict["functions"][1];
        assert_eq!(place["symbol"], "xen_deny", "{}: {place}", shape.name);
    }
}

#[test]
#[ignore = "reads a real Xen"]
fn what_is_in_a_compiled_file() {
    let dir = tempfile::tempdir().unwrap();
    let everything = SHAPES.iter().find(|shape| shape.name == "everything").unwrap();
    let file = build(everything, &[7; 20], dir.path());
    let (shown, code) = document(&[file.to_str().unwrap()]);
    assert_eq!(code, Some(0));
    let contents = &shown["files"][0];
    assert_eq!(contents["xen_depends"], "07".repeat(20));
    assert_eq!(contents["hooks"], serde_json::json!({ "load": 2, "preapply": 1 }));
    assert_eq!(contents["metadata"], serde_json::json!(["author=nobody", "ticket=7"]));
    let tables = serde_json::json!({ ".altinstructions": 1, ".bug_frames.1": 1, ".ex_table": 1 });
    assert_eq!(contents["tables"], tables);
    assert_eq!(contents["imports"], serde_json::json!(["xen_changeset"]));
    assert!(contents["build_id"].as_str().is_some_and(|id| id.len() == 40), "{contents}");
}

fn shape(name: &str) -> &'static Shape {
    SHAPES.iter().find(|shape| shape.name == name).unwrap()
}

/// The build-id of Xen 4.17.
fn xen_4_17(dir: &Path) -> Vec<u8> {
    let file = build(shape("plain"), &[0; 20], dir);
    let (shown, _) = document(&[file.to_str().unwrap(), "--xen", "4.17"]);
    bytes(shown["xens"][0]["build_id"].as_str().unwrap())
}

/// Tries files on Xen 4.17, as PV and as PVH dom0.
fn tried(files: &[&Path], dir: &Path) -> (String, Option<i32>) {
    let mut args: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
    let logs = dir.join("logs");
    args.extend(["--xen", "4.17", "--cycles", "2", "--logs", logs.to_str().unwrap()]);
    let out = payload("try", &args);
    let text = String::from_utf8(out.stdout).unwrap() + &String::from_utf8_lossy(&out.stderr);
    (text, out.status.code())
}

#[test]
#[ignore = "boots a real Xen"]
fn what_compilers_make_goes_through_its_life() {
    let dir = tempfile::tempdir().unwrap();
    let id = xen_4_17(dir.path());
    for name in ["plain", "hooks", "metadata", "data"] {
        let file = build(shape(name), &id, dir.path());
        let (text, code) = tried(&[&file], dir.path());
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("\n2 passed, 0 failed, 0 skipped\n"), "{text}");
        let foretold = format!("  {name}: UPLOAD: success (as foretold)\n");
        assert_eq!(text.matches(&foretold).count(), 2, "{text}");
        // What is writable may have changed.
        let not_again = format!("  {name}: APPLY again: EINVAL, which is no failure: ");
        let expected = if ["hooks", "data"].contains(&name) { 2 } else { 0 };
        assert_eq!(text.matches(&not_again).count(), expected, "{text}");
        assert!(!text.contains("DIFFERENT"), "{text}");
    }
}

#[test]
#[ignore = "boots a real Xen"]
fn a_refusal_is_shown_with_xens_words() {
    let dir = tempfile::tempdir().unwrap();
    let file = build(shape("not-pic"), &xen_4_17(dir.path()), dir.path());
    let (text, code) = tried(&[&file], dir.path());
    assert_eq!(code, Some(5), "{text}");
    assert_eq!(text.matches("  not-pic: UPLOAD: EOPNOTSUPP (as foretold)\n").count(), 2, "{text}");
    assert_eq!(text.matches("    Xen says: livepatch: not-pic: Unhandled").count(), 2, "{text}");
    assert!(text.contains("remedy: compile with -fPIC"), "{text}");
}

/// The file that boots of the build with that build-id, which is in the cache.
fn xen_in_cache(build_id: &[u8]) -> Vec<u8> {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache");
    let files = fs::read_dir(cache).unwrap().map(|dir| dir.unwrap().path().join("xen"));
    let mut xens = files.filter_map(|path| fs::read(path).ok());
    let is_it = |bytes: &Vec<u8>| {
        let elf = ElfFile32::<LittleEndian>::parse(bytes.as_slice());
        elf.is_ok_and(|elf| elf.build_id() == Ok(Some(build_id)))
    };
    xens.find(is_it).expect("the cache holds it")
}

/// Where in the file that boots `_stext` is: with it begins all that is loaded.
fn loaded_at(xen: &[u8]) -> usize {
    let elf = ElfFile32::<LittleEndian>::parse(xen).unwrap();
    let (offset, _) = elf.segments().next().unwrap().file_range();
    usize::try_from(offset).unwrap()
}

fn symbols(xen: &[u8]) -> KnownSymbols {
    BootXen::parse(xen.to_vec()).and_then(KnownSymbols::of).unwrap()
}

/// Where something of Xen's is.
fn place(symbols: &KnownSymbols, name: &str) -> u64 {
    symbols.address(symbols.find(name.as_bytes()).unwrap()).unwrap()
}

/// `xen_changeset` returns a pointer: so many bytes are enough for that, with an ENDBR64.
const RETURNED: u64 = 12;

#[test]
#[ignore = "boots a real Xen"]
fn code_that_changes_for_no_reason_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let id = xen_4_17(dir.path());
    let xen = symbols(&xen_in_cache(&id));
    let start = place(&xen, "xen_changeset");
    // Nobody executes what is between its end and the next function.
    let next = xen.end(start).unwrap();
    let padding = next - 1 - start;
    assert!(padding >= RETURNED, "{start:#x} {next:#x}");
    let flags = |what: &str| -> &'static [&'static str] {
        vec![&*format!("-D{what}").leak(), &*format!("-DPADDING={padding}").leak()].leak()
    };
    let spoiled = format!("in 1 byte: xen_changeset+{padding:#x} (0xffff82d0");
    for (name, what, applied) in
        [("early", "SPOILS_AT_APPLY", true), ("late", "SPOILS_AT_REVERT", false)]
    {
        let file = build(&Shape { name, flags: flags(what), verdict: None }, &id, dir.path());
        let (text, code) = tried(&[&file], dir.path());
        assert_eq!(code, Some(5), "{text}");
        let found =
            |case: &str, words: &str| text.matches(&format!("✗ {case}: {words} {spoiled}")).count();
        let elsewhere =
            found("code_while_applied", "Xen differs where no payload names a function,");
        assert_eq!(elsewhere, if applied { 2 } else { 0 }, "{text}");
        let left =
            found("code_restored", "after the last step Xen differs from before the first upload");
        assert_eq!(left, 2, "{text}");
        // Nothing else is wrong with it.
        let wrong = if applied { 4 } else { 2 };
        assert!(text.contains(&format!(" {wrong} failed, 0 in error, 0 skipped, ")), "{text}");
    }
}

/// A Xen that says that it has reverted a payload, and has not.
#[test]
#[ignore = "boots a real Xen"]
fn a_xen_that_leaves_its_jumps_is_found_out() {
    const RETURN: u8 = 0xc3;
    let dir = tempfile::tempdir().unwrap();
    let id = xen_4_17(dir.path());
    let mut xen = xen_in_cache(&id);
    let symbols = symbols(&xen);
    let [start, revert] = ["_stext", "arch_livepatch_revert"].map(|name| place(&symbols, name));
    let at = loaded_at(&xen) + usize::try_from(revert - start).unwrap();
    xen[at] = RETURN;
    let boots = dir.path().join("xen");
    fs::write(&boots, xen).unwrap();

    let file = build(shape("plain"), &id, dir.path());
    let [xen, file] = [&boots, &file].map(|path| path.to_str().unwrap());
    let logs = dir.path().join("logs");
    let mut args = vec![file, "--xen", xen];
    args.extend(["--env", "pv64", "--cycles", "1", "--logs", logs.to_str().unwrap()]);
    let out = payload("try", &args);
    let text = String::from_utf8(out.stdout).unwrap();
    assert_eq!(out.status.code(), Some(5), "{text}");
    let found = "✗ code_restored: after the last step Xen differs from before the first upload in ";
    assert!(text.contains(found), "{text}");
    // Nothing else shows it.
    assert!(text.contains("cases: 9 passed, 1 failed, 0 in error, 0 skipped"), "{text}");
}

#[test]
#[ignore = "boots a real Xen"]
fn jumps_and_nops_are_where_they_are_wanted() {
    /// A handler of a key that nobody presses, which begins with an ENDBR64.
    const TRACKED: &str = "-DTARGET=\"common/keyhandler.c#show_handlers\"";
    let dir = tempfile::tempdir().unwrap();
    let id = xen_4_17(dir.path());
    // A jump is also in the place of `xen_extra_version`; a byte may have been what it becomes.
    for (name, flags, bytes, jumps) in [
        ("nops", &["-DNOPS=11"][..], 12..=16, "1 jump"),
        ("tracked", &[TRACKED], 8..=10, "2 jumps"),
        ("tracked-nops", &["-DNOPS=11", TRACKED], 9..=12, "1 jump"),
    ] {
        let file = build(&Shape { name, flags, verdict: None }, &id, dir.path());
        let (text, code) = tried(&[&file], dir.path());
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("cases: 20 passed, 0 failed, 0 in error, 0 skipped"), "{text}");
        for boot in boots(dir.path()) {
            let guest = fs::read_to_string(boot.join("guest.log")).unwrap();
            let found = guest.lines().find(|line| line.contains("# Xen differs in ")).unwrap();
            let number = found.trim().split(' ').nth(4).unwrap();
            assert!(bytes.contains(&number.parse::<u64>().unwrap()), "{found}");
            let rest = format!("at 2 places; followed to the files' code: {jumps}");
            assert!(found.ends_with(&rest), "{found}");
        }
    }
}

/// The folders of the boots of the last run in `dir`.
fn boots(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let folders = fs::read_dir(dir.join("logs/latest")).unwrap().map(|entry| entry.unwrap().path());
    folders.filter(|path| path.is_dir())
}

/// The same functions under other names: nobody may define a name twice.
const UPPER: Shape = Shape {
    name: "upper",
    flags: &[
        "-Dnamed=upper_named",
        "-Dfunctions=upper_functions",
        "-Dpatched_extra_version=upper_extra_version",
        "-Dpatched_deny=upper_deny",
    ],
    verdict: None,
};

#[test]
#[ignore = "boots a real Xen"]
fn a_stack_goes_up_and_down() {
    let dir = tempfile::tempdir().unwrap();
    let id = xen_4_17(dir.path());
    let lower = build(shape("plain"), &id, dir.path());
    let (shown, _) = document(&[lower.to_str().unwrap()]);
    let below = bytes(shown["files"][0]["build_id"].as_str().unwrap());
    let upper = build_upon(&UPPER, &below, &id, dir.path());

    let (text, code) = tried(&[&lower, &upper], dir.path());
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(text.matches("  upper: UPLOAD: success (as foretold)\n").count(), 2, "{text}");

    // The other way round there is nothing to put it upon.
    let (text, code) = tried(&[&upper, &lower], dir.path());
    assert_eq!(code, Some(5), "{text}");
    assert_eq!(text.matches("  upper: APPLY: EINVAL\n").count(), 2, "{text}");
    assert!(text.contains("foretold: APPLY: EINVAL, because .livepatch.depends is"), "{text}");
}

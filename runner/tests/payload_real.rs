//! `payload show` and `payload try` on files that a compiler has made, with the names and the code of
//! a real Xen, and on this Xen.
//!
//! Needs cc, binutils, QEMU and Debian's packages, so `make e2e-test` runs these (they are ignored
//! otherwise).

use std::fs;
use std::os::unix::fs::symlink;
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

/// The build-id of a Xen.
fn id_of(xen: &str, dir: &Path) -> Vec<u8> {
    let file = build(shape("plain"), &[0; 20], dir);
    let (shown, _) = document(&[file.to_str().unwrap(), "--xen", xen]);
    bytes(shown["xens"][0]["build_id"].as_str().unwrap())
}

fn xen_4_17(dir: &Path) -> Vec<u8> {
    id_of("4.17", dir)
}

/// What came of trying files on Xen 4.17.
struct Tried {
    /// Standard output and error.
    text: String,
    code: Option<i32>,
    /// The results document.
    results: Value,
}

/// Tries files on Xen 4.17, in every environment and with both numbers of CPUs unless `more` says
/// otherwise.
fn tried(files: &[&Path], more: &[&str], dir: &Path) -> Tried {
    tried_as(files, &[&["--cycles", "2"], more].concat(), dir)
}

/// The same, in whatever way.
fn tried_as(files: &[&Path], more: &[&str], dir: &Path) -> Tried {
    let mut args: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
    let [logs, json] = ["logs", "results.json"].map(|name| dir.join(name));
    args.extend(["--logs", logs.to_str().unwrap(), "--json", json.to_str().unwrap()]);
    if !more.contains(&"--xen") {
        args.extend(["--xen", "4.17"]);
    }
    args.extend(more);
    let out = payload("try", &args);
    let text = String::from_utf8(out.stdout).unwrap() + &String::from_utf8_lossy(&out.stderr);
    let results = fs::read(&json).unwrap_or_else(|_| b"null".to_vec());
    Tried { text, code: out.status.code(), results: serde_json::from_slice(&results).unwrap() }
}

/// One environment is enough where it makes no difference.
const ONCE: [&str; 4] = ["--env", "pv64", "--cpus", "1"];

impl Tried {
    /// The verdict on a case, which is the same wherever it was run, and the guest's words.
    fn case(&self, test: &str, name: &str) -> (&str, String) {
        let tests = self.results["tests"].as_array().unwrap();
        let of_test = tests.iter().filter(|result| result["test"] == test);
        let cases = of_test.map(|result| result["cases"].as_array().unwrap());
        let mut cases = cases.flatten().filter(|case| case["name"] == name);
        let case = cases.next().unwrap_or_else(|| panic!("no {test}/{name}: {}", self.text));
        assert!(cases.all(|other| other["verdict"] == case["verdict"]), "{}", self.text);
        let words = case["diagnostics"].as_array().into_iter().flatten().chain([&case["why"]]);
        let words: Vec<&str> = words.filter_map(Value::as_str).collect();
        (case["verdict"].as_str().unwrap(), words.join("; "))
    }

    fn verdict(&self, test: &str, name: &str) -> &str {
        self.case(test, name).0
    }
}

#[test]
#[ignore = "boots a real Xen"]
fn what_compilers_make_goes_through_its_life() {
    let dir = tempfile::tempdir().unwrap();
    let id = xen_4_17(dir.path());
    for name in ["plain", "hooks", "metadata", "data"] {
        let file = build(shape(name), &id, dir.path());
        let Tried { text, code, results } = tried(&[&file], &[], dir.path());
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("\n4 passed, 0 failed, 0 skipped\n"), "{text}");
        let foretold = format!("  {name}: UPLOAD: success (as foretold)\n");
        assert_eq!(text.matches(&foretold).count(), 1, "{text}");
        let everywhere = "\n4.17: pv64 payload-try, pv64 payload-try-smp, pvh64 payload-try, pvh64 \
                          payload-try-smp\n";
        assert!(text.contains(everywhere), "{text}");
        // What is writable may have changed.
        let not_again = format!("  {name}: APPLY again: EINVAL, which is no failure: ");
        let expected = usize::from(["hooks", "data"].contains(&name));
        assert_eq!(text.matches(&not_again).count(), expected, "{text}");
        assert!(!text.contains("DIFFERENT"), "{text}");

        let mut cpus: Vec<&str> = Vec::new();
        for boot in results["boots"].as_array().unwrap() {
            let command = boot["command"].as_str().unwrap();
            cpus.push(command.split_once(" -smp ").unwrap().1.split(' ').next().unwrap());
            let steps = boot["payload_steps"].as_array().unwrap();
            let again = steps.iter().find(|step| step["step"] == "APPLY again").unwrap();
            let answer = if expected == 0 { "success" } else { "EINVAL" };
            assert_eq!((&again["payload"], &again["answer"]), (&name.into(), &answer.into()));
            // Whether a hook agrees again is not known.
            let foretold = again["foretold"].as_str();
            assert_eq!(foretold, Some(answer), "{again}");
            let words = again["xen_words"].to_string();
            assert_eq!(words.contains("Please unload"), expected != 0, "{again}");
            // The first one and two cycles.
            assert_eq!(steps[0]["times"], 3, "{steps:?}");
        }
        cpus.sort_unstable();
        assert_eq!(cpus, ["1", "1", "2", "2"]);
    }
}

#[test]
#[ignore = "boots a real Xen"]
fn a_refusal_is_shown_with_xens_words() {
    let dir = tempfile::tempdir().unwrap();
    let file = build(shape("not-pic"), &xen_4_17(dir.path()), dir.path());
    let tried = tried(&[&file], &["--with", "example"], dir.path());
    let text = &tried.text;
    assert_eq!(tried.code, Some(5), "{text}");
    assert_eq!(text.matches("  not-pic: UPLOAD: EOPNOTSUPP (as foretold)\n").count(), 2, "{text}");
    assert_eq!(text.matches("    Xen says: livepatch: not-pic: Unhandled").count(), 2, "{text}");
    assert!(text.contains("remedy: compile with -fPIC"), "{text}");
    // It is as foretold, and nothing runs with it.
    assert_eq!(tried.verdict("payload-try", "as_foretold"), "SUCCESS", "{text}");
    let (verdict, why) = tried.case("example", "version/major_is_4");
    let expected = "the payloads could not be applied: not-pic: UPLOAD: expected success";
    assert!(verdict == "ERROR" && why.starts_with(expected), "{verdict} {why}");
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
        let Tried { text, code, .. } = tried(&[&file], &["--cpus", "1"], dir.path());
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
    let more = [&["--xen", boots.to_str().unwrap()], &ONCE[..]].concat();
    let Tried { text, code, .. } = tried(&[&file], &more, dir.path());
    assert_eq!(code, Some(5), "{text}");
    let found = "✗ code_restored: after the last step Xen differs from before the first upload in ";
    assert!(text.contains(found), "{text}");
    // Nothing else shows it.
    assert!(text.contains("cases: 10 passed, 1 failed, 0 in error, 0 skipped"), "{text}");
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
        let Tried { text, code, .. } = tried(&[&file], &["--cpus", "1"], dir.path());
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("cases: 22 passed, 0 failed, 0 in error, 0 skipped"), "{text}");
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

/// A payload, and another one upon it.
fn lower_and_upper(id: &[u8], dir: &Path) -> [PathBuf; 2] {
    let lower = build(shape("plain"), id, dir);
    let (shown, _) = document(&[lower.to_str().unwrap()]);
    let below = bytes(shown["files"][0]["build_id"].as_str().unwrap());
    let upper = build_upon(&UPPER, &below, id, dir);
    [lower, upper]
}

#[test]
#[ignore = "boots a real Xen"]
fn a_stack_goes_up_and_down() {
    let dir = tempfile::tempdir().unwrap();
    let [lower, upper] = lower_and_upper(&xen_4_17(dir.path()), dir.path());

    let Tried { text, code, .. } = tried(&[&lower, &upper], &[], dir.path());
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(text.matches("  upper: UPLOAD: success (as foretold)\n").count(), 1, "{text}");

    // The other way round there is nothing to put it upon.
    let other_way = tried(&[&upper, &lower], &ONCE, dir.path());
    let text = &other_way.text;
    assert_eq!(other_way.code, Some(5), "{text}");
    assert_eq!(text.matches("  upper: APPLY: EINVAL (as foretold)\n").count(), 1, "{text}");
    assert!(text.contains("foretold: APPLY: EINVAL, because .livepatch.depends is"), "{text}");
    assert_eq!(other_way.verdict("payload-try", "as_foretold"), "SUCCESS", "{text}");
}

#[test]
#[ignore = "boots a real Xen"]
fn the_last_one_replaces_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let id = xen_4_17(dir.path());
    let [lower, dependent] = lower_and_upper(&id, dir.path());
    // What depends on another payload replaces nothing.
    let refused = |files: &[&Path], name: &str, errno: &str| {
        let all = tried(files, &[&ONCE[..], &["--replace"]].concat(), dir.path());
        assert_eq!(all.code, Some(5), "{}", all.text);
        let told = format!("  {name}: REPLACE: {errno} (as foretold)\n");
        assert!(all.text.contains(&told), "{}", all.text);
        assert_eq!(all.verdict("payload-try", "as_foretold"), "SUCCESS", "{}", all.text);
    };
    refused(&[&lower, &dependent], "upper", "EINVAL");

    let upper = build(&UPPER, &id, dir.path());
    let hooks = build(shape("hooks"), &id, dir.path());
    refused(&[&hooks, &upper], "upper", "EOPNOTSUPP");

    let text = ["--replace", "--expect-extra-version=-shape"];
    let all = tried(&[&lower, &upper], &text, dir.path());
    assert_eq!(all.code, Some(0), "{}", all.text);
    assert_eq!(all.verdict("payload-effect", "applied"), "SUCCESS");
    let boots = all.results["boots"].as_array().unwrap();
    let steps = boots.iter().flat_map(|boot| boot["payload_steps"].as_array().unwrap());
    let replaced = steps.filter(|step| step["step"] == "REPLACE");
    let as_foretold = |step: &&Value| {
        step["payload"] == "upper" && step["answer"] == "success" && step["foretold"] == "success"
    };
    // In each of four tests, and in two more for the effect.
    assert_eq!(replaced.filter(as_foretold).count(), 6, "{}", all.text);

    let alone = tried(&[&upper], &[&ONCE[..], &["--replace"]].concat(), dir.path());
    assert_eq!(alone.code, Some(0), "{}", alone.text);
}

/// A configuration of Xen 4.17 as it is, and of two that state what is not so.
const FALSE_STATEMENTS: &str = r#"
[hypervisor.honest]
debian = { suite = "bookworm", package = "xen-hypervisor-4.17-amd64" }
symbols = "xen-hypervisor-4.17-amd64-dbg"
[hypervisor.once]
debian = { suite = "bookworm", package = "xen-hypervisor-4.17-amd64" }
symbols = "xen-hypervisor-4.17-amd64-dbg"
changes = ["-reapply-read-only"]
[hypervisor.ignorant]
debian = { suite = "bookworm", package = "xen-hypervisor-4.17-amd64" }
symbols = "xen-hypervisor-4.17-amd64-dbg"
changes = ["-xen-depends"]
"#;

#[test]
#[ignore = "boots a real Xen"]
fn an_answer_that_was_not_foretold_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let id = xen_4_17(dir.path());
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let config = dir.path().join("xtf-runner.toml");
    fs::write(&config, FALSE_STATEMENTS).unwrap();
    symlink(workspace.join(".cache"), dir.path().join(".cache")).unwrap();
    let image = workspace.join("target/x86_64-unknown-none/release/xtf");
    let [config, image] = [&config, &image].map(|path| path.to_str().unwrap());
    let more = ["--config", config, "--image", image];
    let tried_on = |xens: &[&str], id: &[u8]| {
        let xens: Vec<&str> = xens.iter().flat_map(|xen| ["--xen", xen]).collect();
        let file = build(shape("plain"), id, dir.path());
        // As livepatch-build-tools makes it; compilers take what is relocated for writable.
        let mut objcopy = Command::new("objcopy");
        objcopy.arg("--set-section-flags=.livepatch.funcs=alloc,readonly,data").arg(&file);
        assert!(objcopy.status().unwrap().success());
        tried(&[&file], &[&ONCE[..], &more, &xens].concat(), dir.path())
    };
    // What is foretold belongs to a Xen, also where two have the same build-id.
    let both = tried_on(&["honest", "once"], &id);
    assert_eq!(both.code, Some(5), "{}", both.text);
    let tests = both.results["tests"].as_array().unwrap();
    let statuses: Vec<&str> = tests.iter().map(|test| test["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["SUCCESS", "FAILURE"], "{}", both.text);
    let cases = tests[1]["cases"].as_array().unwrap();
    let failed: Vec<&Value> = cases.iter().filter(|case| case["verdict"] == "FAILURE").collect();
    assert_eq!(failed.len(), 1, "{}", both.text);
    assert_eq!(failed[0]["name"], "as_foretold");
    let told = "plain: APPLY again: expected EINVAL as foretold, got success";
    assert_eq!(failed[0]["diagnostics"], serde_json::json!([told]));
    let told = "  plain: APPLY again: success (DIFFERENT: `payload show` foretells EINVAL)\n";
    assert_eq!(both.text.matches(told).count(), 1, "{}", both.text);

    // It is compared even where nothing comes after the first step.
    let refused = tried_on(&["ignorant"], &[0; 20]);
    assert_eq!(refused.verdict("payload-try", "upload"), "FAILURE", "{}", refused.text);
    assert_eq!(refused.verdict("payload-try", "apply"), "SKIP", "{}", refused.text);
    let (verdict, why) = refused.case("payload-try", "as_foretold");
    assert_eq!(verdict, "FAILURE", "{}", refused.text);
    assert!(why.contains("plain: UPLOAD: expected success as foretold, got EINVAL"), "{why}");
}

#[test]
#[ignore = "boots a real Xen"]
fn the_effect_is_there_while_it_is_applied() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lp.livepatch");
    let path = file.to_str().unwrap();
    let written = payload("write", &["--xen", "4.17", "-o", path, "--text=-my fix"]);
    assert!(written.status.success(), "{written:?}");
    let effect = |text: &str| {
        let text = format!("--expect-extra-version={text}");
        let all = tried(&[&file], &["--cpus", "2", &text], dir.path());
        let verdicts = ["before", "applied", "reverted"].map(|name| {
            let (verdict, why) = all.case("payload-effect", name);
            (verdict.to_owned(), why)
        });
        // The life of the payload is the same.
        assert_eq!(all.verdict("payload-try-smp", "nothing_is_left"), "SUCCESS", "{}", all.text);
        let version = all.results["boots"][0]["version"].as_str().unwrap();
        (verdicts, all.code, version.strip_prefix("4.17").unwrap().to_owned())
    };
    let (verdicts, code, own) = effect("-my fix");
    assert!(verdicts.iter().all(|(verdict, _)| verdict == "SUCCESS"), "{verdicts:?}");
    assert_eq!(code, Some(0));
    let (verdicts, code, _) = effect("-other");
    assert_eq!((verdicts[1].0.as_str(), code), ("FAILURE", Some(5)), "{verdicts:?}");
    assert!(verdicts[1].1.contains(r#"expected "-other", got "-my fix""#), "{verdicts:?}");
    assert_eq!((verdicts[0].0.as_str(), verdicts[2].0.as_str()), ("SUCCESS", "SUCCESS"));
    // What this Xen has without any payload.
    let (verdicts, ..) = effect(&own);
    assert_eq!((verdicts[0].0.as_str(), verdicts[2].0.as_str()), ("FAILURE", "SUCCESS"));
}

#[test]
#[ignore = "boots a real Xen"]
fn tests_run_while_the_payloads_are_applied() {
    let dir = tempfile::tempdir().unwrap();
    let file = build(shape("plain"), &xen_4_17(dir.path()), dir.path());
    let with = |tests: &str| tried(&[&file], &[&ONCE[..], &["--with", tests]].concat(), dir.path());
    let all = with("example,payload-effect");
    assert_eq!(all.code, Some(0), "{}", all.text);
    // The payload was in.
    let said = all.text.matches("PASS").count();
    assert_eq!(said, 2, "{}", all.text);
    let steps = &all.results["boots"][0]["payload_steps"];
    let around = steps.as_array().unwrap().iter().filter(|step| step["test"] == "example");
    let around: Vec<&str> = around.map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(around, ["UPLOAD", "APPLY", "REVERT", "UNLOAD"], "{steps}");
    // Nobody said which text there is to be.
    assert_eq!(all.verdict("payload-effect", "applied"), "SKIP", "{}", all.text);

    // One that does not go at once is an error of the test around which it was.
    let shape = Shape { name: "reluctant", flags: &["-DRELUCTANT"], verdict: None };
    let reluctant = build(&shape, &xen_4_17(dir.path()), dir.path());
    let more = [&ONCE[..], &["--with", "example"]].concat();
    let not_out = tried(&[&reluctant], &more, dir.path());
    assert_eq!(not_out.code, Some(5), "{}", not_out.text);
    let (verdict, why) = not_out.case("payload-try", "revert");
    assert_eq!((verdict, &*why), ("FAILURE", "reluctant: REVERT: expected success, got EPERM"));
    assert_eq!(not_out.verdict("example", "version/major_is_4"), "SUCCESS");
    let example = &not_out.results["tests"][1];
    let why = "the payloads could not be taken out: reluctant: REVERT: expected success, got EPERM";
    assert_eq!((&example["status"], &example["reasons"][0]), (&"ERROR".into(), &why.into()));

    let refused = with("example,livepatch-l*");
    assert_eq!(refused.code, Some(64), "{}", refused.text);
    let why =
        "an empty list of payloads is needed by livepatch-list, livepatch-life; leave them out";
    assert!(refused.text.contains(why), "{}", refused.text);
}

/// Which Xens besides Debian's: paths, separated by spaces.
const FURTHER_XENS: &str = "FURTHER_XENS";

/// Of hundreds of payloads, each gets the answer that `payload show` foretells.
#[test]
#[ignore = "boots real Xens"]
fn many_are_taken_and_refused_as_foretold() {
    let further = std::env::var(FURTHER_XENS).unwrap_or_default();
    for xen in ["4.14", "4.17", "4.20"].into_iter().chain(further.split_whitespace()) {
        let dir = tempfile::tempdir().unwrap();
        let files = payloads::many(&id_of(xen, dir.path()), dir.path());
        let names: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
        let (shown, _) = document(&[&names[..], &["--each", "--xen", xen]].concat());
        let verdicts = shown["xens"][0]["files"].as_array().unwrap().iter();
        let told = |upload: &str| {
            let told =
                verdicts.clone().zip(&files).filter(|(verdict, _)| verdict["upload"] == upload);
            told.map(|(_, file)| file.as_path()).collect::<Vec<_>>()
        };
        let (taken, refused) = (told("success"), told("refused"));
        assert!(taken.len() > 20 && taken.len() + refused.len() > 380, "{xen}: {}", taken.len());

        let all = [&taken[..], &refused[..]].concat();
        let more = ["--xen", xen, "--upload-only", "--env", "pv64"];
        let tried = tried_as(&all, &more, dir.path());
        assert_eq!(tried.code, Some(5), "{}", tried.text);
        assert_eq!(
            tried.verdict("payload-upload", "as_foretold"),
            "SUCCESS",
            "{xen}: {}",
            tried.text
        );
        let (verdict, why) = tried.case("payload-upload", "upload");
        let expected = format!("{} of {} are refused, first ", refused.len(), all.len());
        assert!(verdict == "FAILURE" && why.starts_with(&expected), "{xen}: {verdict} {why}");
        println!("{xen}: {} taken, {} refused", taken.len(), refused.len());
    }
}

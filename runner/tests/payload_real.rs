//! `payload show` on files that a compiler has made, with the names and the code of a real Xen.
//!
//! Needs cc, binutils and Debian's packages, so `make e2e-test` runs these (they are ignored
//! otherwise).

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

mod payloads;

use payloads::{SHAPES, build};

fn show(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtf-runner"));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    command.args(["payload", "show"]).args(args).output().unwrap()
}

fn document(args: &[&str]) -> (Value, Option<i32>) {
    let out = show(&[args, &["--json"]].concat());
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
        let place = verdict["functions"][1].as_str().unwrap();
        assert!(place.ends_with(" xen_deny"), "{}: {place}", shape.name);
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

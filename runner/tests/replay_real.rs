//! `replay` and `minimize` under real Xen. Needs the image and QEMU, and a Xen in the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

#[path = "fixtures/each.rs"]
mod each;

use each::each;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Place(tempfile::tempdir().unwrap())
    }

    fn file(&self, text: &str) -> PathBuf {
        let path = self.0.path().join("program.xtf");
        fs::write(&path, text).unwrap();
        path
    }
}

fn runner(words: &[&str], file: &Path) -> Output {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtf-runner"));
    command.current_dir(workspace).args(words).arg(file).output().unwrap()
}

#[track_caller]
fn says(output: &Output, code: i32, words: &[&str]) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "«{word}» is not in:\n{text}");
    }
}

const GOOD: &str = "# every kind of step\nupload \"p\" id=0 func=extra\naction apply \"p\"\nlook\n\
    list nr=5 name=tight:1\nget raw\"p\"\nop 99\naction revert \"p\" at=read-only\n";

/// The last step is one of which Xen dies; a few others around it that do not matter.
const LETHAL: &str = "get \"a\"\nupload \"b\" id=1 func=own\naction apply \"b\" flags=7 timeout=9\n\
    upload \"p\" id=0 func=extra meta=\"m\" data=4 set=.modinfo.size:0\nlook\n";

#[test]
#[ignore = "boots Xen"]
fn a_good_program_agrees_wherever_it_runs() {
    let place = Place::new();
    let file = place.file(GOOD);
    each(["pv64", "pvh64"], |environment| {
        let output =
            runner(&["replay", "--xen", "4.17", "--env", environment, "--times", "2"], &file);
        says(&output, 0, &["agreement: all 7 steps", "the same 2 times of 2"]);
    });
}

#[test]
#[ignore = "boots Xen"]
fn a_crash_is_located() {
    let place = Place::new();
    let file = place.file(LETHAL);
    let output = runner(&["replay", "--xen", "4.17"], &file);
    says(&output, 6, &["crash: FATAL PAGE FAULT in", "prepare_payload", "at step 4 of 5"]);
}

#[test]
#[ignore = "boots Xen"]
fn a_crash_is_made_small() {
    let place = Place::new();
    let file = place.file(LETHAL);
    let output = runner(&["minimize", "--xen", "4.17", "--as-case"], &file);
    says(&output, 6, &["1 steps of 5", "fn found(context: &Context) -> Outcome {"]);
    let smallest = fs::read_to_string(place.0.path().join("program.xtf.min")).unwrap();
    let step = smallest.lines().last().unwrap();
    assert_eq!(step, "upload \"p\" id=0 func=extra meta=\"\" set=.modinfo.size:0", "{smallest}");
}

#[test]
fn what_makes_no_sense_is_refused_before_any_boot() {
    let place = Place::new();
    let file = place.file("look\nget p\n");
    let output = runner(&["replay"], &file);
    says(&output, 64, &["program.xtf: line 2, column 5: `p` is not in quotes"]);
    let file = place.file("# nothing\n");
    says(&runner(&["minimize"], &file), 66, &["no step in it"]);
}

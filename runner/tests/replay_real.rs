//! `replay` and `minimize` under real Xen. Needs the image and QEMU, and a Xen in the cache.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

#[path = "fixtures/each.rs"]
mod each;
#[path = "fixtures/ended_xen.rs"]
mod ended_xen;

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

/// What once was answered otherwise than the model has it.
#[test]
#[ignore = "boots Xen"]
fn the_kept_programs_agree() {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("programs");
    let output = runner(&["replay", "--xen", "4.17"], &programs);
    let names = fs::read_dir(&programs).unwrap().map(|entry| entry.unwrap().file_name());
    let texts: Vec<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".txt"))
        .collect();
    assert!(texts.len() > 5);
    says(&output, 0, &texts.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(String::from_utf8_lossy(&output.stdout).matches("agrees").count(), texts.len());
}

const GOOD: &str = "# every kind of step\nupload \"p\" id=0 func=extra\naction apply \"p\"\nlook\n\
    list nr=5 name=tight:1\nget raw\"p\"\nop 99\naction revert \"p\" at=read-only\n";

/// Reverting a payload ends the Xen that [`ended_xen`] makes; a few steps around it do not matter.
const REVERTS: &str = "get \"a\"
upload \"b\" id=1 func=own
upload \"p\" id=0 func=extra data=4
\
    action apply \"p\" flags=7 timeout=9
action revert \"p\"
look
";

/// A Xen that ends when it reverts.
fn broken(place: &Place) -> PathBuf {
    const UNDEFINED: [u8; 2] = [0x0f, 0x0b];
    let path = place.0.path().join("xen");
    ended_xen::write(&path, "revert_payload", &UNDEFINED);
    path
}

/// A Xen that goes round for ever when it reverts.
fn hanging(place: &Place) -> PathBuf {
    const TO_ITSELF: [u8; 2] = [0xeb, 0xfe];
    let path = place.0.path().join("xen");
    ended_xen::write(&path, "revert_payload", &TO_ITSELF);
    path
}

#[test]
#[ignore = "boots Xen"]
fn a_good_program_agrees_wherever_it_runs() {
    let place = Place::new();
    let file = place.file(GOOD);
    each(["pv64", "pvh64"], |environment| {
        let output =
            runner(&["replay", "--xen", "4.17", "--env", environment, "--times", "2"], &file);
        says(&output, 0, &["agreement: Xen answered all 7 steps", "the same result in 2 of 2"]);
    });
}

#[test]
#[ignore = "boots Xen"]
fn a_crash_is_located() {
    let place = Place::new();
    let (file, xen) = (place.file(REVERTS), broken(&place));
    let output = runner(&["replay", "--xen", xen.to_str().unwrap()], &file);
    says(&output, 6, &["crash: FATAL TRAP", "in revert_payload", "at step 5 of 6"]);
    // And taken up by a debugger as it is told.
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("debug: ")).expect(&text);
    let words: Vec<&str> = line.split(' ').skip(1).collect();
    let [words @ .., "--env", "pv64"] = words.as_slice() else { panic!("{text}") };
    let logs = place.0.path().join("logs");
    let more = ["--trace", "do_console_io", "--logs", logs.to_str().unwrap(), "--symbols"];
    let syms = ended_xen::symbols();
    let output = runner(&[words, &more].concat(), &syms);
    says(&output, 0, &["CRASH livepatch-replay: Xen panicked: FATAL TRAP", " from "]);
}

#[test]
#[ignore = "boots Xen"]
fn a_folder_of_findings_is_a_table_of_xens() {
    let place = Place::new();
    let xen = broken(&place);
    let folder = place.0.path().join("findings/00ff");
    fs::create_dir_all(&folder).unwrap();
    let finding = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    finding(
        "here.txt",
        &format!(
            "# place: revert_payload
{REVERTS}"
        ),
    );
    finding(
        "there.txt",
        &format!(
            "# place: apply_payload
{REVERTS}"
        ),
    );
    finding(
        "good.xtf", "look
",
    );
    finding("other.sh", "not a program");
    let folder = folder.parent().unwrap();
    let xens = ["replay", "--xen", "4.17", "--xen", xen.to_str().unwrap()];
    let output = runner(&xens, folder);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(6), "{text}");
    let rows: Vec<Vec<&str>> =
        text.lines().skip(1).map(|line| line.split("  ").map(str::trim).collect()).collect();
    let cells = |row: usize| rows[row].iter().copied().filter(|cell| !cell.is_empty()).collect();
    let cells: [Vec<&str>; 3] = [cells(0), cells(1), cells(2)];
    assert_eq!(cells[0], ["00ff/good.xtf", "agrees", "agrees"], "{text}");
    assert_eq!(cells[1], ["00ff/here.txt", "agrees", "still dies"], "{text}");
    assert_eq!(cells[2], ["00ff/there.txt", "agrees", "dies elsewhere"], "{text}");
    let output = runner(&["replay", "--xen", "4.17", "--json"], folder);
    says(&output, 0, &["\"schema\": \"xtf-rs/replay/1\"", "\"outcome\": \"agrees\""]);
}

#[test]
#[ignore = "boots Xen"]
fn a_crash_is_made_small() {
    let place = Place::new();
    let (file, xen) = (place.file(REVERTS), broken(&place));
    let output = runner(&["minimize", "--xen", xen.to_str().unwrap(), "--as-case"], &file);
    says(&output, 6, &["2 steps of 6", "fn found(context: &Context) -> Outcome {"]);
    let smallest = fs::read_to_string(place.0.path().join("program.xtf.min")).unwrap();
    // The guest reverts what is still applied in the end.
    let steps = "upload \"p\" id=0 func=extra\naction apply \"p\"\n";
    assert!(smallest.ends_with(steps), "{smallest}");
    assert!(
        smallest.contains(
            "# place: revert_payload
"
        ),
        "{smallest}"
    );
}

/// Each try takes as long as it may; what was found before the user had enough is kept.
#[test]
#[ignore = "boots Xen"]
fn a_hang_is_made_small() {
    let place = Place::new();
    let steps = "upload \"p\" id=0 func=extra\naction apply \"p\"\naction revert \"p\"\n";
    let (file, xen) = (place.file(steps), hanging(&place));
    let xen = xen.to_str().unwrap();
    let small = place.0.path().join("program.xtf.min");
    let words = ["--xen", xen, "--timeout", "2"];
    says(&runner(&[&["replay"], &words[..]].concat(), &file), 7, &["hang"]);
    let output = runner(&[&["minimize"], &words[..]].concat(), &file);
    says(&output, 7, &["2 steps of 3"]);
    assert_eq!(fs::read_to_string(&small).unwrap().matches("\"p\"").count(), 2);
    fs::remove_file(&small).unwrap();

    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtf-runner"));
    command.current_dir(workspace).arg("minimize").args(words).arg(&file);
    let mut minimize = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut told = BufReader::new(minimize.stderr.take().unwrap()).lines();
    assert_eq!(told.next().unwrap().unwrap(), "2 steps");
    kill_process(Pid::from_child(&minimize), Signal::INT).unwrap();
    assert_eq!(minimize.wait().unwrap().code(), Some(130));
    assert_eq!(fs::read_to_string(&small).unwrap().matches("\"p\"").count(), 2);
}

#[test]
fn what_makes_no_sense_is_refused_before_any_boot() {
    let place = Place::new();
    let file = place.file("look\nget p\n");
    let output = runner(&["replay"], &file);
    says(&output, 64, &["program.xtf: line 2, column 5: `p` is not in quotes"]);
    let file = place.file("# nothing\n");
    says(&runner(&["minimize"], &file), 66, &["the program is empty"]);
}

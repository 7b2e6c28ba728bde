//! `debug` under real Xen: a boot that is made again ends as the one of the logs, at the same
//! instruction each time, and time goes back from there. Needs the image, QEMU, gdb, the plugin, and a
//! Xen with its symbols in the cache.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

#[path = "fixtures/each.rs"]
mod each;

use each::each;

fn runner(words: &[&str]) -> (Option<i32>, String) {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtf-runner"));
    let Output { status, stdout, stderr } =
        command.current_dir(workspace).args(words).output().unwrap();
    let text = [stdout, stderr].concat();
    (status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// Goes back by an instruction, and forward again; lists hypercalls.
const STEPS: &str = "\
info registers rip
reverse-stepi
x/i $pc
info registers rip
stepi
info registers rip
xtf-hypercalls
";
/// Goes back to a breakpoint and to one before it, forward again, and to the end.
const BREAKPOINTS: &str = "\
xtf-hypercall
hbreak do_console_io
reverse-continue
reverse-continue
continue
delete
continue
xtf-where
";

#[test]
#[ignore = "boots Xen"]
fn time_goes_back_from_where_boots_ended() {
    each(["pv64", "pvh64"], |environment| {
        let dir = tempfile::tempdir().unwrap();
        let [logs, recordings] = ["logs", "recordings"].map(|name| dir.path().join(name));
        let [logs, recordings] = [&logs, &recordings].map(|path| path.to_str().unwrap());
        let run = ["run", "bad-xen-panic", "--xen", "4.17", "--env", environment, "--logs", logs];
        // One is recorded by `run` already.
        let kept = environment == &"pvh64";
        let more: &[_] = if kept { &["--record-failures"] } else { &[] };
        let (code, said) = runner(&[&run, more].concat());
        assert_eq!(code, Some(6), "{said}");
        assert_eq!(said.contains("/recording, 5 MB; it ended as before"), kept, "{said}");
        let line = said.lines().find_map(|line| line.trim().strip_prefix("debug: "));
        let folder = line.and_then(|line| line.split_once(" debug ")).expect(&said).1;

        let commands = dir.path().join("commands");
        fs::write(&commands, STEPS).unwrap();
        let commands = commands.to_str().unwrap();
        let debug = ["debug", folder, "--batch", "--commands", commands, "--logs", recordings];
        let (code, said) = runner(&debug);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(said.contains("it ended as before"), !kept, "{said}");
        // The last thing that the machine did was to put out a byte.
        let rip = |line: &&str| line.starts_with("rip ");
        let [end, before, again] = said.lines().filter(rip).collect::<Vec<_>>()[..] else {
            panic!("{said}")
        };
        assert_eq!((end, end != before), (again, true), "{said}");
        assert!(
            said.lines().any(|line| line.starts_with("=> ") && line.contains("out ")),
            "{said}"
        );
        // The hypercall that did not return is the last one.
        let listed = |line: &&str| line.starts_with("    ") && line.contains("(0x");
        let call = said.lines().rfind(listed);
        assert!(call.is_some_and(|line| line.contains("sysctl(")), "{said}");
    });
}

#[test]
#[ignore = "boots Xen"]
fn a_boot_is_the_same_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().to_str().unwrap();
    let trace = ["--trace", "do_console_io", "--why", "conringp", "--last", "2"];
    let new = ["debug", "bad-xen-panic", "--xen", "4.17", "--logs", logs];
    let (code, traced) = runner(&[&new[..], &trace].concat());
    assert_eq!(code, Some(0), "{traced}");
    let calls = traced.lines().filter(|line| line.contains("do_console_io(0x0, ")).count();
    assert_eq!(calls, 2, "{traced}");
    let writes: Vec<_> =
        traced.lines().filter_map(|line| line.trim().strip_prefix("conringp: ")).collect();
    assert_eq!(writes.len(), 2, "{traced}");
    for write in writes {
        let (old, new) = write.split_once(" -> ").unwrap();
        assert_ne!(old, new, "{traced}");
    }
    let end = traced.lines().find_map(|line| line.trim().strip_prefix("the end is at ")).unwrap();

    let latest = dir.path().join("latest");
    let again = ["debug", latest.to_str().unwrap()];
    let commands = dir.path().join("commands");
    fs::write(&commands, BREAKPOINTS).unwrap();
    let batch = ["--batch", "--commands", commands.to_str().unwrap()];
    let (code, said) = runner(&[&again[..], &batch].concat());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("the end is at {end}\n")), "{end} is not in {said}");
    assert_eq!(said.matches("Breakpoint 1, ").count(), 3, "{said}");
    assert!(said.contains(&format!("{end} of {}", &end["instruction ".len()..])), "{said}");

    // What goes another way than before is no replay.
    let mut entries = fs::read_dir(&latest).unwrap().map(|entry| entry.unwrap().path());
    let recording = entries.find(|path| path.is_dir()).unwrap().join("recording.json");
    let mut known: serde_json::Value =
        serde_json::from_slice(&fs::read(&recording).unwrap()).unwrap();
    known["hash"] = 1.into();
    fs::write(&recording, known.to_string()).unwrap();
    let (code, said) = runner(&[&again[..], &["--trace", "panic"]].concat());
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("goes another way here"), "{said}");
}

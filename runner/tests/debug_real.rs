//! `debug` under real Xen: a boot that is made again ends as the one of the logs, at the same
//! instruction each time, and time goes back from there. Needs the image, QEMU, gdb, the plugin, and a
//! Xen with its symbols in the cache.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
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

/// The folder of the one boot of the run whose logs are in the folder `run`.
fn boot_of(run: &Path) -> PathBuf {
    let mut entries = fs::read_dir(run).unwrap().map(|entry| entry.unwrap().path());
    entries.find(|path| path.is_dir()).unwrap()
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
x/i $pc
set $rdi = 0
hbreak do_console_io
reverse-continue
reverse-continue
continue
delete
continue
xtf-where
";

/// Goes far back, to the end, and back by an instruction.
const FAR: &str = "\
hbreak do_sysctl
reverse-continue
reverse-continue
xtf-where
delete
xtf-to 45000000
xtf-where
continue
xtf-where
reverse-stepi
xtf-where
";

#[test]
#[ignore = "boots Xen"]
fn a_long_way_back_begins_at_a_machine_that_was_saved() {
    const AS_IT_IS: &str = "exec qemu-system-x86_64 \"$@\"";
    const LOADS_NOTHING: &str = "case \"$*\" in *' -incoming '*) echo no thanks >&2; exit 1;; esac\n\
                                 exec qemu-system-x86_64 \"$@\"";
    let boots = [("pv64", AS_IT_IS), ("pvh64", AS_IT_IS), ("pv64", LOADS_NOTHING)];
    each(boots, |(environment, script)| {
        let dir = tempfile::tempdir().unwrap();
        let [commands, qemu] = ["commands", "qemu"].map(|name| dir.path().join(name));
        fs::write(&commands, FAR).unwrap();
        fs::write(&qemu, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
        let [logs, commands, qemu] =
            [dir.path(), &commands, &qemu].map(|path| path.to_str().unwrap());
        let what = ["debug", "livepatch-list", "--xen", "4.17", "--env", environment];
        let how = ["--qemu", qemu, "--batch", "--commands", commands, "--logs", logs];
        let (code, said) = runner(&[&what[..], &how].concat());
        assert_eq!(code, Some(0), "{said}");
        let loads = script == &AS_IT_IS;
        assert_eq!(said.contains("going back takes a whole boot"), !loads, "{said}");
        assert_eq!(said.matches("Breakpoint 1, ").count(), 2, "{said}");
        let places: Vec<u64> = said
            .lines()
            .filter_map(|line| line.strip_prefix("instruction ")?.split(' ').next()?.parse().ok())
            .collect();
        let [call, early, end, before] = places[..] else { panic!("{said}") };
        assert_eq!((early, before), (45_000_000, end - 1), "{said}");
        assert!((early..before).contains(&call), "{said}");
        if !loads {
            return;
        }
        // The last machine was saved when the console had begun to speak.
        let boot = boot_of(&dir.path().join("latest"));
        let [all, last] = ["console.log", "replayed.log"]
            .map(|file| String::from_utf8_lossy(&fs::read(boot.join(file)).unwrap()).into_owned());
        let first = last.lines().next().expect(&said);
        assert!(all.contains(first) && !all.starts_with(first), "{first}\n{said}");
    });
}

#[test]
#[ignore = "boots Xen"]
fn what_other_commands_boot_is_debugged_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let [program, script, logs, made, payload] = ["program", "script", "logs", "made", "payload"]
        .map(|name| dir.path().join(name).to_str().unwrap().to_owned());
    fs::write(&program, "# a finding\nupload \"p\" id=1\naction apply \"p\"\n").unwrap();
    let trace = ["--trace", "livepatch_op", "--last", "1", "--logs", &made, "--xen", "4.17"];
    let (code, said) = runner(&[&["debug", &program][..], &trace].concat());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("SUCCESS livepatch-replay"), "{said}");
    assert!(said.contains("from do_sysctl+"), "{said}");
    // The image with the program in it is that of the sources.
    assert!(!said.contains("no source lines"), "{said}");
    // A 32-bit guest has an image of its own, and its arguments elsewhere.
    let narrow = ["debug", "livepatch-width", "--xen", "4.17", "--env", "hvm32", "--logs", &made];
    let commands = dir.path().join("commands");
    fs::write(&commands, "xtf-hypercalls 1\n").unwrap();
    let batch = ["--batch", "--commands", commands.to_str().unwrap()];
    let (code, said) = runner(&[&narrow[..], &batch].concat());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("SUCCESS livepatch-width"), "{said}");
    assert!(said.contains("  sched_op.shutdown(0x2, 0x"), "{said}");
    let folder = said.lines().find_map(|line| line.trim().strip_prefix("recording in "));
    let image = fs::read_link(Path::new(folder.expect(&said)).join("xtf")).unwrap();
    assert!(image.ends_with("xtf32"), "{image:?}");
    fs::write(&script, "#!/bin/sh\nxtf-runner run\n").unwrap();
    let (code, said) = runner(&["debug", &script]);
    assert_eq!((code, said.contains("is a script")), (Some(64), true), "{said}");

    let mutants = ["mutate", "--xen", "4.17", "--functions", "get_name"];
    let (_, list) = runner(&[&mutants[..], &["--list"]].concat());
    let name = list.split_whitespace().find(|word| word.starts_with("get_name+0x")).expect(&list);
    let one = ["--only", name, "livepatch-name", "--env", "pv64", "--logs", &logs];
    let (code, said) = runner(&[&mutants[..], &one].concat());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with(": killed\n"), "{said}");
    let first = format!("{logs}/latest/001");
    let (code, said) = runner(&[&["debug", &first][..], &trace].concat());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("it ended as before"), "{said}");
    assert!(said.contains("from do_sysctl+"), "{said}");

    // All but those who look on.
    let (code, said) = runner(&["payload", "write", "--xen", "4.17", "-o", &payload, "--text=-x"]);
    assert_eq!(code, Some(0), "{said}");
    let one = ["--xen", "4.17", "--env", "pv64", "--logs", &logs];
    let (code, said) = runner(&[&["payload", "try", &payload][..], &one].concat());
    assert_eq!(code, Some(0), "{said}");
    let why = ["--why", "xen_extra_version"];
    let (code, said) = runner(&[&["debug", &first][..], &trace, &why].concat());
    assert_eq!(code, Some(4), "{said}");
    // Its code: each time it is applied and reverted.
    assert!(said.contains("writes to xen_extra_version; the last 1"), "{said}");
    let differs = said.lines().find(|line| line.contains("it did NOT end as before"));
    let skips = |line: &str| line.ends_with("# SKIP nobody looks at this machine from outside`");
    assert!(differs.is_some_and(skips), "{said}");
    assert!(said.contains("from do_sysctl+"), "{said}");
}

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
    // The page of hypercalls as Xen has filled it; and what was written there is not kept in silence.
    assert!(said.contains(":\tpush ") && !said.contains("int3"), "{said}");
    assert_eq!(said.matches("what was written to the machine is gone").count(), 1, "{said}");
    assert!(said.contains(&format!("{end} of {}", &end["instruction ".len()..])), "{said}");

    // One at a time.
    let folder = boot_of(&latest);
    let mut held = Command::new("flock");
    held.arg(&folder).arg(env!("CARGO_BIN_EXE_xtf-runner")).args(again).args(["--trace", "panic"]);
    let Output { status, stderr, .. } = held.output().unwrap();
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(69), "{said}");
    assert!(said.contains("another debug looks at the boot"), "{said}");

    // What goes another way than before is no replay.
    let recording = folder.join("recording.json");
    let mut known: serde_json::Value =
        serde_json::from_slice(&fs::read(&recording).unwrap()).unwrap();
    known["hash"] = 1.into();
    fs::write(&recording, known.to_string()).unwrap();
    let (code, said) = runner(&[&again[..], &["--trace", "panic"]].concat());
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("goes another way here"), "{said}");
}

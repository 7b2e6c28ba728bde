//! Faults of QEMU, of its console, and of the files around a run.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::cache::without_privileges;
use crate::world::{Output, World, fixture};

fn good() -> String {
    fs::read_to_string(fixture("success.log")).unwrap()
}

#[test]
fn a_qemu_too_old_is_refused() {
    let world = World::new();
    let run = |version: &str| -> Output {
        let mut command = world.command(&["run"], "print", "success.log");
        command.env("FAKE_QEMU_VERSION", version).output().unwrap().into()
    };
    let out = run("2.11.1(Debian 1:2.11)");
    assert_eq!(out.code, 69, "{out:?}");
    assert!(out.stderr.contains("QEMU 2.11 is too old"), "{out:?}");
    assert_eq!(run("3.1.0").code, 0);
}

/// Wherever QEMU dies: what was reported before stays, the test at hand is an ERROR that names
/// QEMU, the rest is booted again, and the exit code speaks of the tool, not of Xen.
#[test]
fn qemu_may_die_at_any_moment() {
    let log = good();
    let end = log.find("Test result").unwrap();
    let lines: Vec<usize> = log.match_indices('\n').map(|(at, _)| at + 1).collect();
    let middles = lines.iter().map(|at| at + 7);
    let cuts = lines.iter().copied().chain(middles).filter(|&at| at < end);
    let example = log.find("\nok 1 example\r\n").unwrap() + "\nok 1 example\r\n".len();
    for cut in cuts.step_by(3) {
        let world = World::new();
        let script = format!(
            "case $module in *example*) head -c {cut} \"$LOG\"; echo oops >&2; kill -KILL $$ ;; \
             *,*) printf 'Test result: ERROR\\n' ;; *) cat {} ;; esac",
            fixture("needy.log").display()
        );
        let out = world.script(&["run", "--jobs", "1"], &script, "success.log");
        assert_eq!(out.code, 69, "{cut}: {out:?}");
        assert!(out.stdout.contains("QEMU died: was killed by signal 9: oops"), "{cut}: {out:?}");
        // Between two tests it may be the aftermath of the one before.
        let running = log[example..cut.max(example)].contains("Subtest: args\r\n");
        assert_eq!(out.stdout.contains("PASS [") && running, running, "{cut}: {out:?}");
        assert!(!out.stdout.contains("CRASH"), "{cut}: {out:?}");
        assert!(out.stdout.lines().any(|line| line.ends_with(" skipped")), "{cut}: {out:?}");
    }
}

/// A guest that never says that it waits: every boot is a plain one, and the user is told once.
#[test]
fn a_snapshot_that_cannot_be_made_is_not_missed() {
    // Of the log of three tests, what one of them would say alone.
    let script = r#"
        case $module in
        *wait=*) ;;
        *example*) sed -n -e 's/^1\.\.3/1..1/' -e '1,/^ok 1/p' "$LOG" ;;
        *) sed -n -e '1,/^KTAP/p' "$LOG"
           echo 1..1
           echo '  KTAP version 1'
           sed -n -e '/Subtest: args/,/^ok 2/s/^ok 2/ok 1/' -e '/Subtest: args/,/^ok [12]/p' "$LOG" ;;
        esac
        echo 'Test result: SUCCESS'
    "#;
    let world = World::new();
    let args = ["run", "--isolate", "--jobs", "1", "example", "args"];
    let out = world.script(&args, script, "success.log");
    assert_eq!(out.code, 0, "{out:?}");
    let told = out.stdout.matches("cannot make a snapshot: the guest did not reach the point");
    assert_eq!(told.count(), 1, "{out:?}");
    for boot in ["001-", "002-"] {
        let runner = fs::read_to_string(world.boot_dir(boot).join("runner.log")).unwrap();
        assert!(runner.contains("cannot make a snapshot: the guest did not"), "{runner}");
    }

    let out = world.script(&[&args[..], &["--snapshot", "always"]].concat(), script, "success.log");
    assert_eq!(out.code, 69, "{out:?}");
    assert!(out.stderr.contains("omit `--snapshot always` to boot normally"), "{out:?}");

    let out = world.script(&[&args[..], &["--snapshot", "never"]].concat(), script, "success.log");
    assert_eq!(out.code, 0, "{out:?}");
    assert!(!out.stdout.contains("snapshot"), "{out:?}");
}

#[test]
fn a_snapshot_that_nobody_would_use_is_refused() {
    let world = World::new();
    for (other, why) in
        [("--boot=plain", "--boot plain makes none"), ("--keep", "--gdb and --keep")]
    {
        let out = world.run_plain(&["run", "example", "--snapshot", "always", other]);
        assert!(out.stderr.contains(why), "{out:?}");
        assert_eq!(out.code, 64, "{out:?}");
    }
}

#[test]
fn a_qemu_that_dies_after_the_result_changes_nothing() {
    for (log, code) in [("success.log", 0), ("good.log", 5)] {
        let world = World::new();
        let out = world.script(&["run"], "cat \"$LOG\"; kill -SEGV $$", log);
        assert_eq!(out.code, code, "{out:?}");
        let runner = fs::read_to_string(world.boot_dir("001-").join("runner.log")).unwrap();
        assert!(runner.contains("QEMU was killed by signal 11"), "{runner}");
    }
}

/// Noise between and around the protocol's words is not taken for them, nor does it hide them.
#[test]
fn a_dirty_console_is_read() {
    let megabyte = "x".repeat(1 << 20);
    let each_line = |dirt: &dyn Fn(&str) -> Vec<u8>| -> Vec<u8> {
        good().lines().flat_map(|line| dirt(line.trim_end())).collect()
    };
    let dirty: [(&str, Vec<u8>); 9] = [
        ("LF", each_line(&|line| format!("{line}\n").into())),
        ("CR CR LF", each_line(&|line| format!("{line}\r\r\n").into())),
        ("CR first", each_line(&|line| format!("\r{line}\n").into())),
        ("empty lines", each_line(&|line| format!("\r\n{line}\r\n \r\n").into())),
        ("NULs", each_line(&|line| format!("\0{}\0\r\n", line.replace(' ', "\0 \0")).into())),
        ("colours", each_line(&|line| format!("\x1b[1;31m{line}\x1b[0m\x1b[K\r\n").into())),
        (
            "broken UTF-8 between",
            each_line(&|line| [line.as_bytes(), b"\r\n\xff\xfe\xc3(\x80\r\n"].concat()),
        ),
        (
            "a line of a megabyte",
            good().replacen("\r\n", &format!("\r\n{megabyte}\r\n"), 1).into_bytes(),
        ),
        ("nothing after the last line", good().trim_end().into()),
    ];
    for (what, console) in dirty {
        let world = World::new();
        let log = world.path("dirty.log");
        fs::write(&log, &console).unwrap();
        let out = world.run(&["run"], "print", log.to_str().unwrap());
        assert_eq!(out.code, 0, "{what}: {out:?}");
        assert_eq!(out.sums(), "2 passed, 0 failed, 1 skipped", "{what}");
        let kept = fs::read(world.boot_dir("001-").join("console.log")).unwrap();
        assert!(kept.ends_with(&console), "{what}: the raw console was altered");
    }
}

/// Damage to the protocol's own words costs at least the test that it hits its success.
#[test]
fn a_damaged_console_is_not_believed() {
    for (what, from, to, status) in [
        ("CR alone ends no line", "\r\n", "\r", "CRASH"),
        ("a lost line", "  ok 2 list/b\r\n", "", "ERROR"),
        ("half a line", "  ok 2 list/b\r\n", "  ok 2 li", "ERROR"),
        ("two lines in one", "  ok 1 list/a\r\n", "  ok 1 list/a", "ERROR"),
        ("a broken letter", "ok 2 list/b", "ok 2 list/\u{fffd}", "ERROR"),
        ("half a word", "Test result: SUCC", "Test re\x1b[31msult: FAIL", "ERROR"),
        ("words within a line", "\nok 2 args", "\nabc ok 2 args", "ERROR"),
    ] {
        let world = World::new();
        assert!(good().contains(from), "{what}");
        let log = world.file("damaged.log", &good().replace(from, to));
        let out = world.run(&["run"], "print", log.to_str().unwrap());
        assert!((4..=6).contains(&out.code), "{what}: {out:?}");
        assert!(out.stdout.contains(&format!("{status} [")), "{what}: {out:?}");
        // What was shown before the damage came is taken back in the end.
        let wrong = out.stdout.split_once("What went wrong").map_or("", |(_, wrong)| wrong);
        assert!(wrong.contains(" args\n"), "{what}: {out:?}");
    }
}

/// Runs with files limited to `blocks` of 512 bytes, as on a disk that fills up.
fn on_a_full_disk(world: &World, blocks: u32, args: &[&str], script: &str) -> Output {
    let runner = world.command(args, "script", "success.log");
    let mut shell = Command::new("/bin/sh");
    let limits = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    shell.args(["-c", &limits, "sh"]).arg(runner.get_program()).args(runner.get_args());
    shell.current_dir(runner.get_current_dir().unwrap()).env("SCRIPT", script);
    for (name, value) in runner.get_envs().filter_map(|(name, value)| Some((name, value?))) {
        shell.env(name, value);
    }
    shell.output().unwrap().into()
}

#[test]
fn a_full_disk_ends_the_run_with_a_summary() {
    let world = World::new();
    // It never ends by itself, and more than the limit comes.
    let script = "announce; cat \"$LOG\" | head -n 16; head -c 9000 /dev/zero; wait_for_ever";
    let _reader = File::options().read(true).write(true).open(world.path("pipe")).unwrap();
    let out = on_a_full_disk(&world, 8, &["run"], script);
    assert_eq!(out.code, 74, "{out:?}");
    assert!(out.stderr.contains("console.log: File too large"), "{out:?}");
    assert!(out.stdout.contains("Summary ["), "{out:?}");
}

#[test]
fn a_reader_who_went_away_stops_nothing() {
    let world = World::new();
    for (log, code) in [("success.log", 0), ("good.log", 5)] {
        let mut command = world.command(&["run", "--verbose"], "print", log);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let out = Output::from(command.stdout(writer).output().unwrap());
        assert_eq!(out.code, code, "{out:?}");
        assert_eq!(out.stderr, "");
        let runner = fs::read_to_string(world.boot_dir("001-").join("runner.log")).unwrap();
        assert!(runner.contains("Final"), "{runner}");
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = world.command(&["list"], "print", "good.log");
    assert_eq!(command.stdout(writer).status().unwrap().code(), Some(0));
}

#[test]
fn an_output_that_takes_nothing_is_told() {
    let world = World::new();
    for (args, log) in
        [(&["run"][..], "success.log"), (&["run"], "good.log"), (&["list"], "good.log")]
    {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut command = world.command(args, "print", log);
        let out = Output::from(command.stdout(full).output().unwrap());
        assert_eq!(out.code, 74, "{args:?} {out:?}");
        assert!(out.stderr.contains("No space left on device"), "{args:?} {out:?}");
    }
    // The run itself was not the worse for it.
    let runner = fs::read_to_string(world.boot_dir("001-").join("runner.log")).unwrap();
    assert!(runner.contains("Final"), "{runner}");
}

#[test]
fn logs_without_permission() {
    let world = World::new();
    let logs = world.path("locked");
    fs::create_dir(&logs).unwrap();
    fs::set_permissions(&logs, Permissions::from_mode(0o555)).unwrap();
    let command = world.command(&["run", "--logs", "locked"], "print", "good.log");
    let mut command = without_privileges(&command);
    let out = Output::from(command.stdin(Stdio::null()).output().unwrap());
    assert_eq!(out.code, 74, "{out:?}");
    assert!(out.stderr.contains("locked (--logs names another): Permission denied"), "{out:?}");
}

#[test]
fn damaged_images() {
    let world = World::new();
    let whole = fs::read(world.path("xtf")).unwrap();
    for length in [0, 3, 20, 63, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(world.path("xtf"), &whole[..length]).unwrap();
        let out = world.run(&["run"], "print", "good.log");
        assert_eq!(out.code, 65, "{length}: {out:?}");
        assert!(out.stderr.contains("xtf: "), "{length}: {out:?}");
    }
    for (meta, why) in [
        (&b"{\"name\":\"a\"}\n"[..], "line 1: missing field `title`"),
        (b"\xff\xff\n", "line 1: "),
        (b"\0\0\0", "describes no test"),
    ] {
        world.image("xtf", ".xtf.meta", meta);
        let out = world.run(&["run"], "print", "good.log");
        assert_eq!(out.code, 65, "{out:?}");
        assert!(out.stderr.contains("section .xtf.meta: "), "{out:?}");
        assert!(out.stderr.contains(why), "{out:?}");
    }
}

#[test]
fn damaged_xens() {
    let world = World::new();
    let xen = fs::read(world.path("xen")).unwrap();
    let zip = |bytes: &[u8]| {
        fs::write(world.path("plain"), bytes).unwrap();
        let out = Command::new("gzip").arg("-c").arg(world.path("plain")).output().unwrap();
        out.stdout
    };
    let whole = zip(&xen);
    fs::write(world.path("xen"), &whole).unwrap();
    assert_eq!(world.run(&["run"], "print", "success.log").code, 0);
    let mut flipped = whole.clone();
    flipped[whole.len() - 6] ^= 1;
    for (bytes, why) in [
        (whole[..whole.len() - 5].to_vec(), "is compressed and damaged"),
        (flipped, "is compressed and damaged"),
        (zip(&xen[..8]), "without a multiboot header"),
        (xen[..3].to_vec(), "is neither an ELF file, nor a compressed one"),
        (Vec::new(), "is neither an ELF file, nor a compressed one"),
    ] {
        fs::write(world.path("xen"), bytes).unwrap();
        let out = world.run(&["run"], "print", "success.log");
        assert_eq!(out.code, 65, "{out:?}");
        assert!(out.stderr.contains(why), "{why}: {out:?}");
        assert!(!world.path("logs/latest/002-fake-pv64").exists());
    }
}

#[test]
fn configurations_with_mistakes() {
    let world = World::new();
    for (text, why) in [
        ("[qemu]\nbinray = 'x'\n", "toml:2: unknown field `binray`; did you mean binary?"),
        ("[hypervisor.x]\npth = 'x'\n", "toml:2: unknown field `pth`; did you mean path?"),
        ("\ndefault_xen = []\n", "toml:2: unknown field `default_xen`; did you mean default-xen?"),
        ("[qemu]\nzzz = 1\n", "toml:2: unknown field `zzz`, expected "),
        ("[qemu]\nboot-timeout-s = '60'\n", "toml:2: invalid type: string \"60\", expected u64"),
        ("[qemu]\nboot-timeout-s = -1\n", "toml:2: invalid value: integer `-1`, expected u64"),
        ("default-xen = 'x'\n", "toml:1: invalid type: string \"x\", expected a sequence"),
        ("[hypervisor.x]\npath = 3\n", "toml:2: invalid type: integer `3`"),
        ("a = [\n", "toml:"),
        ("\u{0}", "toml:1: "),
    ] {
        world.file("xtf-runner.toml", text);
        let out = world.run(&["run"], "print", "good.log");
        assert_eq!(out.code, 64, "{text}: {out:?}");
        assert!(out.stderr.contains(why), "{text}: {out:?}");
    }
    fs::write(world.path("xtf-runner.toml"), b"\xff").unwrap();
    let out = world.run(&["run"], "print", "good.log");
    assert_eq!(out.code, 64, "{out:?}");
    assert!(out.stderr.contains("cannot read configuration"), "{out:?}");
}

/// Hours may lie between the beginning and the place where the result goes.
#[test]
fn minimize_first_looks_whether_it_can_write() {
    let world = World::new();
    world.file("p.xtf", "get \"p1\"\n");
    for (place, folder) in [("gone/x", None), ("dir", Some("dir"))] {
        folder.into_iter().for_each(|folder| fs::create_dir(world.path(folder)).unwrap());
        let out = world.run_plain(&["minimize", "p.xtf", "-o", place]);
        assert_eq!(out.code, 74, "{out:?}");
        assert!(out.stderr.contains(&format!("cannot write {place}")), "{out:?}");
        assert!(!world.path("logs").exists(), "{out:?}");
    }
}

#[test]
fn the_doctor_finds_what_is_missing() {
    let world = World::new();
    let doctor = |more: &[&str]| {
        let qemu = fixture("fake-qemu.sh");
        let mut args = vec!["doctor", "--image", "xtf"];
        args.extend(more);
        if !more.contains(&"--qemu") {
            args.extend(["--qemu", qemu.to_str().unwrap()]);
        }
        world.run(&args, "print", "good.log")
    };
    let out = doctor(&[]);
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stdout.contains("     ok QEMU     QEMU emulator version 99.0 (fake)\n"), "{out:?}");
    assert!(out.stdout.contains("with 3 tests\n     ok Xens     fake available\n"), "{out:?}");
    assert!(out.stdout.contains("   note plugin   "), "{out:?}");
    let why = "   note boot     not tried: there is no test `selftest/";
    assert!(out.stdout.contains(why), "{out:?}");
    assert!(!out.stdout.contains("MISSING"), "{out:?}");

    let out = doctor(&["--qemu", "/nowhere/qemu"]);
    assert_eq!(out.code, 69, "{out:?}");
    assert!(out.stdout.contains("MISSING QEMU     /nowhere/qemu is not installed"), "{out:?}");
    fs::remove_file(world.path("xen")).unwrap();
    let out = doctor(&[]);
    assert!(out.stdout.contains("MISSING Xens     fake: "), "{out:?}");
    assert!(out.stdout.contains("xen does not exist\n"), "{out:?}");

    fs::remove_file(world.path("xtf")).unwrap();
    world.fetching("whole");
    let mut command = world.command(&["doctor", "--image", "xtf"], "print", "good.log");
    let out = Output::from(command.env("PATH", "").output().unwrap());
    assert_eq!(out.code, 69, "{out:?}");
    assert!(out.stdout.contains("MISSING image    there is no image at xtf; build it"), "{out:?}");
    let why = "MISSING Xens     deb not in the cache: dpkg-deb is not installed";
    assert!(out.stdout.contains(why), "{out:?}");
}

#[test]
fn the_doctor_asks_for_the_libraries_of_both_widths() {
    let world = World::new();
    fs::write(world.path("Cargo.toml"), "").unwrap();
    let rustc = world.file("rustc", "#!/bin/sh\necho \"$PWD/$4\"\n");
    fs::set_permissions(rustc, Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", world.path("").display());
    let said = || {
        let mut command = world.command(&["doctor", "--image", "xtf"], "print", "good.log");
        Output::from(command.env("PATH", &path).output().unwrap()).stdout
    };
    let (wide, narrow) = ("x86_64-unknown-none", "i586-unknown-linux-gnu");
    fs::create_dir(world.path(wide)).unwrap();
    let lacks =
        format!("   note Rust     no libraries for {narrow}: run make setup; needed to build");
    assert!(said().contains(&lacks), "{}", said());
    fs::create_dir(world.path(narrow)).unwrap();
    let has = format!("     ok Rust     builds for {wide} and {narrow}\n");
    assert!(said().contains(&has), "{}", said());
    fs::remove_dir(world.path(wide)).unwrap();
    assert!(said().contains(&format!("no libraries for {wide}: ")), "{}", said());
}

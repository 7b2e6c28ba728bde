//! The real binary against a fake QEMU: exit codes, texts, logs, and that nothing is left behind.

mod abilities;
mod bisect;
mod broken;
mod cache;
mod ci;
mod ci_steps;
mod coverage;
mod debug;
mod domains;
mod export;
mod faults;
mod forms;
mod further;
mod generate;
mod hostile;
mod iso;
mod judge;
mod junit;
mod killed;
mod merge;
mod mutate;
mod new;
mod payload;
mod results;
mod select;
mod targets;
mod world;
#[path = "../fixtures/xen_build.rs"]
mod xen_build;

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use world::{World, fixture};

#[test]
fn success() {
    let world = World::new();
    let out = world.run(&["run"], "print", "success.log");
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stdout.contains("PASS ["), "{out:?}");
    assert!(out.stdout.contains("pv64  args (3 cases, 1 tolerated)"), "{out:?}");
    assert!(out.stdout.contains("~ get/c: tolerated, xsa-0: old Xen"), "{out:?}");
    assert!(out.stdout.contains("needy: livepatch is not built into this Xen"), "{out:?}");
    assert_eq!(out.sums(), "2 passed, 0 failed, 1 skipped");
    assert!(!out.stdout.contains('\x1b'), "colour in a pipe: {out:?}");

    let boot = world.boot_dir("001-");
    let console = fs::read(boot.join("console.log")).unwrap();
    assert!(console.ends_with(&fs::read(fixture("success.log")).unwrap()));
    let guest = fs::read_to_string(boot.join("guest.log")).unwrap();
    let xen = fs::read_to_string(boot.join("xen.log")).unwrap();
    assert!(guest.starts_with("--- Xen Test Framework ---\n") && !guest.contains("(XEN)"));
    assert!(xen.contains("\n(XEN) Xen version") && !xen.contains("Subtest"));
    let runner = fs::read_to_string(boot.join("runner.log")).unwrap();
    assert!(runner.contains("'xtf tests=example,,args,,needy exit=reboot'"), "{runner}");
}

#[test]
fn failure() {
    let world = World::new();
    let out = world.run(&["run"], "print", "good.log");
    assert_eq!(out.code, 5, "{out:?}");
    assert!(out.stdout.contains("✗ list/b: expected EINVAL, got success"), "{out:?}");
    assert!(out.stdout.contains("logs: "), "{out:?}");
    assert_eq!(out.sums(), "1 passed, 1 failed, 1 skipped");
}

#[test]
fn everything_skipped() {
    let world = World::new();
    let log = world.file(
        "skip.log",
        "--- Xen Test Framework ---\nEnvironment: PV 64bit\nKTAP version 1\n1..1\n\
         ok 1 needy # SKIP because\nTest result: SKIP\n",
    );
    let out = world.run(&["run", "needy"], "print", log.to_str().unwrap());
    assert_eq!(out.code, 3, "{out:?}");
    assert_eq!(out.sums(), "0 passed, 0 failed, 1 skipped");
}

#[test]
fn the_guest_is_shown_live() {
    let world = World::new();
    let out = world.run(&["run", "--verbose"], "print", "success.log");
    assert!(out.stdout.contains("\n  # Subtest: example\n  1..2\n  ok 1 hello\n"), "{out:?}");
    assert!(!out.stdout.contains("(XEN)"), "{out:?}");
}

#[test]
fn a_hang_is_a_timeout() {
    let world = World::new();
    world.hurry_args();
    let out = world.run(&["run", "example", "args"], "hang", "good.log");
    assert_eq!(out.code, 7, "{out:?}");
    assert!(out.stdout.contains("no result within 1 s"), "{out:?}");
    assert!(out.stdout.contains("† list/a: no result within 1 s"), "{out:?}");
    assert_eq!(out.sums(), "0 passed, 2 failed, 0 skipped");
}

#[test]
fn a_qemu_that_lingers_after_the_result_is_stopped() {
    let world = World::new();
    let out = world.run(&["run"], "linger", "success.log");
    assert_eq!(out.code, 0, "{out:?}");
}

#[test]
fn a_flood_is_a_crash() {
    let world = World::new();
    let out = world.run(&["run", "example", "args"], "flood", "good.log");
    assert_eq!(out.code, 6, "{out:?}");
    assert!(out.stdout.contains("console flood"), "{out:?}");
}

#[test]
fn a_crash_of_xen_is_quoted_and_the_rest_is_booted_again() {
    let world = World::new();
    let out = world.run(&["run"], "crash-once", "needy.log");
    assert_eq!(out.code, 6, "{out:?}");
    assert!(out.stdout.contains("† list/b: Xen panicked: FATAL TRAP: vector = 6"), "{out:?}");
    assert!(out.stdout.contains("| (XEN) RIP:"), "{out:?}");
    assert!(out.stdout.contains("3 boots, 3 tests"), "{out:?}");
    assert_eq!(out.sums(), "2 passed, 1 failed, 0 skipped");
}

#[test]
fn garbage_is_a_crash() {
    let world = World::new();
    let out = world.run(&["run"], "garbage", "good.log");
    assert_eq!(out.code, 6, "{out:?}");
    assert_eq!(out.sums(), "0 passed, 3 failed, 0 skipped");
}

#[test]
fn a_qemu_that_dies_is_the_tools_fault() {
    let world = World::new();
    let out = world.run(&["run", "example", "args"], "segfault", "good.log");
    assert_eq!(out.code, 69, "{out:?}");
    let why = "QEMU died: was killed by signal 11: qemu: internal trouble";
    assert!(out.stdout.contains(why), "{out:?}");
    assert!(out.stdout.contains("ERROR ["), "{out:?}");

    let out = world.run(&["run"], "refuse", "good.log");
    assert_eq!(out.code, 69, "{out:?}");
    assert!(out.stderr.contains("exited with 1: qemu: -frob: invalid option"), "{out:?}");
}

#[test]
fn qemu_dies_with_a_killed_runner() {
    let world = World::new();
    let mut runner = world.spawn(&["run"], "hang", "good.log");
    let qemu = world.wait_for_qemus(1);
    runner.kill().unwrap();
    runner.wait().unwrap();
    assert!(qemu.die(), "QEMU outlived the runner");
}

#[test]
fn signals_end_the_run_with_a_summary() {
    for (signal, code, name) in [(Signal::INT, 130, "SIGINT"), (Signal::TERM, 143, "SIGTERM")] {
        let world = World::new();
        let runner = world.spawn(&["run"], "hang", "good.log");
        let qemu = world.wait_for_qemus(1);
        kill_process(Pid::from_child(&runner), signal).unwrap();
        assert!(qemu.die(), "QEMU outlived {name}");
        let out = world::Output::from(runner.wait_with_output().unwrap());
        assert_eq!(out.code, code, "{out:?}");
        assert!(out.stdout.contains(&format!("stopped by {name}")), "{out:?}");
        assert!(out.sums().ends_with(" skipped"), "{out:?}");
    }
}

#[test]
fn boots_run_at_a_time_and_results_come_in_the_plans_order() {
    let world = World::new();
    // The first boot ends last; the last one crashes, and the rest of it is booted again.
    let args = ["run", "-j", "2", "--verbose", "--xen", "slow", "--xen", "fake"];
    world.file(
        "xtf-runner.toml",
        "[hypervisor.fake]\npath = 'xen'\n[hypervisor.slow]\npath = 'xen'\ncmdline = 'slow'\n",
    );
    // Where the fake QEMU sees what was told.
    let told = world.path("pipe.told");
    let mut command = world.command(&args, "after-each-other", "success.log");
    let status = command.stdout(fs::File::create(&told).unwrap()).status().unwrap();
    let out = world::Output {
        code: status.code().unwrap_or(-1),
        stdout: fs::read_to_string(&told).unwrap(),
        stderr: String::new(),
    };
    assert_eq!(out.code, 0, "{out:?}");
    let place = |text: &str| out.stdout.find(text).unwrap_or_else(|| panic!("no {text}: {out:?}"));
    assert!(place("] fake pv64  example") < place("] slow pv64  example"), "{out:?}");
    assert!(out.stdout.contains("\n[2 fake pv64] Environment: "), "{out:?}");
    let table = &out.stdout[place("------------")..];
    assert!(table.starts_with("------------\n         slow  fake\n"), "{out:?}");
    assert!(out.stdout.contains("2 boots, 6 tests"), "{out:?}");
    assert!(world.boot_dir("001-").ends_with("001-slow-pv64"));
}

#[test]
fn a_signal_ends_all_boots() {
    let world = World::new();
    let runner =
        world.spawn(&["run", "-j2", "--xen", "fake", "--xen", "./xen"], "hang", "good.log");
    let qemus = world.wait_for_qemus(2);
    kill_process(Pid::from_child(&runner), Signal::INT).unwrap();
    assert!(qemus.die(), "a QEMU outlived SIGINT");
    let out = world::Output::from(runner.wait_with_output().unwrap());
    assert_eq!(out.code, 130, "{out:?}");
    assert!(out.stdout.contains("] 2 boots, "), "{out:?}");
    assert!(out.stdout.contains("stopped by SIGINT; "), "{out:?}");
}

#[test]
fn as_many_at_a_time_as_asked() {
    // Who has to be alone would see another one; who waits for another one would wait for ever.
    for (jobs, behaviour) in [("-j1", "alone"), ("-j2", "together")] {
        let world = World::new();
        let args = ["run", jobs, "--verbose", "--xen", "fake", "--xen", "./xen"];
        let out = world.run(&args, behaviour, "success.log");
        assert_eq!(out.code, 0, "{out:?}");
        assert!(!out.stdout.contains("# two at a time"), "{out:?}");
    }
}

#[test]
fn a_xen_with_another_command_line_gives_no_results() {
    let world = World::new();
    let out = world.run(&["run", "example", "args"], "other-options", "success.log");
    assert_eq!(out.code, 4, "{out:?}");
    let why = "Xen's command line is `console=com1loglvl=all`, but `console=com1 serial";
    assert!(out.stdout.contains(why), "{out:?}");
}

#[test]
fn settings_reach_the_machine_and_split_boots() {
    let world = World::new();
    world.file(
        "xtf-runner.toml",
        "default-xen = ['fake']\n[hypervisor.fake]\npath = 'xen'\ncmdline = 'x=1'\n\
         memory-mib = 300\nguest-cmdline = 'g=1'\n\
         [test.'a*']\nxen-cmdline = 'y=2'\nvcpus = 3\nqemu-args = ['-device', 'dev']\n",
    );
    let out = world.run(&["run", "--dry-run", "--xen-cmdline", "z=3"], "print", "good.log");
    let lines: Vec<&str> = out.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{out:?}");
    assert!(lines[0].contains("-m 300 -smp 1 "), "{out:?}");
    assert!(lines[0].contains(" x=1 z=3' -initrd 'xtf tests=example,,needy exit=reboot g=1'"));
    assert!(lines[1].contains("-m 300 -smp 3 "), "{out:?}");
    assert!(lines[1].contains(" -device dev -kernel "), "{out:?}");
    assert!(lines[1].contains(" x=1 y=2 z=3' -initrd 'xtf tests=args exit=reboot g=1'"), "{out:?}");

    world.file("xtf-runner.toml", "[test.'a*']\nvcpus = 3\n[test.'agrs']\nvcpus = 3\n");
    let out = world.run(&["run", "--xen", "./xen"], "print", "good.log");
    assert_eq!(out.code, 64, "{out:?}");
    assert!(out.stderr.contains("xtf-runner.toml:3: no test in "), "{out:?}");
    assert!(out.stderr.contains("matches `agrs`"), "{out:?}");
}

#[test]
fn modules_come_behind_the_image() {
    let world = World::new();
    world.file(
        "xtf-runner.toml",
        "[hypervisor.fake]\npath = 'xen'\nmodules = ['a policy', 'sub/ucode,1']\n",
    );
    let missing = world.run(&["run", "--xen", "fake"], "print", "success.log");
    assert_eq!(missing.code, 74, "{missing:?}");
    assert!(missing.stderr.contains("a policy, of `modules` of fake: No such file"), "{missing:?}");

    fs::create_dir(world.path("sub")).unwrap();
    world.file("a policy", "first");
    world.file("sub/ucode,1", "second");
    let dry = world.run(&["run", "--xen", "fake", "--dry-run"], "print", "success.log");
    let link = |file: &str, name: &str| format!("/{file}' {name} && ");
    assert!(dry.stdout.contains(&link("a policy", "module-1")), "{dry:?}");
    assert!(
        dry.stdout
            .contains(" -initrd 'xtf tests=example,,args,,needy exit=reboot,module-1,module-2' )")
    );

    let out = world.run(&["run", "--xen", "fake"], "print", "success.log");
    assert_eq!(out.code, 0, "{out:?}");
    let boot = world.boot_dir("001");
    let read = |name: &str| fs::read_to_string(boot.join(name)).unwrap();
    assert_eq!([read("module-1"), read("module-2")], ["first", "second"]);
    assert!(read("runner.log").contains("exit=reboot,module-1,module-2'"), "{out:?}");
}

#[test]
fn isolated_tests_have_boots_of_their_own() {
    let world = World::new();
    let out = world.run(&["run", "--isolate", "--dry-run"], "print", "good.log");
    let modules: Vec<&str> =
        out.stdout.lines().filter_map(|line| line.split(" tests=").nth(1)).collect();
    let wanted = ["example exit=reboot' )", "args exit=reboot' )", "needy exit=reboot' )"];
    assert_eq!(modules, wanted);
}

#[test]
fn a_configured_time_counts_less_than_the_users() {
    let world = World::new();
    let toml = "[hypervisor.fake]\npath = 'xen'\n[test.args]\ntimeout-s = 1\n";
    world.file("xtf-runner.toml", toml);
    let run = |more: &[&str]| {
        let args = [&["run", "--xen", "fake", "args", "example"], more].concat();
        world.run(&args, "hang", "good.log").stdout
    };
    assert!(run(&[]).contains("no result within 1 s"));
    assert!(run(&["--timeout", "2"]).contains("no result within 2 s"));
}

#[test]
fn dry_run_prints_and_runs_nothing() {
    let world = World::new();
    let out = world.run(&["run", "--dry-run", "--cmdline", "a=b,c"], "print", "good.log");
    assert_eq!(out.code, 0, "{out:?}");
    assert!(
        out.stdout.contains("-initrd 'xtf tests=example,,args,,needy exit=reboot a=b,,c'"),
        "{out:?}"
    );
    assert_eq!(out.stdout.lines().count(), 1);
    assert!(!world.path("logs").exists());

    // The line is what it claims to be: a shell runs it.
    let shell = world.shell(&out.stdout, "print", "good.log");
    assert!(shell.stdout.as_bytes().ends_with(&fs::read(fixture("good.log")).unwrap()));
}

#[test]
fn kvm_is_tried_once_and_its_answer_believed() {
    if fs::OpenOptions::new().write(true).open("/dev/kvm").is_err() {
        eprintln!("no /dev/kvm: nothing to try");
        return;
    }
    let world = World::new();
    let auto = ["run", "--accel", "auto"];
    let runs = |out: &world::Output| {
        let log = fs::read_to_string(world.boot_dir("001-").join("runner.log")).unwrap();
        assert_eq!(out.code, 0, "{out:?}");
        log.contains("-accel kvm")
    };
    // A Xen that comes up under KVM.
    let out = world.run(&auto, "print", "success.log");
    assert!(out.stderr.contains("trying whether KVM boots Xen fake as pv64"), "{out:?}");
    assert!(runs(&out), "{out:?}");
    let out = world.run(&auto, "print", "success.log");
    assert!(!out.stderr.contains("trying") && runs(&out), "{out:?}");

    // Another one does not. The dry run knows what the run has found out.
    let mut other = fs::read(world.path("xen")).unwrap();
    other.push(0);
    fs::write(world.path("xen2"), other).unwrap();
    let other = ["run", "--accel", "auto", "--xen", "./xen2"];
    let dry: Vec<&str> = other.iter().copied().chain(["--dry-run"]).collect();
    let out = world.run(&dry, "print", "success.log");
    assert!(out.stderr.contains("it is not known yet whether KVM boots Xen xen2"), "{out:?}");
    let out = world.run(&other, "kvm-dies", "success.log");
    assert!(out.stderr.contains("KVM does not boot Xen xen2 as pv64 ("), "{out:?}");
    assert!(out.stderr.contains("); using TCG"), "{out:?}");
    assert!(!runs(&out), "{out:?}");
    let out = world.run(&other, "print", "success.log");
    assert!(!out.stderr.contains("trying") && !runs(&out), "{out:?}");
    let out = world.run(&dry, "print", "success.log");
    assert!(out.stdout.contains("-accel tcg"), "{out:?}");
    let answers = fs::read_dir(world.path(".cache")).unwrap().filter_map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.starts_with("kvm-").then_some(name)
    });
    assert_eq!(answers.count(), 2);
}

#[test]
fn a_machine_that_can_not_be_kept_is_ended() {
    let world = World::new();
    world.hurry_args();
    let args = ["run", "--keep", "example", "args"];
    let runner = world.spawn(&args, "hang", "good.log");
    let qemu = world.wait_for_qemus(1);
    assert!(qemu.die(), "QEMU outlived its boot");
    let out = world::Output::from(runner.wait_with_output().unwrap());
    assert_eq!(out.code, 7, "{out:?}");
    let log = fs::read_to_string(world.boot_dir("001-").join("runner.log")).unwrap();
    assert!(log.contains("cannot keep the machine: "), "{log}");
}

#[test]
fn a_debugger_gets_one_boot_and_the_command_shows_it() {
    let world = World::new();
    let two = ["run", "--gdb", "--xen", "fake", "--xen", "./xen"];
    let out = world.run(&two, "print", "good.log");
    assert_eq!(out.code, 64, "{out:?}");
    assert!(
        out.stderr.contains("--gdb needs a single boot, and this selection takes 2"),
        "{out:?}"
    );
    let out = world.run(&["run", "--gdb", "--dry-run"], "print", "good.log");
    let words = "-monitor 'unix:monitor.sock,server=on,wait=off' \
                 -qmp 'unix:qmp.sock,server=on,wait=off' -gdb 'unix:gdb.sock,server=on,wait=off' -S ";
    assert!(out.stdout.contains(words), "{out:?}");
}

#[test]
fn usage_errors() {
    let world = World::new();
    for (args, why) in [
        (&["run", "--frob"][..], "unexpected argument '--frob'"),
        (&["run", "--xen", "9.9"], "unknown Xen `9.9`"),
        (&["run", "--env", "hvm"], "possible values: pv64, pvh64, hvm64"),
        (&["run", "--env", "hvm64"], "runs the image as dom0; use --backend qemu-xl"),
        (&["run", "--host", "root@box"], "--host needs --backend xl"),
        (&["run", "--backend", "qemu-xl", "--keep"], "--keep need --backend qemu"),
        (
            &["run", "--backend", "xl", "--xen", "4.17"],
            "--backend xl runs on the Xen of the Xen host",
        ),
        (&["run", "--config", "nowhere.toml"], "cannot read configuration"),
        (
            &["fuzz", "hypercall", "--except", "kexec_op,grant_tabel_op.7"],
            "--except: no hypercall is called `grant_tabel_op`; did you mean grant_table_op",
        ),
        (
            &["fuzz", "hypercall", "--only", "memory_op.exchnge"],
            "--only: memory_op has no sub-op `exchnge`; did you mean exchange",
        ),
        (&["frob"], "unrecognized subcommand"),
        (&[], "Usage:"),
    ] {
        let out = world.run(args, "print", "good.log");
        assert_eq!(out.code, 64, "{args:?} {out:?}");
        assert!(out.stderr.contains(why), "{args:?} {out:?}");
    }
    assert_eq!(world.run(&["--help"], "print", "good.log").code, 0);
}

#[test]
fn bad_files() {
    let world = World::new();
    world.file("text", "no ELF");
    for (args, why) in [
        (&["run", "--image", "text"][..], "text: not an ELF file"),
        (&["list", "--image", "gone"], "make build"),
        (
            &["run", "--xen", "./text"],
            "is neither an ELF file, nor a compressed one, nor a package",
        ),
        (&["run", "--xen", "./gone"], "./gone does not exist"),
        (&["run", "--image", "bare"], "no section .xtf.meta"),
    ] {
        world.image("bare", ".other", b"x");
        let out = world.run(args, "print", "good.log");
        assert_eq!(out.code, 65, "{args:?} {out:?}");
        assert!(out.stderr.contains(why), "{args:?} {out:?}");
    }
}

#[test]
fn missing_tools() {
    let world = World::new();
    let out = world.run(&["run", "--qemu", "/nowhere/qemu"], "print", "good.log");
    assert_eq!(out.code, 69, "{out:?}");
    assert!(out.stderr.contains("/nowhere/qemu is not installed"), "{out:?}");

    world
        .file("xtf-runner.toml", "[hypervisor.deb]\ndebian = { suite = 'sid', package = 'xen' }\n");
    let out = world.run_without_path(&["run", "--xen", "deb"]);
    assert_eq!(out.code, 69, "{out:?}");
    assert!(out.stderr.contains("apt-get is not installed"), "{out:?}");
}

#[test]
fn logs_that_cannot_be_written() {
    let world = World::new();
    world.file("occupied", "");
    let out = world.run(&["run", "--logs", "occupied/logs"], "print", "good.log");
    assert_eq!(out.code, 74, "{out:?}");
    assert!(out.stderr.contains("occupied/logs"), "{out:?}");
}

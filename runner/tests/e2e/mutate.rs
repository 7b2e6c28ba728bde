//! `mutate` against a fake QEMU, whose tests notice a branch that was `je` and miss one that was
//! `jne`.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use crate::world::{Output, World};
use crate::xen_build;

const FUNCTIONS: [xen_build::Function<'_>; 3] = [
    // test %eax,%eax; je; jne; ret
    ("get_name", Some("common/livepatch.c"), &[0x85, 0xc0, 0x74, 0x03, 0x75, 0x01, 0x90, 0xc3]),
    ("livepatch_op", None, &[0x74, 0x00, 0xc3]),
    ("unrelated", None, &[0x74, 0x00, 0xc3]),
];

pub fn world() -> World {
    let world = World::new();
    world.file(
        "xtf-runner.toml",
        "default-xen = ['fake']\n[hypervisor.fake]\npath = 'xen'\nsymbols = 'xen-syms'\n",
    );
    fs::write(world.path("xen"), xen_build::boot(1, &FUNCTIONS)).unwrap();
    fs::write(world.path("xen-syms"), xen_build::syms(1, &FUNCTIONS)).unwrap();
    fs::write(world.path("original"), xen_build::boot(1, &FUNCTIONS)).unwrap();
    world
}

fn mutate(world: &World, args: &[&str]) -> Output {
    let args = [&["mutate", "--jobs", "2"], args].concat();
    world.run(&args, "mutants", "success.log")
}

#[test]
fn killed_and_survived() {
    let world = world();
    let out = mutate(&world, &["--out", "out.jsonl"]);
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stdout.contains("2 passed, 0 failed, 1 skipped"), "the baseline: {out:?}");
    assert!(out.stdout.contains("get_name+0x2"), "{out:?}");
    assert!(out.stdout.contains("killed by pv64 args list/b (FAILURE)"), "{out:?}");
    let survivor = "\
survived: get_name+0x4 at 0xffff82d040200044
    +0x0     test %eax,%eax
    +0x2     je get_name+0x7
  > +0x4     jne get_name+0x7
    +0x6     nop
    +0x7     ret
";
    assert!(out.stdout.contains(survivor), "{out:?}");
    for row in [
        ["get_name", "2", "1", "1", "0"],
        ["livepatch_op", "1", "1", "0", "0"],
        ["all", "3", "2", "1", "0"],
    ] {
        assert!(
            out.stdout.lines().any(|line| line.split_whitespace().eq(row)),
            "{row:?} in {out:?}"
        );
    }
    assert!(out.stdout.contains("2 of 3 mutants killed (66 %)"), "{out:?}");
    assert!(out.stdout.contains("2 by pv64 args FAILURE"), "{out:?}");
    assert_eq!(fs::read(world.path("xen")).unwrap(), fs::read(world.path("original")).unwrap());

    let records = fs::read_to_string(world.path("out.jsonl")).unwrap();
    assert_eq!(records.lines().count(), 4, "{records}");
    let again = mutate(&world, &["--out", "out.jsonl"]);
    assert_eq!(again.code, 64, "{again:?}");
    let again = mutate(&world, &["--out", "out.jsonl", "--resume"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.stdout.contains(survivor) && !again.stdout.contains("Running"), "{again:?}");
}

#[test]
fn shares_are_read_as_one_and_a_gap_is_no_success() {
    let world = world();
    for share in ["1", "2"] {
        let partition = format!("count:{share}/2");
        let out = mutate(&world, &["--partition", &partition, "--out", share]);
        assert_eq!(out.code, 0, "{out:?}");
    }
    let out = mutate(&world, &["--read", "1,2"]);
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stdout.contains("2 of 3 mutants killed (66 %)\n"), "{out:?}");
    assert!(out.stdout.contains("survived: get_name+0x4"), "{out:?}");
    assert_eq!(mutate(&world, &["--read", "1,2", "--fail-under", "67"]).code, 5);

    let out = mutate(&world, &["--read", "2"]);
    assert_eq!(out.code, 4, "{out:?}");
    assert!(out.stdout.contains("not run\n"), "{out:?}");
    assert!(out.stderr.contains("of 3 branches have no result in what was read"), "{out:?}");
    let out = mutate(&world, &["--read", "1,2,gone"]);
    assert_eq!((out.code, out.stderr.contains("gone")), (74, true), "{out:?}");
}

/// The host kills QEMU: nothing that a test noticed.
#[test]
fn a_qemu_that_dies_kills_no_mutant() {
    let world = world();
    let args = ["mutate", "--jobs", "1", "--out", "out.jsonl"];
    let out = world.run(&args, "mutants-kill", "success.log");
    assert_eq!(out.code, 69, "{out:?}");
    assert!(
        out.stdout.contains("get_name+0x4                                 undecided:"),
        "{out:?}"
    );
    assert!(out.stdout.contains("was killed by signal 9"), "{out:?}");
    let told = "2 of 2 mutants killed (100 %); 1 undecided, because QEMU failed";
    assert!(out.stdout.contains(told), "{out:?}");
    // It is not kept as if it were known.
    let out = world.run(&[&args[..], &["--resume"]].concat(), "mutants", "success.log");
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stdout.contains("survived: get_name+0x4"), "{out:?}");

    let out = world.run(&["mutate", "--jobs", "1"], "mutants-kill-twice", "success.log");
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stdout.contains("survived: get_name+0x4"), "{out:?}");
}

#[test]
fn a_share_can_be_demanded() {
    let world = world();
    assert_eq!(mutate(&world, &["--fail-under", "66"]).code, 0);
    assert_eq!(mutate(&world, &["--fail-under", "67"]).code, 5);
    assert_eq!(mutate(&world, &["--functions", "livepatch*", "--fail-under", "100"]).code, 0);
}

#[test]
fn listing() {
    let world = world();
    let out = mutate(&world, &["--list"]);
    let sites: Vec<Vec<&str>> =
        out.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        sites,
        [
            ["0xffff82d040200042", "get_name+0x2", "je", "get_name+0x7"],
            ["0xffff82d040200044", "get_name+0x4", "jne", "get_name+0x7"],
            ["0xffff82d040200080", "livepatch_op+0x0", "je", "livepatch_op+0x2"],
        ]
    );
    let out = mutate(&world, &["--list", "--functions", "un*"]);
    assert!(out.stdout.starts_with("0xffff82d0402000c0  unrelated+0x0 "), "{out:?}");
}

#[test]
fn a_single_mutant_keeps_its_logs() {
    let world = world();
    let out = mutate(&world, &["--only", "get_name+0x2"]);
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stdout.contains("✗ list/b: expected EINVAL, got success"), "{out:?}");
    assert!(out.stdout.ends_with("\nget_name+0x2 at 0xffff82d040200042: killed\n"), "{out:?}");
    let xen = fs::read(world.boot_dir("001-").join("xen")).unwrap();
    assert_ne!(xen, fs::read(world.path("xen")).unwrap());

    let out = mutate(&world, &["--only", "0xffff82d040200044"]);
    assert!(out.stdout.ends_with("\nget_name+0x4 at 0xffff82d040200044: survived\n"), "{out:?}");
}

#[test]
fn tests_that_fail_on_xen_itself_measure_nothing() {
    let world = world();
    let out = world.run(&["mutate"], "print", "good.log");
    assert_eq!(out.code, 5, "{out:?}");
    assert!(out.stderr.contains("cannot measure"), "{out:?}");
}

#[test]
fn symbols_are_found_beside_a_xen() {
    let out = mutate(&world(), &["--xen", "./xen", "--list"]);
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stdout.contains("get_name+0x4"), "{out:?}");
}

#[test]
fn what_can_not_be_measured() {
    let world = world();
    fs::create_dir(world.path("bare")).unwrap();
    fs::copy(world.path("xen"), world.path("bare/xen")).unwrap();
    fs::write(world.path("other-syms"), xen_build::syms(2, &FUNCTIONS)).unwrap();
    for (args, code, why) in [
        (&["--symbols", "other-syms"][..], 65, "its symbols belong to 0202"),
        (&["--symbols", "xen"], 65, "is this a xen-syms?"),
        (&["--symbols", "gone"], 74, "cannot find the symbols gone"),
        (&["--functions", "zz"], 66, "no function of this Xen matches `zz`"),
        (&["--only", "get_name"], 64, "no conditional branch at `get_name`"),
        (&["--resume"], 64, "--out"),
        (&["--xen", "./bare"], 64, "no symbols of Xen bare"),
    ] {
        let out = mutate(&world, args);
        assert_eq!(out.code, code, "{args:?} {out:?}");
        assert!(out.stderr.contains(why), "{args:?} {out:?}");
    }
}

#[test]
fn a_signal_ends_it_and_loses_nothing() {
    let world = world();
    let args = ["mutate", "--jobs", "1", "--out", "out.jsonl"];
    let runner = world.spawn(&args, "mutants-hang", "success.log");
    let qemu = world.wait_for_qemus(1);
    kill_process(Pid::from_child(&runner), Signal::INT).unwrap();
    assert!(qemu.die(), "QEMU outlived SIGINT");
    let out = Output::from(runner.wait_with_output().unwrap());
    assert_eq!(out.code, 130, "{out:?}");
    assert!(out.stdout.contains("1 of 1 mutants killed (100 %); 2 not run"), "{out:?}");

    let out = mutate(&world, &["--out", "out.jsonl", "--resume"]);
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stdout.contains("2 of 3 mutants killed"), "{out:?}");
    assert_eq!(out.stdout.matches("killed by").count(), 1, "{out:?}");
}

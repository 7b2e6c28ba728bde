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

/// One of each kind. The fake QEMU's tests notice a byte that was 0x74 and is 0x75, a branch or not.
const KINDS: [xen_build::Function<'_>; 3] = [
    (
        "get_name",
        Some("common/livepatch.c"),
        &[
            0x3c, 0x74, // 0: cmp $0x74,%al
            0x74, 0x00, // 2: je
            0xa8, 0x75, // 4: test $0x75,%al
            0x0f, 0x94, 0xc1, // 6: sete %cl
            0xe8, 0x32, 0x00, 0x00, 0x00, // 9: call livepatch_op
            0xe8, 0x6d, 0x00, 0x00, 0x00, // e: call empty
            0x31, 0xc0, // 13: xor %eax,%eax
            0xc3,
        ],
    ),
    ("livepatch_op", None, &[0xff, 0x07, 0xc3]),
    ("empty", None, &[0xc3]),
];

pub fn world() -> World {
    world_of(&FUNCTIONS)
}

fn world_of(functions: &[xen_build::Function<'_>]) -> World {
    let world = World::new();
    world.file(
        "xtf-runner.toml",
        "default-xen = ['fake']\n[hypervisor.fake]\npath = 'xen'\nsymbols = 'xen-syms'\n",
    );
    fs::write(world.path("xen"), xen_build::boot(1, functions)).unwrap();
    fs::write(world.path("xen-syms"), xen_build::syms(1, functions)).unwrap();
    fs::write(world.path("original"), xen_build::boot(1, functions)).unwrap();
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
    assert!(out.stderr.contains("of 3 mutants have no result in what was read"), "{out:?}");
    let out = mutate(&world, &["--read", "1,2,gone"]);
    assert_eq!((out.code, out.stderr.contains("gone")), (74, true), "{out:?}");
}

/// One campaign, and another one with other tests about what survived it.
#[test]
fn campaigns_of_several_selections_are_put_together() {
    let world = world();
    let out = mutate(&world, &["--out", "one"]);
    assert!(out.stdout.contains("2 of 3 mutants killed (66 %)\n"), "{out:?}");
    let survivors = ["--survivors-of", "one"];
    let out = mutate(&world, &[&survivors[..], &["--list"]].concat());
    assert_eq!(
        words(&out.stdout),
        ["0xffff82d040200044 get_name+0x4 branch jne get_name+0x7 => je get_name+0x7"]
    );
    let out = mutate(&world, &[&survivors[..], &["--out", "two"]].concat());
    assert!(out.stdout.contains("0 of 1 mutants killed (0 %)\n"), "{out:?}");

    // As if those had been other tests, and had noticed it.
    let two = fs::read_to_string(world.path("two")).unwrap();
    let campaign = two.split('"').nth(7).unwrap();
    let two = two.replace(campaign, "another campaign");
    let killed = r#""verdict":"killed","killer":{"environment":"pv64","test":"args","case":null,"#
        .to_owned()
        + r#""status":"FAILURE","reason":""}"#;
    let from = two.find(r#""verdict":"survived""#).unwrap();
    let to = two.rfind(r#","boots":"#).unwrap();
    fs::write(world.path("two"), [&two[..from], &killed, &two[to..]].concat()).unwrap();
    let out = mutate(&world, &["--read", "one,two"]);
    assert!(out.stdout.contains("2 of 3 mutants killed (66 %)\n"), "{out:?}");
    assert!(out.stderr.contains("two has no result for this Xen, image and selection"), "{out:?}");
    for files in ["one,two", "two,one"] {
        let out = mutate(&world, &["--read", files, "--any-tests", "--fail-under", "100"]);
        assert_eq!(out.code, 0, "{out:?}");
        assert!(out.stdout.contains("3 of 3 mutants killed (100 %)\n"), "{out:?}");
    }
    let out = mutate(&world, &["--read", "two", "--any-tests"]);
    assert_eq!(out.code, 4, "{out:?}");
    let out = mutate(&world, &["--survivors-of", "one,two"]);
    assert_eq!((out.code, out.stderr.contains("was killed")), (66, true), "{out:?}");

    let out = mutate(&world, &["--read", "one", "--markdown"]);
    assert!(
        out.stdout.contains("\n| fake | branch | 3 | 2 | 1 | 0 | 0 | 0 | 66.6 % |\n"),
        "{out:?}"
    );
    assert!(out.stdout.ends_with("\n| fake | `get_name+0x4` | survived |  |\n"), "{out:?}");
    assert_eq!(mutate(&world, &["--markdown"]).code, 64);

    // Another Xen has other mutants at the same addresses.
    fs::write(world.path("xen"), xen_build::boot(1, &KINDS)).unwrap();
    fs::write(world.path("xen-syms"), xen_build::syms(1, &KINDS)).unwrap();
    let out = mutate(&world, &["--read", "one,two", "--any-tests"]);
    assert_eq!(out.code, 4, "{out:?}");
    assert!(out.stderr.contains("one has no result for this Xen\n"), "{out:?}");
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
    assert_eq!(
        words(&out.stdout),
        [
            "0xffff82d040200042 get_name+0x2 branch je get_name+0x7 => jne get_name+0x7",
            "0xffff82d040200044 get_name+0x4 branch jne get_name+0x7 => je get_name+0x7",
            "0xffff82d040200080 livepatch_op+0x0 branch je livepatch_op+0x2 => jne livepatch_op+0x2",
        ]
    );
    let out = mutate(&world, &["--list", "--functions", "un*"]);
    assert!(out.stdout.starts_with("0xffff82d0402000c0  unrelated+0x0 "), "{out:?}");
}

/// Its lines, with one space between two words.
fn words(text: &str) -> Vec<String> {
    let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect()
}

const ALL: [&str; 4] =
    ["--operators", "branch,condition,immediate,mask,call", "--functions", "get_name"];

#[test]
fn each_operator_has_its_mutants() {
    let world = world_of(&KINDS);
    let out = mutate(&world, &[&ALL[..], &["--list"]].concat());
    assert_eq!(
        words(&out.stdout),
        [
            "0xffff82d040200040 get_name+0x0:-1 immediate cmp $0x74,%al => cmp $0x73,%al",
            "0xffff82d040200040 get_name+0x0:+1 immediate cmp $0x74,%al => cmp $0x75,%al",
            "0xffff82d040200042 get_name+0x2 branch je get_name+0x4 => jne get_name+0x4",
            "0xffff82d040200044 get_name+0x4:bit0 mask test $0x75,%al => test $0x74,%al",
            "0xffff82d040200044 get_name+0x4:bit1 mask test $0x75,%al => test $0x77,%al",
            "0xffff82d040200044 get_name+0x4:bit2 mask test $0x75,%al => test $0x71,%al",
            "0xffff82d040200044 get_name+0x4:bit4 mask test $0x75,%al => test $0x65,%al",
            "0xffff82d040200044 get_name+0x4:bit6 mask test $0x75,%al => test $0x35,%al",
            "0xffff82d040200046 get_name+0x6 condition sete %cl => setne %cl",
            "0xffff82d040200049 get_name+0x9 call call livepatch_op => nopl (%rax,%rax)",
            "0xffff82d04020004e get_name+0xe call call empty => nopl (%rax,%rax) (equivalent: the \
             function that is called does nothing)",
        ]
    );
    let out = mutate(&world, &["--list", "--operators", "mask,condition"]);
    assert_eq!(out.stdout.lines().count(), 6, "{out:?}");
    let out = mutate(&world, &["--operators", "condition", "--functions", "empty"]);
    assert_eq!((out.code, out.stderr.contains("--operators condition")), (66, true), "{out:?}");
    let out = mutate(&world, &["--operators", "branch,all"]);
    assert_eq!((out.code, out.stderr.contains("possible values: branch")), (64, true), "{out:?}");
}

/// What journals of branches have stays what it was.
#[test]
fn operators_are_counted_apart_and_may_come_later() {
    let world = world_of(&KINDS);
    let out = mutate(&world, &["--out", "out.jsonl"]);
    assert!(out.stdout.contains("1 of 1 mutants killed (100 %)"), "{out:?}");
    assert!(!out.stdout.contains("Operator"), "{out:?}");

    let out = mutate(&world, &[&ALL[..], &["--out", "out.jsonl", "--resume"]].concat());
    assert_eq!(out.code, 0, "{out:?}");
    assert_eq!(out.stdout.matches(" get_name+0x2 ").count(), 0, "{out:?}");
    let table = [
        "Operator mutants killed survived not reached share equivalent patched",
        "branch 1 1 0 0 100 % 0 0",
        "condition 1 0 1 0 0 % 0 0",
        "immediate 2 1 1 0 50 % 0 0",
        "mask 5 0 5 0 0 % 0 0",
        "call 1 0 1 0 0 % 1 0",
    ];
    let lines = words(&out.stdout);
    let at = lines.iter().position(|line| line == table[0]).unwrap();
    assert_eq!(lines[at..at + table.len()], table);
    assert!(out.stdout.contains("2 of 10 mutants killed (20 %)"), "{out:?}");
    assert!(out.stdout.contains("\n  > +0x4     test $0x75,%al => test $0x74,%al\n"), "{out:?}");

    // All of it is in the file, and only what is asked for is read.
    let read = [&ALL[..], &["--read", "out.jsonl"]].concat();
    let out = mutate(&world, &read);
    assert!(out.stdout.contains("2 of 10 mutants killed (20 %)"), "{out:?}");
    assert_eq!(mutate(&world, &[&read[..], &["--fail-under", "20"]].concat()).code, 0);
    assert_eq!(mutate(&world, &[&read[..], &["--fail-under", "21"]].concat()).code, 5);
    assert_eq!(mutate(&world, &["--read", "out.jsonl", "--fail-under", "100"]).code, 0);
}

#[test]
fn one_of_several_mutants_of_an_instruction_is_named() {
    let world = world_of(&KINDS);
    let out = mutate(&world, &["--only", "get_name+0x0:+1"]);
    let end = "\nget_name+0x0:+1 at 0xffff82d040200040: killed\n";
    assert!(out.code == 0 && out.stdout.ends_with(end), "{out:?}");
    let out = mutate(&world, &["--only", "0xffff82d040200044:bit6"]);
    assert!(out.stdout.ends_with(": survived\n"), "{out:?}");
    let out = mutate(&world, &["--only", "get_name+0xe"]);
    assert!(out.stdout.ends_with("get_name+0xe at 0xffff82d04020004e: survived\n"), "{out:?}");
    assert!(out.stderr.contains("which changes nothing"), "{out:?}");
    let out = mutate(&world, &["--only", "get_name+0x0"]);
    assert_eq!(out.code, 64, "{out:?}");
    assert!(out.stderr.contains("get_name+0x0:-1, get_name+0x0:+1"), "{out:?}");
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
        (&["--only", "get_name"], 64, "no site at `get_name`"),
        (&["--resume"], 64, "--out"),
        (&["--env", "hvm32"], 65, "hvm32 needs an image for 32-bit guests"),
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

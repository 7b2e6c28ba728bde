//! What is selected, partitioned and listed.

use crate::world::{Output, World};

fn list(world: &World, args: &[&str]) -> Output {
    world.run(&[&["list"], args].concat(), "print", "good.log")
}

#[test]
fn empty_selections() {
    let world = World::new();
    for (args, why) in [
        (&["run", "zz*"][..], "no test matches `zz*`"),
        (&["run", "exmaple"], "there is no test `exmaple`; did you mean example"),
        (&["list", "exmaple"], "there is no test `exmaple`; did you mean example"),
        (&["run", "args/list/c"], "no case matches `args/list/c`; did you mean args/list/"),
        (
            &["run", "needy", "--exclude", "needy"],
            "everything that was selected is excluded: needy",
        ),
        (&["run", "needy", "--env", "pvh64"], "no selected test supports pvh64: needy"),
        (&["list", "--runs", "--env", "pvh64"], "no selected test supports pvh64"),
    ] {
        let out = world.run(args, "print", "good.log");
        assert_eq!(out.code, 66, "{args:?} {out:?}");
        assert!(out.stderr.contains(why), "{args:?} {out:?}");
        assert!(!world.path("logs").exists(), "{args:?} {out:?}");
    }
}

#[test]
fn the_guest_is_told_the_cases_and_judged_by_them() {
    let world = World::new();
    let console = "--- Xen Test Framework ---\nEnvironment: PV 64bit\nKTAP version 1\n1..2\n  \
                   KTAP version 1\n  # Subtest: example\n  1..2\n  ok 1 hello\n  ok 2 other\n\
                   ok 1 example\n  KTAP version 1\n  # Subtest: args\n  1..2\n  ok 1 list/a\n  \
                   ok 2 list/b\nok 2 args\nTest result: SUCCESS\n";
    let log = world.file("cases.log", console);
    let run = |args: &[&str]| {
        world.run(&[&["run", "--verbose"], args].concat(), "print", log.to_str().unwrap())
    };
    let out = run(&["example", "args/list/*", "!args/*/c"]);
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stdout.contains("args (2 cases)"), "{out:?}");
    let runner = std::fs::read_to_string(world.boot_dir("001-").join("runner.log")).unwrap();
    assert!(runner.contains("'xtf tests=example,,args/list/*,,args/!*/c exit=reboot'"), "{runner}");

    // A guest that runs other cases than it was told to is not believed.
    let out = run(&["example", "args"]);
    assert_eq!(out.code, 4, "{out:?}");
    assert!(
        out.stdout.contains("the plan line says 2 cases, but the image's metadata says 3"),
        "{out:?}"
    );
}

#[test]
fn tables() {
    let world = World::new();
    let out = list(&world, &[]);
    let first = "example  functional  300 s  A title (2 cases; pv64)\n";
    assert!(out.stdout.starts_with(first), "{out:?}");
    assert_eq!(out.stdout.lines().count(), 3);
    let out = list(&world, &["args/list/*", "--cases"]);
    let table =
        "args  functional  300 s  A title (2 cases; pv64)\n    args/list/a\n    args/list/b\n";
    assert_eq!(out.stdout, table, "{out:?}");
    assert_eq!(list(&world, &["!args"]).stdout.lines().count(), 2);
}

#[test]
fn json() {
    let world = World::new();
    let parse = |args: &[&str]| -> serde_json::Value {
        serde_json::from_str(&list(&world, &[&["--json"], args].concat()).stdout).unwrap()
    };
    let all = parse(&[]);
    assert_eq!(all[1]["cases"][2], "get/c");
    let some = parse(&["args/get/*"]);
    assert_eq!(some[0]["cases"], serde_json::json!(["get/c"]));
    assert_eq!(some.as_array().unwrap().len(), 1);
    let runs = parse(&["--runs", "args"]);
    let run = serde_json::json!(
        {"xen": "fake", "environment": "pv64", "test": "args", "cases": 3, "boot": 1}
    );
    assert_eq!(runs, serde_json::json!([run]));
}

/// What is listed is what `run` boots, which is no domain.
#[test]
fn runs_are_those_of_run() {
    let world = World::new();
    let meta = "{'name':'everywhere','title':'A title','category':'functional',\
                'environments':['pv64','pvh64','hvm64'],'needs':[],'own_boot':false,'vcpus':1,\
                'timeout_s':300,'default':true,'cases':['x']}\n";
    world.image("every.xtf", ".xtf.meta", meta.replace('\'', "\"").as_bytes());
    let image = world.path("every.xtf");
    let image = ["--image", image.to_str().unwrap()];
    let out = list(&world, &[&["--runs"], &image[..]].concat());
    let both = "fake  pv64   everywhere  (1 case; boot 1)\n\
                fake  pvh64  everywhere  (1 case; boot 2)\n";
    assert_eq!(out.stdout, both, "{out:?}");
    let out = world.run(&[&["run", "--dry-run"], &image[..]].concat(), "print", "good.log");
    assert_eq!(out.stdout.lines().count(), 2, "{out:?}");
}

#[test]
fn shares_of_a_run() {
    let world = World::new();
    let shares: Vec<String> = (1..=2)
        .map(|m| list(&world, &["--runs", "--partition", &format!("count:{m}/2")]).stdout)
        .collect();
    assert_eq!(
        shares,
        [
            "fake  pv64   example  (2 cases; boot 1)\nfake  pv64   needy    (1 case; boot 1)\n",
            "fake  pv64   args  (3 cases; boot 1)\n",
        ]
    );
    let out = world.run(&["run", "--dry-run", "--partition", "count:2/2"], "print", "good.log");
    assert!(out.stdout.contains("'xtf tests=args exit=reboot'"), "{out:?}");

    // A share may be empty, which is no mistake of anybody's.
    let out = world.run(&["run", "args", "--partition", "count:2/2"], "print", "good.log");
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stderr.contains("share count:2/2 of this run holds no test"), "{out:?}");
    assert_eq!(out.sums(), "0 passed, 0 failed, 0 skipped");

    let out = list(&world, &["--runs", "--partition", "hash:3/2"]);
    assert_eq!(out.code, 64, "{out:?}");
    assert!(out.stderr.contains("share 3 of 2 does not exist"), "{out:?}");
}

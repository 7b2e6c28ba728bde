//! A case that ends its boot costs that case: other boots go on with those behind it.

use std::fs;

use serde_json::Value;

use crate::world::{Output, World};

/// What a guest and its Xen say, for the scripts below.
const WORDS: &str = r#"
    head() {
        printf '%s\n' '(XEN) Xen version 4.17.7 (x)' '--- Xen Test Framework ---' \
            'Environment: PV 64bit (x)' 'KTAP version 1' '# xen: 4.17.7 debug=n' "1..$1"
    }
    begin() { printf '%s\n' '  KTAP version 1' "  # Subtest: $1" "  1..$2"; }
    xen_dies() {
        printf '%s\n' '(XEN) Panic on CPU 0:' "(XEN) $1" '(XEN) Reboot in five seconds...'
    }
"#;

/// A Xen that dies of `list/a`, and a guest that dies of `list/b`.
const TWO_DEATHS: &str = r#"
    case $module in
    *example*)
        head 3
        begin example 2
        printf '%s\n' '  ok 1 hello' '  ok 2 other' 'ok 1 example'
        begin args 3
        echo '  # step: first'
        xen_dies 'FATAL PAGE FAULT'
        ;;
    *'tests=args,,args/>list/a '*)
        head 1
        begin args 2
        printf '%s\n' '# TRAP of the guest' '# rax 0x7'
        ;;
    *'tests=args,,args/>list/b '*)
        head 1
        begin args 1
        printf '%s\n' '  ok 1 get/c' 'ok 1 args' 'Test result: SUCCESS'
        ;;
    *'tests=args '*)
        head 1
        begin args 3
        xen_dies 'FATAL PAGE FAULT'
        ;;
    *)
        head 1
        begin needy 1
        printf '%s\n' '  ok 1 x' 'ok 1 needy' 'Test result: SUCCESS'
        ;;
    esac
"#;

/// Every case of the test `many` ends its boot by doing `$END`.
const EVERY_CASE: &str = r#"
    last=$(expr "$module" : '.*many/>c\([0-9]*\)')
    head 1
    begin many $((CASES - ${last:-0}))
    $END
"#;

fn run(world: &World, more: &[&str], script: &str) -> Output {
    let options = ["run", "--jobs", "1", "--json=r.json", "--junit=r.xml", "--ktap=r.ktap"];
    let args = [&options[..], &["--html=r.html"], more].concat();
    world.script(&args, &format!("{WORDS}{script}"), "success.log")
}

/// The same for a test with so many cases, each of which does `end`.
fn run_many(world: &World, cases: usize, end: &str) -> Output {
    let names: Vec<String> = (1..=cases).map(|case| format!("\"c{case}\"")).collect();
    let meta = format!(
        "{{\"name\":\"many\",\"title\":\"A title\",\"category\":\"functional\",\
         \"environments\":[\"pv64\"],\"needs\":[],\"own_boot\":false,\"vcpus\":1,\
         \"timeout_s\":300,\"default\":true,\"cases\":[{}]}}\n",
        names.join(",")
    );
    world.image("xtf", ".xtf.meta", meta.as_bytes());
    run(world, &[], &format!("CASES={cases} END='{end}'\n{EVERY_CASE}"))
}

fn read(world: &World, name: &str) -> String {
    fs::read_to_string(world.path(name)).unwrap()
}

fn test_of(world: &World, name: &str) -> Value {
    let json: Value = serde_json::from_str(&read(world, "r.json")).unwrap();
    let tests = json["tests"].as_array().unwrap();
    tests.iter().find(|test| test["test"] == name).unwrap().clone()
}

/// The cases of a test, or of an attempt, with their verdicts.
fn verdicts(of: &Value) -> Vec<String> {
    let cases = of["cases"].as_array().unwrap().iter();
    cases.map(|case| format!("{} {}", case["name"], case["verdict"]).replace('"', "")).collect()
}

#[test]
fn two_deaths_in_a_test_cost_two_cases() {
    let world = World::new();
    let out = run(&world, &[], TWO_DEATHS);
    assert_eq!(out.code, 6, "{out:?}");
    for words in [
        "† list/a: Xen panicked: FATAL PAGE FAULT; step: first\n",
        "not run: 2 cases (list/b, get/c)\n",
        "args, went on in boot 3 behind list/a\n",
        "† list/b: the guest died: TRAP of the guest\n",
        "args, went on in boot 4 behind list/b\n",
        "4 boots, 3 tests; cases: 4 passed, 0 failed, 0 in error, 0 skipped, 0 deviations, \
         2 crashed or timed out\n",
    ] {
        assert!(out.stdout.contains(words), "«{words}» {out:?}");
    }
    assert_eq!(out.sums(), "2 passed, 1 failed, 0 skipped");
    // In the end, each death stands with its own evidence.
    let (_, end) = out.stdout.split_once("What went wrong").unwrap();
    let places =
        ["| (XEN) FATAL PAGE FAULT", "went on in boot 3", "# rax 0x7", "went on in boot 4"];
    let places = places.map(|words| end.find(words).unwrap_or_else(|| panic!("{words} {out:?}")));
    assert!(places.is_sorted(), "{out:?}");

    let args = test_of(&world, "args");
    assert_eq!(verdicts(&args), ["list/a CRASH", "list/b CRASH", "get/c SUCCESS"]);
    assert_eq!((&args["status"], &args["cause"]), (&"CRASH".into(), &"xen".into()));
    assert_eq!((&args["boot"], &args["not_run"]), (&1.into(), &Value::Null));
    assert_eq!(args["reasons"], Value::Null, "the cases say it");
    assert_eq!(args["went_on"][0]["behind"], "list/a");
    assert_eq!(args["went_on"][0]["diagnostics"][1], "rax 0x7");
    assert_eq!((&args["went_on"][1]["boot"], args["earlier"].is_null()), (&4.into(), true));
    let runner = fs::read_to_string(world.boot_dir("001-").join("runner.log")).unwrap();
    assert!(runner.ends_with("boot 3 goes on behind list/a\n"), "{runner}");
}

#[test]
fn a_death_is_known_by_its_case() {
    let world = World::new();
    let expect = |cases: &str| {
        let text = format!("[[expect]]\ntest = 'args/{cases}'\nstatus = 'CRASH'\nreason = 'x'\n");
        world.file("expectations.toml", &text);
        run(&world, &[], TWO_DEATHS)
    };
    let out = expect("list/a");
    assert_eq!(out.code, 6, "{out:?}");
    assert!(out.stdout.contains("1 crashed or timed out, 1 known\n"), "{out:?}");
    let out = expect("list/*");
    assert_eq!(out.code, 0, "{out:?}");
    assert!(out.stdout.contains("~ list/b: known CRASH, x (expectations.toml:1)"), "{out:?}");
    assert_eq!(out.sums(), "3 passed, 0 failed, 0 skipped");
}

/// Each attempt is a whole one.
#[test]
fn what_is_tried_again_is_tried_as_a_whole() {
    let world = World::new();
    let out = run(&world, &["--retries", "1"], TWO_DEATHS);
    assert_eq!(out.code, 6, "{out:?}");
    assert!(out.stdout.contains("7 boots, 3 tests"), "{out:?}");
    let args = test_of(&world, "args");
    assert_eq!(args["earlier"].as_array().unwrap().len(), 1);
    assert_eq!(verdicts(&args), verdicts(&args["earlier"][0]));
    assert_eq!(args["went_on"].as_array().unwrap().len(), 2);
    assert_eq!((&args["earlier"][0]["boot"], &args["boot"]), (&1.into(), &5.into()));
}

/// Whoever dies of everything is not booted for ever, and what is left is counted everywhere.
#[test]
fn there_is_an_end_to_it() {
    let world = World::new();
    let out = run_many(&world, 15, "xen_dies BUG");
    assert_eq!(out.code, 6, "{out:?}");
    let sums = "11 boots, 1 test; cases: 0 passed, 0 failed, 0 in error, 0 skipped, 0 deviations, \
                11 crashed or timed out, 4 not run\n";
    assert!(out.stdout.contains(sums), "{out:?}");
    assert!(out.stdout.contains("the rest is not run: 11 boots ended early\n"), "{out:?}");
    let many = test_of(&world, "many");
    assert_eq!(verdicts(&many).len(), 11);
    assert_eq!(many["not_run"].as_array().unwrap()[..], ["c12", "c13", "c14", "c15"]);
    let (junit, ktap) = (read(&world, "r.xml"), read(&world, "r.ktap"));
    assert_eq!(junit.matches("type=\"not run\"").count(), 4, "{junit}");
    assert_eq!(junit.matches("<testcase ").count(), 16, "{junit}");
    assert!(ktap.contains("    1..15\n") && ktap.contains("    not ok 15 c15 # ERROR "), "{ktap}");
    assert!(read(&world, "r.html").contains("0 of 15 cases, 4 not run"));
}

#[test]
fn hangs_are_waited_for_three_times() {
    let world = World::new();
    let path = world.path("xtf-runner.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(path, config + "[test.many]\ntimeout-s = 1\n").unwrap();
    let out = run_many(&world, 5, "wait_for_ever");
    assert_eq!(out.code, 7, "{out:?}");
    assert!(out.stdout.contains("the rest is not run: 3 cases had no result in time"), "{out:?}");
    let many = test_of(&world, "many");
    assert_eq!(verdicts(&many), ["c1 TIMEOUT", "c2 TIMEOUT", "c3 TIMEOUT"]);
    assert_eq!(many["not_run"].as_array().unwrap().len(), 2);
}

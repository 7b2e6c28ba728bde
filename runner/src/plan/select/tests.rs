use protocol::metadata::Need;

use super::*;
use crate::base::exit::Exit;

const ROLE: Role = Role::ControlDomain;

fn test(name: &str) -> TestMeta {
    TestMeta {
        cases: vec!["get/a".into(), "get/b".into(), "list/a".into()],
        ..TestMeta::named(name)
    }
}

fn tests() -> Vec<TestMeta> {
    let special = |name| TestMeta { category: Category::Special, default: false, ..test(name) };
    vec![
        TestMeta { category: Category::Utility, ..test("example") },
        test("lp-args"),
        TestMeta {
            environments: vec![Environment::Pv64],
            cases: vec!["x".into()],
            ..test("lp-pv")
        },
        special("lp-bad"),
        special("bad-hang"),
        TestMeta { environments: vec![Environment::Hvm64], ..test("big") },
        TestMeta { needs: vec![Need::Unprivileged], ..test("lp-priv") },
    ]
}

/// Selects with the words of one string; `--all` and `--env=` are as on a command line.
fn chosen(line: &str) -> Result<Vec<Selected>> {
    let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let all = words.iter().any(|word| word == "--all");
    let hvm = words.iter().any(|word| word == "--env=hvm64");
    words.retain(|word| !word.starts_with("--"));
    let environments: &[Environment] =
        if hvm { &[Environment::Hvm64] } else { &Environment::WIDE_DOM0 };
    select(&tests(), &Request { selectors: &words, exclude: &[], all, role: ROLE, environments })
}

/// Each selected test with its environments and, where they are not all, its cases.
fn shown(line: &str) -> String {
    let selected = chosen(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    let show = |test: &Selected| {
        let places = names(&test.test.environments, "+");
        let whole = test.selector == test.name();
        let cases = if whole { String::new() } else { format!("/{}", test.test.cases.join("+")) };
        format!("{}@{places}{cases}", test.name()).replace("@pv64+pvh64", "")
    };
    selected.iter().map(show).collect::<Vec<_>>().join(" ")
}

/// What the words of a selected test select is this test.
#[test]
fn a_test_can_be_selected_again_by_its_words() {
    for (line, words) in [
        ("lp-args", "lp-args"),
        ("!lp-pv", "example;lp-args"),
        ("lp-args/get/* lp-args/list/a pv64", "lp-args"),
        ("lp-args/get/* pv64", "lp-args/get/*"),
        ("lp-* !lp-args/get/b !lp-pv", "lp-args !lp-args/get/b"),
        ("lp-args/get/* !lp-args/get/b", "lp-args/get/* !lp-args/get/b"),
        ("test-pv64-lp-args/list/*", "lp-args/list/*"),
        ("bad-hang", "bad-hang"),
    ] {
        let selected = chosen(line).unwrap();
        let said: Vec<String> = selected.iter().map(|test| test.words().join(" ")).collect();
        assert_eq!(said.join(";"), words, "{line}");
        for (test, words) in selected.iter().zip(&said) {
            let again = chosen(words).unwrap();
            let again = again.iter().find(|again| again.name() == test.name()).unwrap();
            assert_eq!(again.test.cases, test.test.cases, "{words}");
        }
    }
}

#[track_caller]
fn refused(line: &str, why: &str) {
    let error = chosen(line).expect_err(line);
    assert_eq!(error.exit(), Exit::EmptySelection, "{line}: {error}");
    assert!(error.to_string().contains(why), "{line}: {error}");
}

#[test]
fn names_add_up() {
    assert_eq!(shown(""), "example lp-args lp-pv@pv64");
    assert_eq!(shown("lp-args"), "lp-args");
    assert_eq!(shown("lp-pv example"), "example lp-pv@pv64");
    assert_eq!(shown("lp-* example"), "example lp-args lp-pv@pv64");
    assert_eq!(shown("lp-args lp-*"), "lp-args lp-pv@pv64");
    assert_eq!(shown("?xample"), "example");
    assert_eq!(shown("lp-priv"), "lp-priv");
}

#[test]
fn special_tests_are_named_or_matched_alone() {
    assert_eq!(shown("lp-bad"), "lp-bad");
    assert_eq!(shown("*bad*"), "lp-bad bad-hang");
    assert_eq!(shown("*"), "example lp-args lp-pv@pv64");
    assert_eq!(shown("lp-* lp-bad"), "lp-args lp-pv@pv64 lp-bad");
    assert_eq!(shown("--all"), "example lp-args lp-pv@pv64 lp-bad bad-hang lp-priv");
    assert_eq!(shown("--all lp-*"), "lp-args lp-pv@pv64 lp-bad lp-priv");
    assert_eq!(shown("--all special"), "lp-bad bad-hang");
}

#[test]
fn a_role_has_its_own_defaults() {
    let tests = [
        TestMeta { needs: vec![Need::Privileged], ..test("control") },
        TestMeta { needs: vec![Need::Unprivileged], ..test("refused") },
    ];
    let names = |role| {
        let request = Request {
            selectors: &[],
            exclude: &[],
            all: false,
            role,
            environments: &[Environment::Pv64],
        };
        select(&tests, &request).unwrap()[0].selector.clone()
    };
    assert_eq!(names(Role::ControlDomain), "control");
    assert_eq!(names(Role::Unprivileged), "refused");
}

#[test]
fn categories_and_environments_narrow_down() {
    assert_eq!(shown("functional"), "lp-args lp-pv@pv64");
    assert_eq!(shown("functional utility"), "example lp-args lp-pv@pv64");
    assert_eq!(shown("special"), "lp-bad bad-hang");
    assert_eq!(shown("special functional"), "lp-args lp-pv@pv64 lp-bad bad-hang");
    assert_eq!(shown("lp-* special"), "lp-bad");
    assert_eq!(shown("pvh64"), "example@pvh64 lp-args@pvh64");
    assert_eq!(shown("pvh64 pv64 utility"), "example");
    assert_eq!(shown("lp-* pv64"), "lp-args@pv64 lp-pv@pv64");
    assert_eq!(shown("--env=hvm64"), "big@hvm64");
}

#[test]
fn xtfs_own_names() {
    assert_eq!(shown("test-pv64-lp-args"), "lp-args@pv64");
    assert_eq!(shown("test-pv64-lp-args test-pvh64-example"), "example@pvh64 lp-args@pv64");
    assert_eq!(shown("test-*-lp-args"), "lp-args");
    assert_eq!(shown("test-pvh64-*"), "example@pvh64 lp-args@pvh64");
    assert_eq!(shown("test-pv64-lp-args pvh64 example"), "example@pvh64");
}

#[test]
fn cases_are_selected_and_said_to_the_guest() {
    assert_eq!(shown("lp-args/get/*"), "lp-args/get/a+get/b");
    assert_eq!(shown("lp-args/list/a lp-args/get/a"), "lp-args/get/a+list/a");
    assert_eq!(shown("lp-args/*"), "lp-args");
    assert_eq!(shown("lp-args/get/* lp-args"), "lp-args");
    assert_eq!(shown("*/list/*"), "example/list/a lp-args/list/a");
    assert_eq!(shown("test-pv64-lp-args/get/a"), "lp-args@pv64/get/a");
    assert_eq!(
        shown("test-pv64-lp-args/get/a test-pvh64-lp-args"),
        "lp-args@pv64/get/a lp-args@pvh64"
    );
    assert_eq!(shown("lp-bad/get/a"), "lp-bad/get/a");

    for (line, word) in [
        ("lp-args/get/*", "lp-args/get/*"),
        ("lp-args/list/a lp-args/get/a", "lp-args/get/a,lp-args/list/a"),
        ("lp-args !*/?et/b", "lp-args/!?et/b"),
        ("lp-args/get/* !lp-args/*/b !lp-*/*/b", "lp-args/get/*,lp-args/!*/b"),
        ("lp-args !lp-pv/x", "lp-args"),
    ] {
        assert_eq!(chosen(line).unwrap()[0].selector, word, "{line}");
    }
}

#[test]
fn exclusions() {
    assert_eq!(shown("!lp-*"), "example");
    assert_eq!(shown("lp-* !lp-pv"), "lp-args");
    assert_eq!(shown("!utility"), "lp-args lp-pv@pv64");
    assert_eq!(shown("!pv64"), "example@pvh64 lp-args@pvh64");
    assert_eq!(shown("!test-pv64-example"), "example@pvh64 lp-args lp-pv@pv64");
    assert_eq!(shown("lp-args !*/get/*"), "lp-args/list/a");
    assert_eq!(shown("lp-args example !lp-args/*"), "example");
    let request = Request {
        selectors: &["lp-*".into()],
        exclude: &["lp-pv".into(), "pvh64".into()],
        all: false,
        role: ROLE,
        environments: &Environment::WIDE_DOM0,
    };
    assert_eq!(select(&tests(), &request).unwrap().len(), 1);
}

#[test]
fn what_means_nothing_gets_the_nearest_names() {
    refused("lp-arg", "there is no test `lp-arg`; did you mean lp-args");
    refused("lp-agrs/get/*", "there is no test `lp-agrs/get/*`; did you mean lp-args");
    refused("functoinal", "did you mean functional?");
    refused("pv46", "did you mean pv64");
    refused("hvm32", "did you mean hvm64?");
    refused("zz*", "no test matches `zz*`; see `xtf-runner list`");
    refused("exmapl*", "no test matches `exmapl*`; did you mean example?");
    refused("lp-args/list/b", "no case matches `lp-args/list/b`; did you mean lp-args/list/a");
    refused("lp-args/get", "did you mean lp-args/get/*?");
    refused("list/a", "a case is named TEST/CASE: did you mean example/list/a, lp-args/list/a");
    refused("test-pvh64-lp-pv", "`test-pvh64-lp-pv` runs as pv64, not as pvh64");
    refused("lp-args !lp-arsg", "there is no test `lp-arsg`; did you mean lp-args");
    refused("xsa", "no test has the category `xsa`");
}

#[test]
fn what_leaves_nothing_is_told() {
    refused("lp-args special", "no selected test has the category special: lp-args");
    refused("lp-pv pvh64", "no selected test supports pvh64: lp-pv");
    refused("hvm64", "hvm64 is not one of the environments of this run: pv64, pvh64");
    refused("big", "no selected test supports pv64 or pvh64: big");
    refused("lp-args !lp-args", "everything that was selected is excluded: lp-args");
    refused("lp-args !functional", "everything that was selected is excluded");
}

#[test]
fn a_line_too_long_for_a_guest_is_refused() {
    let cases: Vec<String> = (0..20).map(|i| format!("{i:0>60}")).collect();
    let words: Vec<String> = cases.iter().skip(1).map(|case| format!("long/{case}")).collect();
    let tests = [TestMeta { cases, ..test("long") }];
    let request = Request {
        selectors: &words,
        exclude: &[],
        all: false,
        role: ROLE,
        environments: &[Environment::Pv64],
    };
    let error = select(&tests, &request).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    assert!(error.to_string().contains("the selectors for cases of long take"), "{error}");
}

#[test]
fn a_test_goes_on_behind_a_case() {
    let cases = ["a/1", "a/2", "b"].map(String::from).to_vec();
    let whole = Selected::from(TestMeta { cases, ..TestMeta::named("t") });
    let rest = whole.behind("a/1").unwrap();
    assert_eq!(
        (rest.selector.as_str(), &rest.test.cases[..]),
        ("t,t/>a/1", &whole.test.cases[1..])
    );
    let last = rest.behind("a/2").unwrap();
    assert_eq!(
        (last.selector.as_str(), &last.test.cases[..]),
        ("t,t/>a/2", &whole.test.cases[2..])
    );
    assert!(last.behind("b").is_none() && whole.behind("gone").is_none());
}

#[test]
fn cases_by_their_numbers_in_the_image() {
    let cases = ["a", "b", "c", "d", "e", "f"].map(String::from).to_vec();
    let whole = TestMeta { cases, ..TestMeta::named("t") };
    // Of what was selected, whatever the image has besides.
    let test = TestMeta { cases: whole.cases[1..].to_vec(), ..whole.clone() };
    let selected = Selected { test, selector: "t/!a".into() };
    let only = |wanted: &[&str]| selected.only(&whole, &wanted.iter().copied().collect());
    assert_eq!(only(&["a", "b", "f"]).selector, "t/=22");
    assert_eq!(only(&["a", "b", "f"]).test.cases, ["b", "f"]);
    assert_eq!(only(&["c", "d"]).selector, "t/=c0");
}

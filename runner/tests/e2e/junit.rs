//! JUnit as CI systems read it: every rule of fixtures/junit-readers.toml, held against the report of a
//! run.

use std::collections::BTreeSet;
use std::fs;

use roxmltree::{Document, Node};
use serde::Deserialize;
use serde_json::Value;

use crate::abilities::for_both;

#[derive(Deserialize)]
struct Rules {
    rule: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    reader: String,
    source: String,
    #[serde(flatten)]
    kind: Kind,
}

/// What the kinds are is said in the file.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Kind {
    Names {
        of: Vec<Part>,
    },
    Identity {
        of: Vec<Part>,
        #[serde(default)]
        folded: bool,
    },
    Reason {
        of: Vec<String>,
        at: Vec<Place>,
    },
    Flaky {
        #[serde(default)]
        elements: Vec<String>,
        evidence: Option<String>,
    },
    Properties(bool),
    Stdout(usize),
    Limit(Limit),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    Suite,
    Package,
    Class,
    Name,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Place {
    Message,
    Text,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Limit {
    Bytes(usize),
    Cases(usize),
    Objects(usize),
    Text(usize),
}

fn named<'a>(node: Node<'a, 'a>, names: &[&str]) -> Vec<Node<'a, 'a>> {
    node.descendants().filter(|node| names.contains(&node.tag_name().name())).collect()
}

fn attribute(node: Node<'_, '_>, name: &str) -> String {
    node.attribute(name).unwrap_or_default().to_owned()
}

/// A result in a complaint.
fn told(node: Node<'_, '_>) -> String {
    format!("<{} message={:?}>", node.tag_name().name(), attribute(node, "message"))
}

/// Part of what a case is called. With a package, the class is what stands behind its last dot.
fn part(case: Node<'_, '_>, part: Part, with_package: bool) -> String {
    let class = attribute(case, "classname");
    let (package, simple) = class.rsplit_once('.').unwrap_or(("(root)", &class));
    match part {
        Part::Suite => attribute(case.parent().unwrap(), "name"),
        Part::Package => package.to_owned(),
        Part::Class if with_package => simple.to_owned(),
        Part::Class => class,
        Part::Name => attribute(case, "name"),
    }
}

/// What a reader of whom that is known makes of a report: the complaint, if it is not what happened.
fn complaint(kind: &Kind, xml: &str, results: &Value) -> Option<String> {
    let document = Document::parse(xml).unwrap();
    let root = document.root();
    let cases = named(root, &["testcase"]);
    let tests = results["tests"].as_array().unwrap();
    let failed = ["failure", "error"];
    match kind {
        Kind::Names { of } => {
            let package = of.iter().any(|part| matches!(part, Part::Package));
            let name = |case: &Node<'_, '_>| -> Vec<String> {
                of.iter().map(|&one| part(*case, one, package)).collect()
            };
            let groups: BTreeSet<Vec<String>> = cases.iter().map(name).collect();
            if groups.len() != tests.len() {
                return Some(format!("{} tests are {groups:?}", tests.len()));
            }
            let machine = |test: &Value| format!("{} {}", test["xen"], test["environment"]);
            let machines: BTreeSet<String> = tests.iter().map(machine).collect();
            let firsts: BTreeSet<&String> = groups.iter().map(|group| &group[0]).collect();
            if of.len() > 1 && firsts.len() != machines.len() {
                return Some(format!("{machines:?} are {firsts:?}"));
            }
            let names: BTreeSet<&str> =
                tests.iter().filter_map(|test| test["test"].as_str()).collect();
            let stray = groups.iter().find(|group| package && !names.contains(&*group[1]));
            stray.map(|group| format!("{group:?} is no test"))
        }
        Kind::Identity { of, folded } => {
            let mut seen = BTreeSet::new();
            let name = |case: &Node<'_, '_>| -> String {
                let name: Vec<String> = of.iter().map(|&one| part(*case, one, false)).collect();
                let fold = |c: char| if c.is_alphanumeric() || !folded { c } else { '_' };
                name.join("\n").chars().map(fold).collect()
            };
            let twice = cases.iter().map(name).find(|name| !seen.insert(name.clone()));
            twice.map(|name| format!("{name:?} is there twice"))
        }
        Kind::Reason { of, at } => {
            let of: Vec<&str> = of.iter().map(String::as_str).collect();
            let found = named(root, &of).into_iter().find(|result| {
                let places = at.iter().find_map(|place| match place {
                    Place::Message => result.attribute("message"),
                    Place::Text => result.text(),
                });
                !places.is_some_and(|text| {
                    text.contains(&attribute(*result, "message")) && !text.is_empty()
                })
            });
            found.map(|result| format!("nothing is shown of {}", told(result)))
        }
        Kind::Flaky { elements, evidence } => {
            let all = ["flakyFailure", "flakyError", "rerunFailure", "rerunError"];
            let attempts = named(root, &all);
            let hidden = attempts.iter().find(|attempt| {
                let parent = attempt.parent().unwrap();
                let bad = parent.children().any(|node| failed.contains(&node.tag_name().name()));
                if elements.is_empty() {
                    return bad;
                }
                let seen = elements.iter().any(|name| attempt.has_tag_name(&**name));
                let child = evidence.as_deref().map(|name| named(**attempt, &[name]));
                !seen || child.is_some_and(|all| all.iter().all(|one| one.text().is_none()))
            });
            let flaky = tests.iter().filter(|test| test["flaky"] == true);
            let earlier: usize = flaky.map(|test| test["earlier"].as_array().unwrap().len()).sum();
            match hidden {
                Some(attempt) => Some(format!("{} is not seen", told(*attempt))),
                None if attempts.len() != earlier => Some(format!("{earlier} attempts")),
                None => None,
            }
        }
        Kind::Properties(true) => None,
        Kind::Properties(false) => {
            let told = named(root, &["property"]).into_iter().find(|property| {
                let case = property.parent_element().and_then(|all| all.parent_element()).unwrap();
                let class = |case: &Node<'_, '_>| attribute(*case, "classname");
                let mut same = cases.iter().filter(|other| class(other) == class(&case));
                let fine = ["SUCCESS", "SKIP"].contains(&&*attribute(*property, "value"));
                let seen = same.any(|other| !named(*other, &failed).is_empty());
                attribute(*property, "name") == "status" && !fine && !seen
            });
            let value =
                |property| format!("only a property tells {}", attribute(property, "value"));
            told.map(value)
        }
        Kind::Stdout(kept) => {
            let passed = cases.iter().filter(|case| named(**case, &failed).is_empty());
            let outs = passed.flat_map(|case| named(*case, &["system-out"]));
            let mut lines = outs.flat_map(|out| out.text().unwrap_or_default().lines());
            lines.find(|line| line.len() > *kept).map(|line| format!("{line} is cut"))
        }
        Kind::Limit(limit) => {
            let objects = |node: Node<'_, '_>| 1 + node.attributes().len();
            let longest = || {
                let results = named(root, &failed).into_iter();
                results.map(|one| one.text().map_or(0, str::len)).max().unwrap_or_default()
            };
            let (most, is) = match limit {
                Limit::Bytes(most) => (most, xml.len()),
                Limit::Cases(most) => (most, cases.len()),
                Limit::Objects(most) => (most, root.descendants().map(objects).sum()),
                Limit::Text(most) => (most, longest()),
            };
            (is > *most).then(|| format!("{is} is more than {most}"))
        }
    }
}

fn rules() -> Vec<Rule> {
    let text = include_str!("../fixtures/junit-readers.toml");
    toml::from_str::<Rules>(text).unwrap().rule
}

/// A guest whose `args` dies with its Xen, or fails, at the first attempt or at each.
const GUEST: &str = r#"
say() { printf '%s\n' "$@"; }
case "$*" in *dom0=pvh*) env=PVH ;; *) env=PV ;; esac
key=$(basename "$PWD" | cut -d- -f2-)
say '--- Xen Test Framework ---' "Environment: $env 64bit" 'KTAP version 1' '1..1'
case $module in
*tests=example*)
    say '  KTAP version 1' '  # Subtest: example' '  1..2' '  ok 1 hello'
    say '  not ok 2 other # XFAIL xsa-0: old Xen' 'ok 1 example' 'Test result: SUCCESS' ;;
*tests=needy*)
    say 'ok 1 needy # SKIP not today' 'Test result: SKIP' ;;
*'>list/b'*)
    say '  KTAP version 1' '  # Subtest: args' '  1..1' '  ok 1 get/c' 'ok 1 args' 'Test result: SUCCESS' ;;
*)
    echo x >>"$PIPE.$key"
    again=$(wc -l <"$PIPE.$key")
    say '  KTAP version 1' '  # Subtest: args' '  1..3' '  ok 1 list/a'
    case "$key.$again" in
    *4.17*pv64*.1) say '(XEN) Panic on CPU 0:' '(XEN) FATAL PAGE FAULT' '(XEN) Reboot in five seconds...' ;;
    *4.20*pv64*.1 | *pvh64*)
        say '  # expected 1, got 2' '  not ok 2 list/b' '  ok 3 get/c' 'not ok 1 args'
        say 'Test result: FAILURE' ;;
    *) say '  ok 2 list/b' '  ok 3 get/c' 'ok 1 args' 'Test result: SUCCESS' ;;
    esac ;;
esac
"#;

#[test]
fn every_reader_sees_what_happened() {
    let world = for_both();
    // Two of them are one to who takes no dots.
    let builds = ["4.17.7", "4.20.4", "4_17_7"].map(|name| format!("./builds/{name}/xen"));
    for xen in &builds {
        fs::create_dir_all(world.path(xen).parent().unwrap()).unwrap();
        fs::copy(world.path("xen"), world.path(xen)).unwrap();
    }
    let options = ["run", "--jobs", "1", "--isolate", "--snapshot", "never", "--retries", "1"];
    let files = ["--json=r.json", "--junit=r.xml"];
    let xens = builds.iter().flat_map(|xen| ["--xen", xen]);
    let words: Vec<&str> = options.into_iter().chain(files).chain(xens).collect();
    let out = world.script(&words, GUEST, "success.log");
    assert_eq!(out.code, 5, "{out:?}");
    assert_eq!(out.sums(), "9 passed (2 flaky), 3 failed, 6 skipped", "{out:?}");

    let xml = fs::read_to_string(world.path("r.xml")).unwrap();
    let results = fs::read(world.path("r.json")).unwrap();
    let results: Value = serde_json::from_slice(&results).unwrap();
    let wrong = rules().into_iter().filter_map(|rule| {
        let why = complaint(&rule.kind, &xml, &results)?;
        Some(format!("{}: {why} ({})", rule.reader, rule.source))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}\n{xml}", wrong.join("\n"));
}

/// For each kind of rule, a report that breaks it.
#[test]
fn a_reader_who_is_misled_is_found() {
    let results = serde_json::json!({ "tests": [
        { "xen": "4.17", "environment": "pv64", "test": "a", "flaky": true, "earlier": [{}] },
    ] });
    for (rule, inside, why) in [
        (
            "names = { of = ['package', 'class'] }",
            "<testcase classname='4.17' name='x'/>",
            "no test",
        ),
        (
            "names = { of = ['class'] }",
            "<testcase classname='p.a' name='x'/><testcase classname='q.a' name='x'/>",
            "1 tests are",
        ),
        (
            "identity = { of = ['class', 'name'], folded = true }",
            "<testcase classname='p.a' name='x/y'/><testcase classname='p.a' name='x_y'/>",
            "twice",
        ),
        (
            "reason = { of = ['error'], at = ['text'] }",
            "<testcase><error message='why'>x</error></testcase>",
            "nothing is shown",
        ),
        (
            "flaky = { elements = ['flakyFailure'] }",
            "<testcase><flakyError/></testcase>",
            "is not seen",
        ),
        (
            "flaky = { elements = ['flakyFailure'], evidence = 'stackTrace' }",
            "<testcase><flakyFailure>seen</flakyFailure></testcase>",
            "is not seen",
        ),
        ("flaky = {}", "<testcase><flakyFailure/><error/></testcase>", "is not seen"),
        ("flaky = {}", "<testcase/>", "1 attempts"),
        (
            "properties = false",
            "<testcase><properties><property name='status' value='CRASH'/></properties></testcase>",
            "only a property",
        ),
        ("stdout = 3", "<testcase><system-out>long</system-out></testcase>", "is cut"),
        ("limit = { cases = 0 }", "<testcase/>", "1 is more than 0"),
        ("limit = { objects = 1 }", "<testcase/>", "is more than 1"),
        ("limit = { bytes = 9 }", "<testcase/>", "is more than 9"),
        ("limit = { text = 3 }", "<testcase><error>four</error></testcase>", "4 is more than 3"),
    ] {
        let rule = toml::from_str::<Rule>(&format!("reader = ''\nsource = ''\n{rule}")).unwrap();
        let xml = format!("<testsuite name='4.17/pv64'>{inside}</testsuite>");
        let told = complaint(&rule.kind, &xml, &results).unwrap_or_default();
        assert!(told.contains(why), "{inside}: {told}");
    }
}

//! How real Xens ended (`runner/tests/endings/`), and what the judge makes of each.

use std::fs;
use std::path::{Path, PathBuf};

use expect_test::expect_file;

use super::super::grammar::{self, Depth, Token};
use super::super::splitter::Splitter;
use super::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/endings")
}

/// The recordings, by name.
pub(super) fn recordings() -> Vec<PathBuf> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut logs: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    logs.sort();
    logs
}

/// The environment that the guest names, and the test that was under way: with the cases that were
/// reported, and names for the others that it had.
fn under_way(console: &[u8]) -> (&'static str, PlannedTest) {
    let mut environment = "PV 64bit";
    let mut test = PlannedTest { name: "example".into(), cases: Vec::new() };
    let mut planned = 0;
    let mut splitter = Splitter::default();
    splitter.feed(console, |line| match grammar::parse(&line.text) {
        Token::Environment(name) if name.starts_with("PVH") => environment = "PVH 64bit",
        Token::Subtest(name) => test.name = name.into(),
        Token::Plan(Depth::Case, count) => planned = count,
        Token::Result(Depth::Case, _, name, _) => test.cases.push(name.into()),
        _ => {}
    });
    let rest = test.cases.len() + 1..=planned;
    test.cases.extend(rest.map(|number| format!("case-{number}")));
    (environment, test)
}

/// What the judge says of a console, as text.
fn judged(console: &[u8]) -> String {
    let (environment, test) = under_way(console);
    let mut judge = Judge::new(environment, vec![test]);
    let mut vitals = Vitals::Alive;
    let mut signs = String::new();
    for (number, line) in console.split_inclusive(|&byte| byte == b'\n').enumerate() {
        judge.feed(line, Duration::ZERO, |_| {});
        if judge.vitals() > vitals {
            vitals = judge.vitals();
            let line = String::from_utf8_lossy(line);
            signs += &format!("{vitals:?} at line {}: {}\n", number + 1, line.trim_end());
        }
    }
    let judgement = judge.finish(End::Exited, Duration::ZERO, |_| {});
    let [report] = &judgement.settled[..] else { panic!("one test is to blame: {judgement:?}") };
    let mut text = format!("status: {}, ended by {:?}\n", report.status, judgement.ended_by);
    let case = judgement.ended_in.as_ref().map_or("none", |place| &place.case);
    let before = report.cases.len() - usize::from(judgement.ended_in.is_some());
    text += &format!("test: {}, {before} cases, then {case}\n", report.name);
    report.told().iter().for_each(|why| text += &format!("reason: {why}\n"));
    text += &signs;
    text += "quotation:\n";
    report.xen_words.iter().for_each(|line| text += &format!("    {line}\n"));
    text
}

#[test]
fn real_endings_are_told_apart() {
    let logs = recordings();
    assert!(!logs.is_empty());
    for log in logs {
        let text = judged(&fs::read(&log).unwrap());
        expect_file![log.with_extension("expected")].assert_eq(&text);
    }
}

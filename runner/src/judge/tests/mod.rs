//! Tests of the judge with recorded and with malformed consoles.

mod command_line;
mod ends;
mod fuzz;
mod hearing;
mod inability;
mod losses;
mod protocol;
mod recordings;

use std::time::Duration;

use super::line::MAX_DIAGNOSTICS;
use super::state::MAX_VIOLATIONS;
use super::*;
use crate::base::status::Status;

fn expected(tests: &[(&str, &[&str])]) -> Vec<PlannedTest> {
    tests
        .iter()
        .map(|(name, cases)| PlannedTest {
            name: (*name).into(),
            cases: cases.iter().map(|case| (*case).into()).collect(),
        })
        .collect()
}

/// The three tests of most fixtures.
fn three() -> Vec<PlannedTest> {
    expected(&[
        ("example", &["hello", "other"]),
        ("args", &["list/a", "list/b", "get/c"]),
        ("needy", &["x"]),
    ])
}

fn judge_as(
    environment: &'static str,
    tests: Vec<PlannedTest>,
    console: &[u8],
    end: End,
) -> Judgement {
    let mut judge = Judge::new(environment, tests);
    judge.feed(console, Duration::from_millis(1), |_| {});
    judge.finish(end, Duration::from_millis(2), |_| {})
}

fn judge(console: &str) -> Judgement {
    judge_as("PV 64bit", three(), console.as_bytes(), End::Exited)
}

fn report<'a>(judgement: &'a Judgement, name: &str) -> &'a TestReport {
    judgement.settled.iter().find(|report| report.name == name).unwrap()
}

fn statuses(judgement: &Judgement) -> Vec<(&str, Status)> {
    judgement.settled.iter().map(|report| (report.name.as_str(), report.status)).collect()
}

const GOOD: &str = include_str!("../../../tests/fixtures/good.log");

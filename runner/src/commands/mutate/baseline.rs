//! What the tests say of a Xen that nobody broke, and how long that takes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use protocol::metadata::Environment;

use crate::base::status::Status;
use crate::judge::{TestReport, Verdict};
use crate::plan::select::Selected;
use crate::results::event::{Listener, RunEvent};

/// How many times as long as on Xen itself a mutant may take for something.
const PATIENCE: u32 = 5;
/// It may take this long in any case: the machine has other things to do, too.
const LEAST_TIMEOUT: Duration = Duration::from_secs(5);

/// Drawn from the events of an ordinary run, whose boots have the numbers of the plan, from 1 on.
#[derive(Debug, Default)]
pub struct Baseline {
    statuses: HashMap<String, Status>,
    /// By environment and name.
    tests: HashMap<Environment, HashMap<String, Times>>,
    slowest_start: Duration,
    /// When each boot began that has not come to its first test.
    starting: HashMap<usize, Instant>,
    boots: HashMap<usize, Witnessed>,
}

/// How long each case took.
type Times = HashMap<String, Duration>;

/// A boot on Xen itself.
#[derive(Debug, Default)]
pub struct Witnessed {
    /// Its folder.
    pub dir: PathBuf,
    /// The tests that began, in order, each with its cases.
    pub tests: Vec<(String, Vec<String>)>,
}

impl Baseline {
    /// Time for a mutant to reach its first test.
    pub fn start_timeout(&self) -> Duration {
        patience(self.slowest_start)
    }

    /// Time for a test on a mutant.
    pub fn test_timeout(&self, environment: Environment, test: &Selected) -> Duration {
        patience(test.test.cases.iter().map(|case| self.time(environment, test.name(), case)).sum())
    }

    /// How long it took from power on to the first test, at most.
    pub fn start(&self) -> Duration {
        self.slowest_start
    }

    /// How long a case took.
    pub fn time(&self, environment: Environment, test: &str, case: &str) -> Duration {
        let times = self.times(environment, test);
        times.and_then(|times| times.get(case)).copied().unwrap_or_default()
    }

    fn times(&self, environment: Environment, test: &str) -> Option<&Times> {
        self.tests.get(&environment)?.get(test)
    }

    /// The boot with the place `index` in the plan.
    pub fn boot(&self, index: usize) -> Option<&Witnessed> {
        self.boots.get(&(index + 1))
    }

    /// What `report` says that was not so before; nothing of it bad.
    pub fn differences(&self, environment: Environment, report: &TestReport) -> Vec<String> {
        // What fewer cases come to together, was never said.
        let before = self.times(environment, &report.name).map_or(0, Times::len);
        let part = !report.cases.is_empty() && report.cases.len() < before;
        statements(environment, report)
            .into_iter()
            .skip(usize::from(part))
            .filter(|(what, status)| self.statuses.get(what) != Some(status))
            .map(|(what, status)| format!("{what}: {status}"))
            .collect()
    }
}

#[cfg(test)]
impl Baseline {
    /// The cases of `test` took that long.
    pub fn learn(&mut self, environment: Environment, test: &str, cases: &[(&str, Duration)]) {
        let cases = cases.iter().map(|(case, time)| ((*case).to_owned(), *time));
        self.tests.entry(environment).or_default().insert(test.into(), cases.collect());
    }

    /// To begin took that long.
    pub fn learn_start(&mut self, time: Duration) {
        self.slowest_start = time;
    }
}

impl Listener for Baseline {
    fn event(&mut self, event: &RunEvent<'_>) {
        match event {
            RunEvent::BootStarted { boot, facts, .. } => {
                self.starting.insert(*boot, Instant::now());
                let dir = facts.logs.to_owned();
                self.boots.insert(*boot, Witnessed { dir, tests: Vec::new() });
            }
            RunEvent::TestStarted { boot, .. } => {
                let start = self.starting.remove(boot).map_or(Duration::ZERO, |s| s.elapsed());
                self.slowest_start = self.slowest_start.max(start);
            }
            RunEvent::TestSettled { boot, outcome } => {
                let report = &outcome.report;
                let cases = report.cases.iter().map(|case| (case.name.clone(), case.elapsed));
                let tests = self.tests.entry(outcome.environment).or_default();
                tests.insert(report.name.clone(), cases.collect());
                self.statuses.extend(statements(outcome.environment, report));
                if report.began {
                    let cases = report.cases.iter().map(|case| case.name.clone()).collect();
                    let tests = &mut self.boots.entry(*boot).or_default().tests;
                    tests.push((report.name.clone(), cases));
                }
            }
            _ => {}
        }
    }
}

/// How long a mutant may take for what takes Xen itself `time`.
fn patience(time: Duration) -> Duration {
    (time * PATIENCE).max(LEAST_TIMEOUT)
}

/// Everything that a test said, each with its status.
fn statements(environment: Environment, report: &TestReport) -> Vec<(String, Status)> {
    let test = format!("{} {}", environment.name(), report.name);
    let mut all = vec![(test.clone(), report.status)];
    for case in &report.cases {
        let tolerated = matches!(case.verdict, Verdict::Deviation(_));
        let word = if tolerated { " (tolerated)" } else { "" };
        all.push((format!("{test} {}{word}", case.name), case.verdict.status()));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::CaseReport;
    use crate::results::event::SettledTest;
    use crate::results::expect::{Expectations, Subject};

    fn report(cases: &[(&str, Verdict)], status: Status) -> TestReport {
        let case = |(name, verdict): &(&str, Verdict)| CaseReport {
            name: (*name).into(),
            verdict: verdict.clone(),
            diagnostics: Vec::new(),
            elapsed: Duration::ZERO,
        };
        TestReport {
            cases: cases.iter().map(case).collect(),
            began: true,
            ..TestReport::new("t", status)
        }
    }

    #[test]
    fn a_quiet_difference_is_told() {
        let environment = Environment::Pv64;
        let mut baseline = Baseline::default();
        let cases = [("a", Verdict::Success), ("b", Verdict::Success)];
        let before = report(&cases, Status::Success);
        let subject = Subject { xen: "x", version: None, environment };
        let outcome = SettledTest {
            xen: "x".into(),
            environment,
            weighed: Expectations::default().weigh(&before, subject),
            report: before,
            flaky: false,
            evidence: Vec::new(),
            attempt: 1,
            again: false,
            amended: false,
            index: 0,
        };
        baseline.event(&RunEvent::TestSettled { boot: 1, outcome: &outcome });
        assert_eq!(baseline.differences(environment, &outcome.report), [""; 0]);

        let skipped = [("a", Verdict::Success), ("b", Verdict::Skip("why".into()))];
        assert_eq!(
            baseline.differences(environment, &report(&skipped, Status::Success)),
            ["pv64 t b: SKIP"]
        );
        let tolerated = [("a", Verdict::Deviation("id: why".into())), cases[1].clone()];
        assert_eq!(
            baseline.differences(environment, &report(&tolerated, Status::Success)),
            ["pv64 t a (tolerated): SUCCESS"]
        );
        assert_eq!(baseline.differences(environment, &report(&[], Status::Skip)), ["pv64 t: SKIP"]);
        // With a case alone, the whole test is skipped with it.
        let alone = report(&skipped[1..], Status::Skip);
        assert_eq!(baseline.differences(environment, &alone), ["pv64 t b: SKIP"]);
    }
}

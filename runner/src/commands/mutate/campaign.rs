//! Runs the tests on mutant after mutant, several at a time.
//!
//! Each worker is a thread that starts its own QEMUs, which die with it. The tests that killed the
//! last mutants of a function run first on the next one, and the first failing case ends a mutant.
//! Mutants leave no logs: `--only` repeats one with all of them.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use protocol::metadata::Environment;

use super::journal::{Fate, Killer, SettledMutant};
use super::sites::Site;
use crate::base::exit::{Error, IoContext, Result};
use crate::base::signals::StopSignal;
use crate::base::status::Status;
use crate::judge::{Judge, TestReport, Verdict};
use crate::machine::Boot;
use crate::machine::boot::Limits;
use crate::machine::testbed::Testbed;
use crate::machine::trial::Trial;
use crate::results::event::{Listener, RunEvent};
use crate::xen::hypervisor::XenFile;
use crate::xen::symbols::BootXen;

/// How many times as long as on Xen itself a mutant may take for something.
const PATIENCE: u32 = 5;
/// It may take this long in any case: the machine has other things to do, too.
const LEAST_TIMEOUT: Duration = Duration::from_secs(5);

/// What the tests say of a Xen that nobody broke.
#[derive(Debug, Default)]
pub struct Baseline {
    statuses: HashMap<String, Status>,
    /// By environment and name.
    tests: HashMap<(Environment, String), Duration>,
    slowest_start: Duration,
    /// When each boot began that has not come to its first test.
    starting: HashMap<usize, Instant>,
}

impl Baseline {
    /// Time for a mutant to reach its first test.
    fn start_timeout(&self) -> Duration {
        patience(self.slowest_start)
    }

    /// Time for the test `name` on a mutant.
    fn test_timeout(&self, environment: Environment, name: &str) -> Duration {
        let known = self.tests.get(&(environment, name.to_owned()));
        patience(known.copied().unwrap_or_default())
    }

    /// What `report` says that was not so before; nothing of it bad.
    fn differences(&self, environment: Environment, report: &TestReport) -> Vec<String> {
        statements(environment, report)
            .into_iter()
            .filter(|(what, status)| self.statuses.get(what) != Some(status))
            .map(|(what, status)| format!("{what}: {status}"))
            .collect()
    }
}

/// A baseline is drawn from the events of an ordinary run.
impl Listener for Baseline {
    fn event(&mut self, event: &RunEvent<'_>) {
        match event {
            RunEvent::BootStarted { boot, .. } => {
                self.starting.insert(*boot, Instant::now());
            }
            RunEvent::TestStarted { boot, .. } => {
                let start = self.starting.remove(boot).map_or(Duration::ZERO, |s| s.elapsed());
                self.slowest_start = self.slowest_start.max(start);
            }
            RunEvent::TestSettled { outcome, .. } => {
                let test = (outcome.environment, outcome.report.name.clone());
                self.tests.insert(test, outcome.report.elapsed);
                self.statuses.extend(statements(outcome.environment, &outcome.report));
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

/// What to run on each mutant, and how.
pub struct Campaign<'a> {
    /// The Xen to break, the image with the tests, and how to boot.
    pub rig: &'a Testbed,
    /// The Xen's content.
    pub binary: &'a BootXen,
    /// The boots that run the tests.
    pub boots: &'a [Boot<'a>],
    /// What the tests say of Xen itself.
    pub baseline: &'a Baseline,
    /// Time for each test, instead of what the baseline says.
    pub timeout: Option<Duration>,
    /// Whether the user wants it to end.
    pub stop: &'a StopSignal,
}

impl Campaign<'_> {
    /// Settles the mutants of `sites`, `jobs` at a time, and tells `settled` of each as it comes.
    pub fn run(
        &self,
        sites: &[&Site<'_>],
        jobs: NonZeroUsize,
        mut settled: impl FnMut(SettledMutant) -> Result<()>,
    ) -> Result<()> {
        let next = AtomicUsize::new(0);
        let experience = Experience::default();
        thread::scope(|scope| {
            let (sender, findings) = mpsc::channel();
            for _ in 0..jobs.get().min(sites.len()) {
                let (sender, next, experience) = (sender.clone(), &next, &experience);
                scope.spawn(move || {
                    while let Some(site) = sites.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let finding = match self.settle(site, experience) {
                            Ok(Some(finding)) => Ok(finding),
                            Ok(None) => return,
                            Err(error) => Err(error),
                        };
                        // Nobody listens any more after the first error.
                        if sender.send(finding).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            findings.into_iter().try_for_each(|finding| settled(finding?))
        })
    }

    /// Settles the mutant of `site`; `None` if the user stops it.
    fn settle(&self, site: &Site<'_>, experience: &Experience) -> Result<Option<SettledMutant>> {
        let start = Instant::now();
        let dir = tempfile::tempdir().map_err(|source| Error::Io {
            what: "cannot create a folder for a mutant".into(),
            source,
        })?;
        let elf = dir.path().join("mutant");
        let bytes = self.binary.inverted(site.opcode).ok_or_else(|| {
            let xen = &self.rig.on.xen.name;
            Error::Data(format!("the file of Xen {xen} ends before {}", site.name()))
        })?;
        fs::write(&elf, bytes).io("write", &elf)?;
        let mutant = self.rig.on.with(XenFile::file(elf, site.name()));

        let mut differences = Vec::new();
        let mut verdict = None;
        let mut boots = 0;
        let order = experience.order(self.boots, site.function.address);
        for (index, boot) in order {
            let of_test = |name: &str| {
                let usual = || self.baseline.test_timeout(boot.environment, name);
                self.timeout.unwrap_or_else(usual)
            };
            let start = self.timeout.unwrap_or_else(|| self.baseline.start_timeout());
            let limits = Limits { enough: &Judge::is_failing, ..Limits::new(start, &of_test) };
            let image = &self.rig.image.path;
            let trial = Trial { image, limits: &limits, stop: self.stop };
            let (folder, boot) = (dir.path().join(index.to_string()), boot.on(&mutant));
            let result = trial.boot(folder, &self.rig.dom0(), &boot, &mut |_| {})?.result;
            if self.stop.requested().is_some() {
                return Ok(None);
            }
            if let Some(failure) = result.tool_failure
                && failure.at_start
            {
                return Err(Error::Tool(failure.what));
            }
            boots += 1;
            let reports = &result.judgement.settled;
            if let Some(report) = reports.iter().find(|report| report.status.is_bad()) {
                experience.killed_by(site.function.address, index, &report.name);
                verdict = Some(Fate::Killed { killer: killer(boot.environment, report) });
                break;
            }
            differences.extend(
                reports.iter().flat_map(|r| self.baseline.differences(boot.environment, r)),
            );
        }
        let verdict = verdict.unwrap_or(Fate::Survived { differences });
        let milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (address, site) = (site.address, site.name());
        Ok(Some(SettledMutant { address, site, verdict, boots, milliseconds }))
    }
}

/// Who killed, and how, from the bad report of a test.
fn killer(environment: Environment, report: &TestReport) -> Killer {
    let bad = report.cases.iter().find(|case| case.verdict.status().is_bad());
    let mut reasons = Vec::new();
    if let Some(case) = bad {
        reasons.extend(case.verdict.why().map(str::to_owned));
        reasons.extend(case.diagnostics.iter().cloned());
    }
    reasons.extend(report.reasons.iter().cloned());
    Killer {
        environment,
        test: report.name.clone(),
        case: bad.map(|case| case.name.clone()),
        status: report.status,
        reason: reasons.join("; "),
    }
}

/// What has killed mutants of which function so far.
///
/// What notices one broken branch is likely to notice the next one.
#[derive(Debug, Default)]
struct Experience {
    /// By function: tests with the index of their boot, the last killer first.
    killers: Mutex<HashMap<u64, Vec<(usize, String)>>>,
}

impl Experience {
    fn killed_by(&self, function: u64, boot: usize, test: &str) {
        let mut killers = self.killers.lock().unwrap_or_else(PoisonError::into_inner);
        let killers = killers.entry(function).or_default();
        killers.retain(|(other, name)| (*other, name.as_str()) != (boot, test));
        killers.insert(0, (boot, test.to_owned()));
    }

    /// `boots` with their indices: environments as they come, and in each the likeliest killers
    /// first.
    fn order<'a>(&self, boots: &[Boot<'a>], function: u64) -> Vec<(usize, Boot<'a>)> {
        let killers = self.killers.lock().unwrap_or_else(PoisonError::into_inner);
        let killers = killers.get(&function).map(Vec::as_slice).unwrap_or_default();
        let rank = |fits: &dyn Fn(&(usize, String)) -> bool| {
            killers.iter().position(fits).unwrap_or(usize::MAX)
        };
        let mut order: Vec<(usize, Boot<'a>)> = boots.iter().cloned().enumerate().collect();
        for (index, boot) in &mut order {
            boot.tests.sort_by_key(|test| {
                rank(&|(other, name)| (*other, name.as_str()) == (*index, test.name()))
            });
        }
        order.sort_by_key(|(index, boot)| {
            let environment = boots.iter().position(|other| other.environment == boot.environment);
            let cases: usize = boot.tests.iter().map(|test| test.test.cases.len()).sum();
            (environment, rank(&|(other, _)| other == index), Reverse(cases))
        });
        order
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::ops::Range;

    use super::*;
    use crate::image::TestMeta;
    use crate::judge::CaseReport;
    use crate::plan::config::Hypervisor;
    use crate::plan::select::Selected;
    use crate::plan::spec::MachineSpec;
    use crate::results::event::SettledTest;
    use crate::results::expect::{Expectations, Subject};
    use crate::xen::hypervisor::XenUnderTest;

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
    }

    #[test]
    fn likely_killers_come_first_but_environments_stay_in_order() {
        let tests = ["a", "b", "c", "d"];
        let test = |name| TestMeta { cases: vec!["c".into()], ..TestMeta::named(name) };
        let tests = tests.map(test).map(Selected::from);
        let machine = MachineSpec::default;
        let xen = XenUnderTest::new(&Hypervisor::elsewhere("xen"), None);
        let boot = |environment, range: Range<usize>| Boot {
            xen: &xen,
            environment,
            machine: machine(),
            tests: tests[range].iter().map(Cow::Borrowed).collect(),
        };
        let boots = [
            boot(Environment::Pv64, 0..1),
            boot(Environment::Pv64, 1..4),
            boot(Environment::Pvh64, 1..4),
        ];
        let experience = Experience::default();
        let order = |function| {
            let order = experience.order(&boots, function).into_iter();
            let names = |(index, boot): (usize, Boot<'_>)| {
                let names = boot.tests.iter().map(|test| test.name());
                format!("{index} {}", names.collect::<String>())
            };
            order.map(names).collect::<Vec<_>>()
        };
        assert_eq!(order(7), ["1 bcd", "0 a", "2 bcd"]);
        experience.killed_by(7, 1, "b");
        experience.killed_by(7, 0, "a");
        experience.killed_by(7, 2, "d");
        assert_eq!(order(7), ["0 a", "1 bcd", "2 dbc"]);
        experience.killed_by(7, 1, "c");
        assert_eq!(order(7), ["1 cbd", "0 a", "2 dbc"]);
        experience.killed_by(7, 1, "b");
        assert_eq!(order(7), ["1 bcd", "0 a", "2 dbc"]);
        assert_eq!(order(8), ["1 bcd", "0 a", "2 bcd"]);
    }
}

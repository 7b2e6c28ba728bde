//! Runs the tests on mutant after mutant, several at a time.
//!
//! Each worker is a thread that starts its own QEMUs, which die with it. The first failing case ends
//! a mutant. Mutants leave no logs: `--only` repeats one with all of them.

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use protocol::metadata::Environment;

use super::agenda::{Agenda, Experience, Known, Step};
use super::journal::{Fate, Killer, SettledMutant};
use super::saved::Saved;
use super::sites::Site;
use crate::base::exit::{Error, IoContext, Result};
use crate::base::signals::StopSignal;
use crate::judge::{Cause, Judge, Judgement, TestReport};
use crate::machine::boot::Limits;
use crate::machine::testbed::Testbed;
use crate::machine::trial::Trial;
use crate::plan::select::Selected;
use crate::xen::hypervisor::{XenFile, XenUnderTest};
use crate::xen::symbols::BootXen;

/// So often QEMU may end by itself with a mutant before that is the mutant's result.
const ATTEMPTS: u32 = 3;

/// What to run on each mutant, and how.
pub struct Campaign<'a> {
    /// The Xen to break, and how to boot.
    pub rig: &'a Testbed,
    /// The image with the tests, for each boot.
    pub images: &'a [PathBuf],
    /// The Xen's content.
    pub binary: &'a BootXen,
    /// All sites, by their [ids](super::sites::Id).
    pub sites: &'a [&'a Site<'a>],
    /// What runs on which mutant.
    pub agenda: Agenda<'a>,
    /// The saved machines.
    pub saved: &'a Saved<'a>,
    /// Time for each test, instead of what the baseline says.
    pub timeout: Option<Duration>,
    /// Whether the user wants it to end.
    pub stop: &'a StopSignal,
}

impl Campaign<'_> {
    /// Settles the mutants of `todo`, `jobs` at a time, and tells `settled` of each as it comes.
    pub fn run(
        &self,
        todo: &[&Site<'_>],
        jobs: NonZeroUsize,
        mut settled: impl FnMut(SettledMutant) -> Result<()>,
    ) -> Result<()> {
        // What takes longest comes first, so that all workers end at about the same time.
        let mut todo: Vec<(usize, &Site<'_>)> =
            todo.iter().filter_map(|site| Some((self.number(site)?, *site))).collect();
        todo.sort_by_cached_key(|(number, _)| Reverse(self.agenda.time(*number)));
        let next = AtomicUsize::new(0);
        let experience = Experience::default();
        thread::scope(|scope| {
            let (sender, findings) = mpsc::channel();
            for _ in 0..jobs.get().min(todo.len()) {
                let (sender, next, experience, todo) = (sender.clone(), &next, &experience, &todo);
                scope.spawn(move || {
                    while let Some((number, site)) = todo.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        let finding = match self.settle(*number, site, experience) {
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

    /// The number of `site` among all.
    fn number(&self, site: &Site<'_>) -> Option<usize> {
        self.sites.binary_search_by_key(&site.id(), |site| site.id()).ok()
    }

    /// Settles the mutant of `site`; `None` if the user stops it.
    fn settle(
        &self,
        number: usize,
        site: &Site<'_>,
        experience: &Experience,
    ) -> Result<Option<SettledMutant>> {
        let start = Instant::now();
        let dir = tempfile::tempdir().map_err(|source| Error::Io {
            what: "cannot create a folder for a mutant".into(),
            source,
        })?;
        let mutant =
            Mutant { campaign: self, number, site, dir: dir.path(), cold: OnceCell::new() };
        let function = site.function.address;
        let mut differences = Vec::new();
        let mut verdict = None;
        let (mut boots, mut failures) = (0, 0);
        let steps = self.agenda.of(number, &experience.of(function));
        let (patched, steps): (Vec<Step<'_>>, Vec<Step<'_>>) =
            steps.into_iter().partition(|step| self.is_patched(step, number));
        'boots: for step in steps {
            let judgement = loop {
                let Some((judgement, failure)) = mutant.boot(&step, boots)? else {
                    return Ok(None);
                };
                boots += 1;
                failures += u32::from(failure.is_some());
                match failure {
                    Some(why) if failures == ATTEMPTS => {
                        verdict = Some(Fate::Undecided { why });
                        break 'boots;
                    }
                    Some(_) => {}
                    None => break judgement,
                }
            };
            let (environment, reports) = (step.boot.environment, &judgement.settled);
            if let Some(report) = reports.iter().find(|report| report.status.is_bad()) {
                let killer = killer(environment, report);
                let (test, case) = (killer.test.clone(), killer.case.clone());
                experience.add(function, Known { index: step.index, test, case });
                verdict = Some(Fate::Killed { killer });
                break;
            }
            let baseline = self.agenda.baseline;
            let new = reports.iter().flat_map(|report| baseline.differences(environment, report));
            for difference in new {
                if !differences.contains(&difference) {
                    differences.push(difference);
                }
            }
        }
        let survived = || match (boots, patched.is_empty()) {
            (0, true) => Fate::NotReached,
            (0, false) => Fate::Patched,
            _ => Fate::Survived { differences },
        };
        let verdict = verdict.unwrap_or_else(survived);
        let milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (id, operator, site) = (site.id(), site.mutation.operator, site.name());
        Ok(Some(SettledMutant { id, operator, site, verdict, boots, milliseconds }))
    }

    /// Whether in that boot Xen has replaced the site by the time that the tests come to it. What
    /// Xen's own boot executes was executed as it is in the file.
    fn is_patched(&self, step: &Step<'_>, number: usize) -> bool {
        let by_xen = || self.agenda.reach.is_none_or(|reach| reach[step.index].by_xen(number));
        self.saved.differs(step.index, number) && !by_xen()
    }
}

/// A Xen with a broken instruction.
struct Mutant<'m> {
    campaign: &'m Campaign<'m>,
    number: usize,
    site: &'m Site<'m>,
    /// Its folder.
    dir: &'m Path,
    /// The same as a file, once it is needed.
    cold: OnceCell<XenUnderTest>,
}

impl Mutant<'_> {
    /// Boots it for the `number`th time; `None` if the user stops it. What QEMU did by itself says
    /// nothing about Xen, and comes with the judgement.
    fn boot(&self, step: &Step<'_>, number: usize) -> Result<Option<(Judgement, Option<String>)>> {
        let Campaign { rig, agenda, saved, timeout, stop, images, .. } = *self.campaign;
        let of_test = |name: &str| {
            let test = step.boot.tests.iter().find(|test| test.name() == name);
            let usual = |test: &Selected| agenda.baseline.test_timeout(step.boot.environment, test);
            timeout.or_else(|| test.map(|test| usual(test))).unwrap_or_default()
        };
        let start = timeout.unwrap_or_else(|| agenda.baseline.start_timeout());
        let limits = Limits { enough: &Judge::is_failing, ..Limits::new(start, &of_test) };
        let trial = Trial { image: &images[step.index], limits: &limits, stop };
        let folder = self.dir.join(number.to_string());
        let change = || saved.change(step.index, self.number, self.site);
        let result = match (!step.cold).then(change).flatten() {
            Some(change) => trial.boot(folder, &change, &step.boot, &mut |_| {})?.result,
            None => {
                let boot = step.boot.on(self.cold()?);
                trial.boot(folder, &rig.dom0(), &boot, &mut |_| {})?.result
            }
        };
        if stop.requested().is_some() {
            return Ok(None);
        }
        let failure = (result.judgement.ended_by == Some(Cause::Qemu)).then(|| {
            let told = result.judgement.settled.iter().flat_map(TestReport::told).next();
            result.tool_failure.map(|failure| failure.what).or(told).unwrap_or_default()
        });
        Ok(Some((result.judgement, failure)))
    }

    /// The Xen to boot from power on.
    fn cold(&self) -> Result<&XenUnderTest> {
        if let Some(xen) = self.cold.get() {
            return Ok(xen);
        }
        let Campaign { rig, binary, .. } = *self.campaign;
        let elf = self.dir.join("mutant");
        let broken = binary.with(self.site.physical(), &self.site.mutation.bytes);
        let bytes = broken.ok_or_else(|| {
            let xen = &rig.on.xen.name;
            Error::Data(format!("the file of Xen {xen} ends before {}", self.site.name()))
        })?;
        fs::write(&elf, bytes).io("write", &elf)?;
        Ok(self.cold.get_or_init(|| rig.on.with(XenFile::file(elf, self.site.name()))))
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

//! Which boots a mutant gets, in which order.
//!
//! Only what executes the broken instruction can notice it. Of that, the cases that killed the last
//! mutants of the function come first: what notices one broken instruction is likely to notice the next
//! one. Then come the others, the cheapest first, in few boots: a mutant mostly dies of any of them. Boots
//! from power on come after those that go on from a saved machine.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use protocol::metadata::Environment;

use super::baseline::Baseline;
use super::reach::BootReach;
use crate::image::TestMeta;
use crate::machine::Boot;
use crate::plan::select::{MAX_TEST_LIST, Selected};

/// So many likely killers are tried in the first boot.
const LIKELY: usize = 8;
/// What is tried next may take so many times as long as a boot takes to begin, then all the rest
/// comes.
const WAVES: [u32; 2] = [2, 16];

/// To begin from where a machine was saved takes this part of the time from power on.
const SAVED: u32 = 5;

/// Where a boot begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// The machine is switched on.
    PowerOn,
    /// The machine goes on from where it was saved.
    Saved,
}

/// A boot of a mutant.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// The boot's place in the plan.
    pub index: usize,
    /// The boot, with what it is to run.
    pub boot: Boot<'a>,
    /// From power on, whatever else is possible.
    pub cold: bool,
}

/// Who killed a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The place of its boot in the plan.
    pub index: usize,
    /// The test.
    pub test: String,
    /// The case, where one was under way.
    pub case: Option<String>,
}

/// What has killed mutants of which function so far.
#[derive(Debug, Default)]
pub struct Experience {
    /// The last killer first.
    killers: Mutex<HashMap<u64, Vec<Known>>>,
}

impl Experience {
    /// A mutant of `function` was killed.
    pub fn add(&self, function: u64, killer: Known) {
        let mut killers = self.killers.lock().unwrap_or_else(PoisonError::into_inner);
        let killers = killers.entry(function).or_default();
        killers.retain(|other| *other != killer);
        killers.insert(0, killer);
    }

    /// Who killed mutants of `function`, the last one first.
    pub fn of(&self, function: u64) -> Vec<Known> {
        let killers = self.killers.lock().unwrap_or_else(PoisonError::into_inner);
        killers.get(&function).cloned().unwrap_or_default()
    }
}

/// What there is to choose from.
#[derive(Clone, Copy)]
pub struct Agenda<'a> {
    /// All tests of the image.
    pub tests: &'a [TestMeta],
    /// The boots of the plan.
    pub boots: &'a [Boot<'a>],
    /// What each of them executes, if that is known.
    pub reach: Option<&'a [BootReach]>,
    /// Where each of them begins, if it may.
    pub beginnings: &'a [Beginning],
    /// How long everything takes.
    pub baseline: &'a Baseline,
}

/// A case that executes a site.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    /// The place of its boot in the plan.
    index: usize,
    test: &'a Selected,
    case: &'a str,
    time: Duration,
}

impl<'a> Agenda<'a> {
    /// The boots for the mutant of the site with the number `site`, if `killers` are the last of
    /// its function: environments as they come. None at all if nothing executes it.
    pub fn of(&self, site: usize, killers: &[Known]) -> Vec<Step<'a>> {
        let mut environments: Vec<Environment> = Vec::new();
        for boot in self.boots {
            if !environments.contains(&boot.environment) {
                environments.push(boot.environment);
            }
        }
        let mut steps = Vec::new();
        for environment in environments {
            let all = (0..self.boots.len()).filter(|i| self.boots[*i].environment == environment);
            let Some(reach) = self.reach else {
                steps.extend(self.whole(all.collect(), killers));
                continue;
            };
            // What Xen does while it boots may change whatever comes after it, and what the guest
            // learns of it whatever the guest does; the former is tried from power on only.
            let (by_xen, other): (Vec<usize>, Vec<usize>) =
                all.partition(|index| reach[*index].by_xen(site));
            steps.extend(self.chosen(&other, site, killers));
            let by_start = other.into_iter().filter(|index| reach[*index].by_start(site));
            steps.extend(self.whole(by_xen.into_iter().chain(by_start).collect(), killers));
        }
        steps
    }

    /// The time that all boots for `site` take together if none kills.
    pub fn time(&self, site: usize) -> Duration {
        let of_step = |step: Step<'_>| {
            let tests = step.boot.tests.iter();
            let of_test = |test: &Selected| -> Duration {
                let cases = test.test.cases.iter();
                cases.map(|case| self.baseline.time(step.boot.environment, test.name(), case)).sum()
            };
            self.start(step.index) + tests.map(|test| of_test(test)).sum::<Duration>()
        };
        self.of(site, &[]).into_iter().map(of_step).sum()
    }

    /// How long the boot with that place takes to begin.
    fn start(&self, index: usize) -> Duration {
        match self.beginnings[index] {
            Beginning::PowerOn => self.baseline.start(),
            Beginning::Saved => self.baseline.start() / SAVED,
        }
    }

    /// The boots with these places, with all their tests: the likeliest killers first.
    fn whole(&self, indices: Vec<usize>, killers: &[Known]) -> Vec<Step<'a>> {
        let rank =
            |fits: &dyn Fn(&Known) -> bool| killers.iter().position(fits).unwrap_or(usize::MAX);
        let step = |index: usize| {
            let mut boot = self.boots[index].clone();
            boot.tests.sort_by_key(|test| {
                rank(&|known| (known.index, known.test.as_str()) == (index, test.name()))
            });
            Step { index, boot, cold: true }
        };
        let mut steps: Vec<Step<'a>> = indices.into_iter().map(step).collect();
        steps.sort_by_key(|Step { index, boot, .. }| {
            let cases: usize = boot.tests.iter().map(|test| test.test.cases.len()).sum();
            (rank(&|known| known.index == *index), Reverse(cases))
        });
        steps
    }

    /// The cases of these boots by which `site` is executed.
    fn chosen(&self, indices: &[usize], site: usize, killers: &[Known]) -> Vec<Step<'a>> {
        let mut candidates: Vec<Candidate<'a>> =
            indices.iter().flat_map(|index| self.candidates(*index, site)).collect();
        let mut likely: Vec<Candidate<'a>> = Vec::new();
        for known in killers {
            let fits = |candidate: &Candidate<'_>| {
                candidate.index == known.index
                    && candidate.test.name() == known.test
                    && Some(candidate.case) == known.case.as_deref()
                    && likely.first().is_none_or(|first| first.index == candidate.index)
            };
            if likely.len() < LIKELY
                && let Some(place) = candidates.iter().position(fits)
            {
                likely.push(candidates.remove(place));
            }
        }
        let mut steps = self.steps(&likely);
        candidates.sort_by_key(|Candidate { index, time, .. }| {
            (self.beginnings[*index] == Beginning::PowerOn, *time)
        });
        let mut rest = candidates.as_slice();
        for wave in WAVES {
            let Some(first) = rest.first() else { break };
            let budget = self.start(first.index) * wave;
            let mut sum = Duration::ZERO;
            let count = rest.iter().take_while(|candidate| {
                sum += candidate.time;
                sum <= budget
            });
            let count = count.count();
            let (now, later) = rest.split_at(count);
            steps.extend(self.steps(now));
            rest = later;
        }
        steps.extend(self.steps(rest));
        steps
    }

    fn candidates(&self, index: usize, site: usize) -> Vec<Candidate<'a>> {
        let Some(reach) = self.reach else { return Vec::new() };
        let boot = &self.boots[index];
        let mut candidates = Vec::new();
        for (name, cases) in reach[index].by_cases(site) {
            let test = boot.tests.iter().find(|test| test.name() == name);
            candidates.extend(test.into_iter().flat_map(|test| {
                let test: &'a Selected = test;
                let baseline = self.baseline;
                cases.iter().map(move |case| {
                    let time = baseline.time(boot.environment, name, case);
                    Candidate { index, test, case, time }
                })
            }));
        }
        candidates
    }

    /// The fewest boots for `candidates`, in their order as far as the guest can keep it.
    fn steps(&self, candidates: &[Candidate<'a>]) -> Vec<Step<'a>> {
        let mut tests: Vec<(usize, &'a Selected, Vec<&'a str>)> = Vec::new();
        for Candidate { index, test, case, .. } in candidates {
            let same = tests
                .iter_mut()
                .find(|(other, known, _)| (*other, known.name()) == (*index, test.name()));
            match same {
                Some((_, _, cases)) => cases.push(case),
                None => tests.push((*index, test, vec![case])),
            }
        }
        let mut steps: Vec<Step<'a>> = Vec::new();
        for (index, test, cases) in tests {
            let boot = &self.boots[index];
            let room = MAX_TEST_LIST.saturating_sub(boot.machine.guest_cmdline.len());
            let part = match self.tests.iter().find(|whole| whole.name == test.name()) {
                Some(whole) => test.only(whole, &cases.into_iter().collect()),
                None => test.clone(),
            };
            let part: Cow<'a, Selected> = Cow::Owned(part);
            let takes = |step: &&mut Step<'_>| {
                let list =
                    step.boot.tests.iter().map(|test| test.selector.len() + 1).sum::<usize>();
                step.index == index && list + part.selector.len() <= room
            };
            match steps.iter_mut().find(takes) {
                Some(step) => step.boot.tests.push(part),
                None => {
                    let boot = boot.again_for(vec![part]);
                    steps.push(Step { index, boot, cold: false });
                }
            }
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use protocol::mark::Mark;

    use super::*;
    use crate::commands::mutate::baseline::Witnessed;
    use crate::machine::plugin::Phase;
    use crate::plan::config::Hypervisor;
    use crate::plan::spec::MachineSpec;
    use crate::xen::hypervisor::XenUnderTest;

    /// Each has two cases; the first takes as many ms as its place, the second ten times that.
    const TESTS: [&str; 4] = ["a", "b", "c", "d"];
    const MS: Duration = Duration::from_millis(1);

    fn tests() -> Vec<TestMeta> {
        let cases = || vec!["1".into(), "2".into()];
        TESTS.map(|name| TestMeta { cases: cases(), ..TestMeta::named(name) }).into()
    }

    fn baseline() -> Baseline {
        let mut baseline = Baseline::default();
        for environment in [Environment::Pv64, Environment::Pvh64] {
            for (place, test) in (1..).zip(TESTS) {
                let cases = [("1", place * MS), ("2", 10 * place * MS)];
                baseline.learn(environment, test, &cases);
            }
        }
        baseline
    }

    fn boots<'a>(
        xen: &'a XenUnderTest,
        tests: &'a [Selected],
        shape: &[(Environment, Range<usize>)],
    ) -> Vec<Boot<'a>> {
        let boot = |(environment, range): &(Environment, Range<usize>)| Boot {
            xen,
            environment: *environment,
            machine: MachineSpec::default(),
            tests: tests[range.clone()].iter().map(Cow::Borrowed).collect(),
        };
        shape.iter().map(boot).collect()
    }

    /// What a boot executes: while Xen boots, while the guest starts, and in each case.
    fn reach(tests: &[&str], boot: &[usize], start: &[usize], cases: &[&[usize]]) -> BootReach {
        let phase = |mark, sites: &[usize]| {
            let executed = (0..8).map(|site| sites.contains(&site)).collect();
            Phase { mark, executed }
        };
        let mut phases = vec![phase(Mark::Boot, boot)];
        for (number, cases) in cases.chunks(2).enumerate() {
            phases.push(phase(Mark::Prelude, if number == 0 { start } else { &[] }));
            phases.extend(cases.iter().map(|sites| phase(Mark::Case, sites)));
            phases.push(phase(Mark::Test, &[]));
        }
        let tests = tests.iter().map(|test| ((*test).into(), vec!["1".into(), "2".into()]));
        let witnessed = Witnessed { tests: tests.collect(), ..Witnessed::default() };
        BootReach::of(&phases, &witnessed).unwrap()
    }

    /// Each boot with its place, whether it is from power on, and its list of tests.
    fn told(steps: &[Step<'_>]) -> Vec<String> {
        let of_step = |step: &Step<'_>| {
            let tests = step.boot.tests.iter().map(|test| test.selector.as_str());
            let cold = if step.cold { " cold" } else { "" };
            format!("{}{cold} {}", step.index, tests.collect::<Vec<_>>().join(","))
        };
        steps.iter().map(of_step).collect()
    }

    fn known(index: usize, test: &str, case: &str) -> Known {
        Known { index, test: test.into(), case: Some(case.into()) }
    }

    #[test]
    fn without_a_plugin_everything_runs_and_environments_stay_in_order() {
        let selected: Vec<Selected> = tests().into_iter().map(Selected::from).collect();
        let xen = XenUnderTest::new(&Hypervisor::elsewhere("xen"), None);
        let (pv, pvh) = (Environment::Pv64, Environment::Pvh64);
        let boots = boots(&xen, &selected, &[(pv, 0..1), (pv, 1..4), (pvh, 1..4)]);
        let baseline = baseline();
        let agenda = Agenda {
            tests: &tests(),
            boots: &boots,
            reach: None,
            beginnings: &[Beginning::PowerOn; 3],
            baseline: &baseline,
        };
        let experience = Experience::default();
        let order = |function| told(&agenda.of(0, &experience.of(function)));
        assert_eq!(order(7), ["1 cold b,c,d", "0 cold a", "2 cold b,c,d"]);
        experience.add(7, known(1, "b", "1"));
        experience.add(7, known(0, "a", "1"));
        experience.add(7, known(2, "d", "1"));
        assert_eq!(order(7), ["0 cold a", "1 cold b,c,d", "2 cold d,b,c"]);
        experience.add(7, known(1, "c", "2"));
        assert_eq!(order(7), ["1 cold c,b,d", "0 cold a", "2 cold d,b,c"]);
        experience.add(7, known(1, "b", "1"));
        assert_eq!(order(7), ["1 cold b,c,d", "0 cold a", "2 cold d,b,c"]);
        assert_eq!(order(8), ["1 cold b,c,d", "0 cold a", "2 cold b,c,d"]);
    }

    #[test]
    fn only_what_executes_a_branch_runs() {
        let selected: Vec<Selected> = tests().into_iter().map(Selected::from).collect();
        let xen = XenUnderTest::new(&Hypervisor::elsewhere("xen"), None);
        let pv = Environment::Pv64;
        let boots = boots(&xen, &selected, &[(pv, 0..2), (pv, 2..3)]);
        let mut baseline = baseline();
        baseline.learn_start(5 * MS);
        let reach = [
            reach(&["a", "b"], &[0], &[1], &[&[2], &[2, 3], &[1, 2], &[2]]),
            reach(&["c"], &[], &[], &[&[2], &[]]),
        ];
        let agenda = Agenda {
            tests: &tests(),
            boots: &boots,
            reach: Some(&reach),
            beginnings: &[Beginning::PowerOn, Beginning::Saved],
            baseline: &baseline,
        };
        let order = |site, killers: &[Known]| told(&agenda.of(site, killers));
        // By Xen's boot: the whole of it, from power on.
        assert_eq!(order(0, &[]), ["0 cold a,b"]);
        // While the guest starts: its case first.
        assert_eq!(order(1, &[]), ["0 b/=1", "0 cold a,b"]);
        // What goes on from a saved machine comes first, then the cheapest (1, 2, 10 ms), and what is
        // dear (20 ms) in a boot of its own.
        assert_eq!(order(2, &[]), ["1 c/=1", "0 a/=3,b/=1", "0 b/=2"]);
        // What killed before comes first, where it executes the branch.
        let killers = [known(0, "b", "2"), known(1, "c", "1"), known(0, "a", "1")];
        assert_eq!(order(2, &killers), ["0 b/=2,a/=1", "1 c/=1", "0 b/=1,a/=2"]);
        assert_eq!(order(3, &killers), ["0 a/=2"]);
        assert_eq!(order(4, &killers), [""; 0]);

        // 5 ms for each boot from power on, and 1 ms from the saved machine.
        let times = [(0, 5 + 33), (2, 1 + 3 + 5 + 13 + 5 + 20), (3, 5 + 10), (4, 0)];
        for (site, time) in times {
            assert_eq!(agenda.time(site), time * MS, "{site}");
        }
    }
}

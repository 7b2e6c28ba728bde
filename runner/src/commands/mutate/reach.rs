//! Which part of the tests executes which site, as the plugin saw it on Xen itself.
//!
//! A case that does not execute an instruction can't notice that it is broken.

use std::collections::HashSet;

use protocol::mark::Mark;

use super::baseline::Witnessed;
use crate::machine::plugin::Phase;

/// Whether each site was executed.
type Executed = Vec<bool>;

/// What a boot executes, and when.
#[derive(Debug)]
pub struct BootReach {
    /// While Xen boots.
    boot: Executed,
    /// While the guest asks Xen what it is, before the first test.
    start: Executed,
    tests: Vec<TestReach>,
}

/// What a test executes.
#[derive(Debug)]
struct TestReach {
    name: String,
    /// Before its first case, and after its last one.
    around: Executed,
    cases: Vec<(String, Executed)>,
}

impl BootReach {
    /// From the `phases` of the boot that was `witnessed`; or why they are not those of that boot.
    pub fn of(phases: &[Phase], witnessed: &Witnessed) -> Result<BootReach, String> {
        let mut phases = phases.iter();
        let mut next = |mark: Mark| match phases.next() {
            Some(phase) if phase.mark == mark => Ok(phase.executed.clone()),
            Some(phase) => Err(format!("the guest marked {:?} where {mark:?} ends", phase.mark)),
            None => Err(format!("the guest did not mark where {mark:?} ends")),
        };
        let boot = next(Mark::Boot)?;
        let mut start = None;
        let mut tests = Vec::new();
        for (name, cases) in &witnessed.tests {
            let mut around = next(Mark::Prelude)?;
            if start.is_none() {
                start = Some(std::mem::take(&mut around));
            }
            let cases = cases.iter().map(|case| Ok((case.clone(), next(Mark::Case)?)));
            let cases = cases.collect::<Result<_, String>>()?;
            add(&mut around, &next(Mark::Test)?);
            tests.push(TestReach { name: name.clone(), around, cases });
        }
        let rest = phases.next().map(|phase| phase.mark);
        match (rest, start) {
            (Some(mark), _) => Err(format!("the guest marked {mark:?} once too often")),
            (None, start) => Ok(BootReach { boot, start: start.unwrap_or_default(), tests }),
        }
    }

    /// The same for a boot in real time, where another run may take other ways: what executes a
    /// site of a function may execute all of it, and so may each case of a test of which
    /// anything does. `functions` are those of the sites.
    pub fn blurred(self, functions: &[u64]) -> BootReach {
        let blur = |executed: Executed| {
            let of = |pairs: &mut dyn Iterator<Item = (&u64, &bool)>| -> HashSet<u64> {
                pairs.filter(|(_, executed)| **executed).map(|(function, _)| *function).collect()
            };
            let reached = of(&mut functions.iter().zip(&executed));
            functions.iter().map(|function| reached.contains(function)).collect::<Executed>()
        };
        let test = |TestReach { name, mut around, cases }: TestReach| {
            cases.iter().for_each(|(_, executed)| add(&mut around, executed));
            let around = blur(around);
            let cases = cases.into_iter().map(|(name, _)| (name, around.clone())).collect();
            TestReach { name, around, cases }
        };
        let tests = self.tests.into_iter().map(test).collect();
        BootReach { boot: blur(self.boot), start: blur(self.start), tests }
    }

    /// Whether Xen executes the site with the number `site` while it boots.
    pub fn by_xen(&self, site: usize) -> bool {
        has(&self.boot, site)
    }

    /// Whether it is executed before the first test.
    pub fn by_start(&self, site: usize) -> bool {
        has(&self.start, site)
    }

    /// The cases by which it is executed, with their tests. If it is executed around them only,
    /// that is all of them together.
    pub fn by_cases(&self, site: usize) -> Vec<(&str, Vec<&str>)> {
        let all = self.tests.iter().map(|test| (test.name.as_str(), test.by_cases(site)));
        all.filter(|(_, cases)| !cases.is_empty()).collect()
    }
}

impl TestReach {
    fn by_cases(&self, site: usize) -> Vec<&str> {
        let among = self.cases.iter().any(|(_, executed)| has(executed, site));
        let wanted =
            |executed: &[bool]| if among { has(executed, site) } else { has(&self.around, site) };
        let cases = self.cases.iter().filter(|(_, executed)| wanted(executed));
        cases.map(|(name, _)| name.as_str()).collect()
    }
}

fn has(executed: &[bool], site: usize) -> bool {
    executed.get(site).copied().unwrap_or(false)
}

/// Adds `more` to `executed`.
fn add(executed: &mut Executed, more: &[bool]) {
    executed.resize(executed.len().max(more.len()), false);
    for (sum, more) in executed.iter_mut().zip(more) {
        *sum |= more;
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn phases(rows: &[(Mark, &[usize])]) -> Vec<Phase> {
        let executed = |sites: &[usize]| (0..8).map(|site| sites.contains(&site)).collect();
        rows.iter().map(|(mark, sites)| Phase { mark: *mark, executed: executed(sites) }).collect()
    }

    fn witnessed() -> Witnessed {
        let cases = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let tests = vec![("a".into(), cases(&["1", "2"])), ("b".into(), cases(&["3"]))];
        Witnessed { dir: PathBuf::new(), tests }
    }

    const ROWS: [(Mark, &[usize]); 8] = [
        (Mark::Boot, &[0]),
        (Mark::Prelude, &[1]),
        (Mark::Case, &[2]),
        (Mark::Case, &[2, 3]),
        (Mark::Test, &[3, 4]),
        (Mark::Prelude, &[5]),
        (Mark::Case, &[2]),
        (Mark::Test, &[]),
    ];

    #[test]
    fn rows_belong_to_what_the_console_says() {
        let reach = BootReach::of(&phases(&ROWS), &witnessed()).unwrap();
        let sites = |by: &dyn Fn(usize) -> bool| (0..8).filter(|s| by(*s)).collect::<Vec<_>>();
        assert_eq!(sites(&|site| reach.by_xen(site)), [0]);
        assert_eq!(sites(&|site| reach.by_start(site)), [1]);
        assert_eq!(reach.by_cases(1), []);
        assert_eq!(reach.by_cases(2), [("a", vec!["1", "2"]), ("b", vec!["3"])]);
        assert_eq!(reach.by_cases(3), [("a", vec!["2"])]);
        // Around the cases.
        assert_eq!(reach.by_cases(4), [("a", vec!["1", "2"])]);
        assert_eq!(reach.by_cases(5), [("b", vec!["3"])]);
    }

    #[test]
    fn rows_of_another_boot_are_refused() {
        let of = |rows: &[(Mark, &[usize])]| BootReach::of(&phases(rows), &witnessed());
        let why = of(&[]).unwrap_err();
        assert_eq!(why, "the guest did not mark where Boot ends");
        assert!(of(&ROWS[..7]).unwrap_err().contains("did not mark where Test"));
        let mut less = ROWS.to_vec();
        less.remove(3);
        assert!(of(&less).unwrap_err().contains("marked Test where Case ends"));
        let more = [&ROWS[..], &[(Mark::Prelude, &[])]].concat();
        assert!(of(&more).unwrap_err().contains("marked Prelude once too often"));
    }

    #[test]
    fn in_real_time_a_function_is_reached_as_a_whole() {
        // Sites 0 and 1 are of a function, and 2 to 7 of another.
        let functions = [1, 1, 2, 2, 2, 2, 2, 2];
        let reach = BootReach::of(&phases(&ROWS), &witnessed()).unwrap().blurred(&functions);
        assert!(reach.by_xen(1) && !reach.by_xen(2));
        assert!(reach.by_start(0) && !reach.by_start(7));
        assert_eq!(reach.by_cases(7), [("a", vec!["1", "2"]), ("b", vec!["3"])]);
        assert_eq!(reach.by_cases(1), []);
        assert_eq!(reach.by_cases(2), reach.by_cases(7));
    }
}

//! What is to be run: the configuration, the selection, and the boots that they take.
//!
//! This room reads the configuration file. What it makes is data: it gets no Xen and starts
//! nothing.

pub mod config;
pub mod loader;
pub mod newest;
pub mod partition;
pub mod select;
pub mod spec;
pub mod xens;

use std::borrow::Cow;

use self::select::{MAX_TEST_LIST, Request, Selected, Wanted};
use crate::base::exit::Result;
use crate::image::{Image, Role, TestMeta};
use crate::plan::config::Hypervisor;
use crate::plan::partition::Partition;
use crate::plan::spec::MachineSpec;
use protocol::metadata::Environment;

/// One start of the machine. It is planned for a [`Hypervisor`], of which nothing more is known
/// than the configuration says. Once that Xen is obtained, the same boot is [on](Boot::on) it.
#[derive(Clone, Debug)]
pub struct Boot<'a, X> {
    /// The Xen.
    pub xen: &'a X,
    /// What the image shall run as.
    pub environment: Environment,
    /// On what.
    pub machine: MachineSpec,
    /// What to run, in the image's order; its own where it goes on with a test.
    pub tests: Vec<Cow<'a, Selected>>,
}

/// Whether tests may share a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Those that don't object do.
    Allowed,
    /// Each test gets a boot of its own.
    Isolated,
}

impl<'a, X> Boot<'a, X> {
    /// The same boot on what was obtained for its Xen, or made of it.
    pub fn on<Y>(&self, xen: &'a Y) -> Boot<'a, Y> {
        let Boot { environment, machine, tests, .. } = self;
        Boot { xen, environment: *environment, machine: machine.clone(), tests: tests.clone() }
    }

    /// The same machine again for these tests.
    pub fn again_for(&self, tests: Vec<Cow<'a, Selected>>) -> Boot<'a, X> {
        let Boot { xen, environment, machine, .. } = self;
        Boot { xen, environment: *environment, machine: machine.clone(), tests }
    }

    /// How many cases it is to run.
    pub fn cases(&self) -> usize {
        self.tests.iter().map(|selected| selected.test.cases.len()).sum()
    }
}

/// How tests are spread over boots.
pub struct How<'m> {
    /// Whether tests may share a boot.
    pub sharing: Sharing,
    /// The only share of all that is wanted.
    pub partition: Option<Partition>,
    /// What a test needs on a Xen.
    pub machine: &'m dyn Fn(&Hypervisor, &TestMeta) -> MachineSpec,
}

impl<'m> How<'m> {
    /// All, in as few boots as possible.
    pub fn plain(machine: &'m dyn Fn(&Hypervisor, &TestMeta) -> MachineSpec) -> Self {
        How { sharing: Sharing::Allowed, partition: None, machine }
    }
}

/// The tests of `image` that are `wanted` in one of `environments`, at least one.
pub fn choose(
    image: &Image,
    wanted: Wanted<'_>,
    environments: &[Environment],
) -> Result<Vec<Selected>> {
    choose_for(image, wanted, Role::ControlDomain, environments)
}

/// The same for an image that is going to be `role` to Xen.
pub fn choose_for(
    image: &Image,
    wanted: Wanted<'_>,
    role: Role,
    environments: &[Environment],
) -> Result<Vec<Selected>> {
    let request = Request {
        selectors: wanted.selectors,
        exclude: wanted.exclude,
        all: wanted.all,
        role,
        environments,
    };
    select::select(&image.tests, &request)
}

/// The boots for `tests` on each of `xens` in each environment.
pub fn boots<'a>(
    tests: &'a [Selected],
    xens: &'a [Hypervisor],
    environments: &[Environment],
    how: &How<'_>,
) -> Vec<Boot<'a, Hypervisor>> {
    let mut distinct = Vec::new();
    for &environment in environments {
        if !distinct.contains(&environment) {
            distinct.push(environment);
        }
    }
    let mut boots: Vec<Boot<'a, Hypervisor>> = Vec::new();
    let mut units = 0..;
    for xen in xens {
        for &environment in &distinct {
            let first = boots.len();
            for selected in tests {
                let (test, place) = (&selected.test, environment.name());
                if !test.environments.contains(&environment) {
                    continue;
                }
                let unit = units.next().unwrap_or_default();
                let mut share = how.partition.iter();
                if !share.all(|share| share.holds(unit, &xen.name, place, &test.name)) {
                    continue;
                }
                let machine = (how.machine)(xen, test);
                let shared = boots[first..].iter_mut().find(|boot| {
                    how.sharing == Sharing::Allowed && takes(boot, selected, &machine)
                });
                match shared {
                    Some(boot) => boot.tests.push(Cow::Borrowed(selected)),
                    None => {
                        let tests = vec![Cow::Borrowed(selected)];
                        boots.push(Boot { xen, environment, machine, tests });
                    }
                }
            }
        }
    }
    boots
}

/// Whether `selected`, which needs `machine`, may share `boot`.
fn takes<X>(boot: &Boot<'_, X>, selected: &Selected, machine: &MachineSpec) -> bool {
    let list: usize = boot.tests.iter().map(|other| other.selector.len() + 1).sum();
    let list = list + machine.guest_cmdline.len();
    !selected.test.own_boot
        && boot.tests.iter().all(|other| !other.test.own_boot)
        && boot.machine == *machine
        && list + selected.selector.len() <= MAX_TEST_LIST
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn test(name: &str) -> TestMeta {
        TestMeta::named(name)
    }

    fn names(tests: &[Cow<'_, Selected>]) -> String {
        tests.iter().map(|test| test.name()).collect::<Vec<_>>().join(" ")
    }

    fn xens(count: usize) -> Vec<Hypervisor> {
        (0..count).map(|index| Hypervisor::elsewhere(&index.to_string())).collect()
    }

    const BOTH: [Environment; 2] = [Environment::Pv64, Environment::Pvh64];

    #[test]
    fn isolated_tests_share_nothing() {
        let tests = [test("a"), TestMeta { own_boot: true, ..test("b") }, test("c")];
        let tests: Vec<Selected> = tests.into_iter().map(Selected::from).collect();
        let xens = xens(1);
        let boots =
            boots(&tests, &xens, &BOTH, &How { sharing: Sharing::Isolated, ..How::plain(&plain) });
        let shape: Vec<String> = boots
            .iter()
            .map(|boot| format!("{} {}", boot.environment.name(), names(&boot.tests)))
            .collect();
        assert_eq!(shape, ["pv64 a", "pv64 b", "pv64 c", "pvh64 a", "pvh64 b", "pvh64 c"]);
    }

    /// The machine for a test without any configuration.
    fn plain(_: &Hypervisor, test: &TestMeta) -> MachineSpec {
        MachineSpec { vcpus: test.vcpus, ..MachineSpec::default() }
    }

    #[test]
    fn tests_share_a_boot_where_their_machines_are_the_same() {
        let tests = ["a", "b", "c", "d", "e"].map(test);
        let tests: Vec<Selected> = tests.into_iter().map(Selected::from).collect();
        let machine =
            |xen: &Hypervisor, test: &TestMeta| match (xen.name.as_str(), test.name.as_str()) {
                ("1", "b" | "d") => MachineSpec { xen_cmdline: "x".into(), ..plain(xen, test) },
                ("1", "e") => MachineSpec { memory_mib: Some(1), ..plain(xen, test) },
                _ => plain(xen, test),
            };
        let xens = xens(2);
        let boots = boots(&tests, &xens, &[Environment::Pv64], &How::plain(&machine));
        let shape: Vec<String> =
            boots.iter().map(|boot| format!("{}: {}", boot.xen.name, names(&boot.tests))).collect();
        assert_eq!(shape, ["0: a b c d e", "1: a c", "1: b d", "1: e"]);
    }

    #[test]
    fn sharing_and_own_boots() {
        let tests = [
            test("a"),
            TestMeta { own_boot: true, ..test("b") },
            test("c"),
            TestMeta { vcpus: 2, ..test("d") },
            TestMeta { environments: vec![Environment::Pv64], own_boot: true, ..test("e") },
        ];
        let tests: Vec<Selected> = tests.into_iter().map(Selected::from).collect();
        let xens = xens(2);
        let boots = boots(&tests, &xens, &[BOTH, BOTH].concat(), &How::plain(&plain));
        let shape: Vec<String> = boots
            .iter()
            .map(|b| {
                format!(
                    "{} {} {}: {}",
                    b.xen.name,
                    b.environment.name(),
                    b.machine.vcpus,
                    names(&b.tests)
                )
            })
            .collect();
        assert_eq!(
            shape[..7],
            [
                "0 pv64 1: a c",
                "0 pv64 1: b",
                "0 pv64 2: d",
                "0 pv64 1: e",
                "0 pvh64 1: a c",
                "0 pvh64 1: b",
                "0 pvh64 2: d",
            ]
        );
        assert_eq!(shape.len(), 14);
    }

    #[test]
    fn a_long_list_is_spread_over_boots() {
        let tests: Vec<TestMeta> = (0..50).map(|i| test(&format!("test-{i:0>60}"))).collect();
        let tests: Vec<Selected> = tests.into_iter().map(Selected::from).collect();
        let xens = xens(1);
        let boots = boots(&tests, &xens, &[Environment::Pv64], &How::plain(&plain));
        assert!(boots.len() > 1);
        assert!(boots.iter().all(|boot| names(&boot.tests).len() <= MAX_TEST_LIST));
        assert_eq!(boots.iter().map(|boot| boot.tests.len()).sum::<usize>(), 50);
    }
    /// Whatever the number of shares, together they are the run.
    #[test]
    fn shares_add_up_to_the_whole() {
        let tests: Vec<Selected> =
            ["a", "b", "c", "d", "e"].map(test).into_iter().map(Selected::from).collect();
        let xens = xens(3);
        let units = |partition: Option<&str>| {
            let partition = partition.map(|text| text.parse().unwrap());
            let how = How { partition, ..How::plain(&plain) };
            let mut units = BTreeMap::new();
            for boot in boots(&tests, &xens, &BOTH, &how) {
                for test in boot.tests {
                    let unit = (boot.xen.name.clone(), boot.environment, test.selector.clone());
                    *units.entry(unit).or_insert(0) += 1;
                }
            }
            units
        };
        let whole = units(None);
        assert_eq!(whole.len(), 30);
        for how in ["hash", "count"] {
            for of in 1..9 {
                let mut sum = BTreeMap::new();
                for share in 1..=of {
                    for (unit, count) in units(Some(&format!("{how}:{share}/{of}"))) {
                        *sum.entry(unit).or_insert(0) += count;
                    }
                }
                assert_eq!(sum, whole, "{how} {of}");
            }
        }
    }
}

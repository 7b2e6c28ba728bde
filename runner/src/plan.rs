//! From what the user names to the boots that it takes.

use glob::Pattern;

use crate::cli::Environment;
use crate::exit::{Error, Result};
use crate::image::{Image, Role, TestMeta};
use crate::judge::{Expected, Judge};
use crate::machine::Machine;

/// A PV guest's command line holds 1024 bytes; this much of it may be the list of tests.
const MAX_TEST_LIST: usize = 800;
/// How alike a name must be to be offered instead of an unknown one.
const ALIKE: f64 = 0.7;
/// How many names are offered.
const OFFERED: usize = 3;

/// One start of the machine.
#[derive(Clone, Debug)]
pub struct Boot<'a> {
    /// Index of the Xen.
    pub xen: usize,
    /// What the image shall run as.
    pub environment: Environment,
    /// On what.
    pub machine: Machine,
    /// What to run, in the image's order.
    pub tests: Vec<&'a TestMeta>,
}

/// Whether tests may share a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Those that don't object do.
    Allowed,
    /// Each test gets a boot of its own.
    Isolated,
}

impl<'a> Boot<'a> {
    /// The same machine again for some of the tests.
    pub fn again_for(&self, names: &[String]) -> Boot<'a> {
        let mut boot = self.clone();
        boot.tests.retain(|test| names.contains(&test.name));
        boot
    }

    /// Who judges this boot.
    pub fn judge(&self) -> Judge {
        let expected = self
            .tests
            .iter()
            .map(|test| Expected { name: test.name.clone(), cases: test.cases.clone() })
            .collect();
        Judge::new(self.environment.banner(), expected)
    }
}

/// The boots for the tests of `image` that `wanted` names, at least one. `machine` tells what a test
/// needs on a Xen.
pub fn choose<'a>(
    image: &'a Image,
    wanted: &[String],
    xens: usize,
    environments: &[Environment],
    sharing: Sharing,
    machine: &dyn Fn(usize, &TestMeta) -> Machine,
) -> Result<Vec<Boot<'a>>> {
    let tests = select(&image.tests, wanted, Role::ControlDomain)?;
    let mut distinct = Vec::new();
    for &environment in environments {
        if !distinct.contains(&environment) {
            distinct.push(environment);
        }
    }
    let boots = boots(&tests, xens, &distinct, sharing, machine);
    if boots.is_empty() {
        let names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
        return Err(Error::EmptySelection(if names.is_empty() {
            "every test in the image has to be named; see `xtf-runner list`".into()
        } else {
            format!("no selected test supports the environments of --env: {}", names.join(", "))
        }));
    }
    Ok(boots)
}

/// The tests that `wanted` names; without any, those that need not be named in this role.
pub fn select<'a>(
    tests: &'a [TestMeta],
    wanted: &[String],
    role: Role,
) -> Result<Vec<&'a TestMeta>> {
    if wanted.is_empty() {
        return Ok(tests.iter().filter(|test| test.runs_unnamed(role)).collect());
    }
    let mut chosen = vec![false; tests.len()];
    for name in wanted {
        if let Some(index) = tests.iter().position(|test| test.name == *name) {
            chosen[index] = true;
            continue;
        }
        if !name.contains(['*', '?', '[']) {
            return Err(unknown(tests, name));
        }
        let pattern = Pattern::new(name)
            .map_err(|e| Error::Usage(format!("`{name}` is no pattern: {}", e.msg)))?;
        let (default, special): (Vec<usize>, Vec<usize>) = (0..tests.len())
            .filter(|&index| pattern.matches(&tests[index].name))
            .partition(|&index| tests[index].runs_unnamed(role));
        // A pattern that fits default tests is not meant for the special ones beside them.
        let meant = if default.is_empty() { special } else { default };
        if meant.is_empty() {
            let why = format!("no test matches `{name}`; see `xtf-runner list`");
            return Err(Error::EmptySelection(why));
        }
        for index in meant {
            chosen[index] = true;
        }
    }
    Ok(tests.iter().zip(chosen).filter_map(|(test, chosen)| chosen.then_some(test)).collect())
}

fn unknown(tests: &[TestMeta], name: &str) -> Error {
    let mut near: Vec<(f64, &str)> = tests
        .iter()
        .map(|test| (strsim::jaro_winkler(name, &test.name), test.name.as_str()))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let near: Vec<&str> = near.into_iter().take(OFFERED).map(|(_, name)| name).collect();
    let hint = if near.is_empty() {
        "see `xtf-runner list`".to_owned()
    } else {
        format!("did you mean {}?", near.join(", "))
    };
    Error::Usage(format!("there is no test `{name}`; {hint}"))
}

/// The boots for `tests` on each of `xens` Xens in each environment.
fn boots<'a>(
    tests: &[&'a TestMeta],
    xens: usize,
    environments: &[Environment],
    sharing: Sharing,
    machine: &dyn Fn(usize, &TestMeta) -> Machine,
) -> Vec<Boot<'a>> {
    let mut boots: Vec<Boot<'a>> = Vec::new();
    for xen in 0..xens {
        for &environment in environments {
            let first = boots.len();
            for &test in tests {
                if !test.environments.iter().any(|name| name == environment.name()) {
                    continue;
                }
                let machine = machine(xen, test);
                let shared = boots[first..]
                    .iter_mut()
                    .find(|boot| sharing == Sharing::Allowed && takes(boot, test, &machine));
                match shared {
                    Some(boot) => boot.tests.push(test),
                    None => boots.push(Boot { xen, environment, machine, tests: vec![test] }),
                }
            }
        }
    }
    boots
}

/// Whether `test`, which needs `machine`, may share `boot`.
fn takes(boot: &Boot<'_>, test: &TestMeta, machine: &Machine) -> bool {
    let list: usize = boot.tests.iter().map(|other| other.name.len() + 1).sum();
    let list = list + machine.guest_cmdline.len();
    !test.own_boot
        && boot.tests.iter().all(|other| !other.own_boot)
        && boot.machine == *machine
        && list + test.name.len() <= MAX_TEST_LIST
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn test(name: &str) -> TestMeta {
        TestMeta::named(name)
    }

    fn names(tests: &[&TestMeta]) -> String {
        tests.iter().map(|test| test.name.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn selection() {
        let tests = [
            test("lp-args"),
            test("lp-list"),
            TestMeta { default: false, ..test("lp-bad") },
            TestMeta { needs: vec!["unprivileged".into()], ..test("lp-priv") },
            test("example"),
        ];
        let select = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|name| (*name).into()).collect();
            select(&tests, &wanted, Role::ControlDomain)
        };
        assert_eq!(names(&select(&[]).unwrap()), "lp-args lp-list example");
        assert_eq!(names(&select(&["example", "lp-*"]).unwrap()), "lp-args lp-list example");
        assert_eq!(names(&select(&["lp-bad"]).unwrap()), "lp-bad");
        assert_eq!(names(&select(&["lp-priv"]).unwrap()), "lp-priv");

        let unknown = select(&["lp-arg"]).unwrap_err();
        assert_eq!(unknown.exit(), Exit::Usage);
        assert!(unknown.to_string().contains("did you mean lp-args"), "{unknown}");
        assert!(select(&["zzz"]).unwrap_err().to_string().contains("xtf-runner list"));
        assert_eq!(select(&["x*"]).unwrap_err().exit(), Exit::EmptySelection);
        assert_eq!(names(&select(&["*bad"]).unwrap()), "lp-bad");
    }

    const BOTH: [Environment; 2] = [Environment::Pv64, Environment::Pvh64];

    #[test]
    fn isolated_tests_share_nothing() {
        let tests = [test("a"), TestMeta { own_boot: true, ..test("b") }, test("c")];
        let tests: Vec<&TestMeta> = tests.iter().collect();
        let boots = boots(&tests, 1, &BOTH, Sharing::Isolated, &plain);
        let shape: Vec<String> = boots
            .iter()
            .map(|boot| format!("{} {}", boot.environment.name(), names(&boot.tests)))
            .collect();
        assert_eq!(shape, ["pv64 a", "pv64 b", "pv64 c", "pvh64 a", "pvh64 b", "pvh64 c"]);
    }

    /// The machine for a test without any configuration.
    fn plain(_: usize, test: &TestMeta) -> Machine {
        Machine { vcpus: test.vcpus, ..Machine::default() }
    }

    #[test]
    fn tests_share_a_boot_where_their_machines_are_the_same() {
        let tests = ["a", "b", "c", "d", "e"].map(test);
        let tests: Vec<&TestMeta> = tests.iter().collect();
        let machine = |xen: usize, test: &TestMeta| match (xen, test.name.as_str()) {
            (1, "b" | "d") => Machine { xen_cmdline: "x".into(), ..plain(xen, test) },
            (1, "e") => Machine { memory_mib: Some(1), ..plain(xen, test) },
            _ => plain(xen, test),
        };
        let boots = boots(&tests, 2, &[Environment::Pv64], Sharing::Allowed, &machine);
        let shape: Vec<String> =
            boots.iter().map(|boot| format!("{}: {}", boot.xen, names(&boot.tests))).collect();
        assert_eq!(shape, ["0: a b c d e", "1: a c", "1: b d", "1: e"]);
    }

    #[test]
    fn sharing_and_own_boots() {
        let tests = [
            test("a"),
            TestMeta { own_boot: true, ..test("b") },
            test("c"),
            TestMeta { vcpus: 2, ..test("d") },
            TestMeta { environments: vec!["pv64".into()], own_boot: true, ..test("e") },
        ];
        let tests: Vec<&TestMeta> = tests.iter().collect();
        let boots = boots(&tests, 2, &BOTH, Sharing::Allowed, &plain);
        let shape: Vec<String> = boots
            .iter()
            .map(|b| {
                format!(
                    "{} {} {}: {}",
                    b.xen,
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
        let tests: Vec<&TestMeta> = tests.iter().collect();
        let boots = boots(&tests, 1, &[Environment::Pv64], Sharing::Allowed, &plain);
        assert!(boots.len() > 1);
        assert!(boots.iter().all(|boot| names(&boot.tests).len() <= MAX_TEST_LIST));
        assert_eq!(boots.iter().map(|boot| boot.tests.len()).sum::<usize>(), 50);
    }
}

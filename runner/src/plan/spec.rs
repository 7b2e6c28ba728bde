//! The machine of a boot, as far as the configuration and the tests decide it.
//!
//! Settings come in layers: what the test itself asks for, its Xen's `[hypervisor.NAME]`, then
//! every `[test."GLOB"]` that matches the test, in the file's order. Command lines and QEMU
//! arguments add up; of the numbers the last one counts. Tests share a boot only if their machines
//! are the same.

use std::num::{NonZeroU32, NonZeroU64};

use crate::base::pattern::Pattern;
use crate::image::TestMeta;

/// Settings that a table of the configuration may make. A number that is not set leaves things as
/// they are.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// For Xen's command line.
    pub xen_cmdline: String,
    /// For the guest's command line.
    pub guest_cmdline: String,
    /// CPUs of the machine.
    pub vcpus: Option<NonZeroU32>,
    /// Memory of the machine.
    pub memory_mib: Option<NonZeroU32>,
    /// For QEMU.
    pub qemu_args: Vec<String>,
}

/// Settings for some tests.
#[derive(Clone, Debug)]
pub struct TestSettings {
    /// Which tests, by name.
    pub tests: Pattern,
    /// What changes for their machine.
    pub machine: Settings,
    /// Time for each of them.
    pub timeout_s: Option<NonZeroU64>,
    /// Where the configuration says so: file and line.
    pub origin: String,
}

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineSpec {
    /// Its CPUs.
    pub vcpus: u32,
    /// Its memory; `None` is what the environment needs.
    pub memory_mib: Option<u32>,
    /// Further arguments for Xen.
    pub xen_cmdline: String,
    /// Further parameters for the guest.
    pub guest_cmdline: String,
    /// Further arguments for QEMU.
    pub qemu_args: Vec<String>,
}

impl MachineSpec {
    /// The machine for `test`, on a Xen with settings of its own.
    pub fn of(test: &TestMeta, xen: &Settings, tests: &[TestSettings]) -> MachineSpec {
        let mut machine = MachineSpec { vcpus: test.vcpus, ..MachineSpec::default() };
        // A Xen that is to be tested with many CPUs does not take any from a test that needs more.
        let least = xen.vcpus.map_or(0, NonZeroU32::get).max(test.vcpus);
        machine.add(xen);
        machine.vcpus = least;
        for settings in tests.iter().filter(|settings| settings.tests.matches(&test.name)) {
            machine.add(&settings.machine);
        }
        machine
    }

    fn add(&mut self, settings: &Settings) {
        let Settings { xen_cmdline, guest_cmdline, vcpus, memory_mib, qemu_args } = settings;
        self.vcpus = vcpus.map_or(self.vcpus, NonZeroU32::get);
        self.memory_mib = memory_mib.map(NonZeroU32::get).or(self.memory_mib);
        self.xen_cmdline = join([&self.xen_cmdline, xen_cmdline]);
        self.guest_cmdline = join([&self.guest_cmdline, guest_cmdline]);
        self.qemu_args.extend(qemu_args.iter().cloned());
    }
}

/// One line of what is not empty.
pub fn join<'a>(parts: impl IntoIterator<Item = &'a String>) -> String {
    let parts = parts.into_iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(xen_cmdline: &str, vcpus: u32, memory_mib: u32) -> Settings {
        Settings {
            xen_cmdline: xen_cmdline.into(),
            guest_cmdline: format!("g={xen_cmdline}"),
            vcpus: NonZeroU32::new(vcpus),
            memory_mib: NonZeroU32::new(memory_mib),
            qemu_args: vec![format!("-{xen_cmdline}")],
        }
    }

    fn test_settings(tests: &str, machine: Settings) -> TestSettings {
        let tests = Pattern::new(tests).unwrap();
        TestSettings { tests, machine, timeout_s: None, origin: String::new() }
    }

    #[test]
    fn layers() {
        let test = TestMeta { vcpus: 2, ..TestMeta::named("lp-list") };
        let tests = [
            test_settings("lp-*", settings("b", 0, 200)),
            test_settings("other", settings("c", 9, 900)),
            test_settings("lp-list", settings("d", 3, 0)),
        ];
        let machine = MachineSpec::of(&test, &settings("a", 1, 100), &tests);
        assert_eq!(
            machine,
            MachineSpec {
                vcpus: 3,
                memory_mib: Some(200),
                xen_cmdline: "a b d".into(),
                guest_cmdline: "g=a g=b g=d".into(),
                qemu_args: vec!["-a".into(), "-b".into(), "-d".into()],
            }
        );
    }

    #[test]
    fn a_xen_gives_cpus_but_takes_none() {
        let test = |vcpus| TestMeta { vcpus, ..TestMeta::named("t") };
        let vcpus = |own, xen| MachineSpec::of(&test(own), &settings("", xen, 0), &[]).vcpus;
        assert_eq!([vcpus(1, 0), vcpus(1, 4), vcpus(4, 2)], [1, 4, 4]);
    }
}

//! How a boot is made again: a file in its folder, beside the links to what it booted.
//!
//! The boot's log has its command for people. This is the same for `debug`, with what a judge of the
//! console has to know.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::metadata::Environment;
use serde::{Deserialize, Serialize};

use crate::base::exit::{Error, IoContext, Result};
use crate::judge::{Judge, PlannedTest};
use crate::machine::Boot;
use crate::machine::boot::Limits;
use crate::machine::qemu::{Invocation, Qemu};
use crate::plan::loader::Loader;

/// The file's name in the boot's folder.
pub const FILE: &str = "boot.json";

/// A boot, from power on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Recipe {
    /// The Xen, as the user called it.
    pub xen: String,
    /// The file that was booted.
    pub path: PathBuf,
    /// The version of the package that it came from, if it did.
    pub version: Option<String>,
    /// What the image ran as.
    pub environment: Environment,
    /// What loaded Xen.
    pub loader: Loader,
    /// Whether KVM ran the machine.
    pub kvm: bool,
    /// Whether time advanced with instructions.
    pub fast: bool,
    /// CPUs of the machine.
    pub vcpus: u32,
    /// QEMU,
    pub program: PathBuf,
    /// its arguments,
    pub args: Vec<String>,
    /// and its description of itself.
    pub qemu: String,
    /// Seconds from power on to the first test, and between two tests.
    pub boot_s: u64,
    /// What it was to run.
    pub tests: Vec<Planned>,
}

/// A test of a boot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Planned {
    /// Its name.
    pub name: String,
    /// Seconds that it may take.
    pub seconds: u64,
    /// Its cases, in order.
    pub cases: Vec<String>,
}

impl Recipe {
    /// That of `boot`, which `qemu` of this `version` carries out by `invocation`.
    pub fn of(
        boot: &Boot<'_>,
        qemu: &Qemu,
        version: &str,
        invocation: &Invocation,
        limits: &Limits<'_>,
    ) -> Result<Recipe> {
        let file = boot.xen.bootable()?;
        let tests = boot.tests.iter().map(|selected| Planned {
            name: selected.test.name.clone(),
            seconds: (limits.test)(&selected.test.name).as_secs(),
            cases: selected.test.cases.clone(),
        });
        Ok(Recipe {
            xen: boot.xen.name().to_owned(),
            path: file.path.clone(),
            version: file.version.clone(),
            environment: boot.environment,
            loader: boot.xen.hypervisor.loader,
            kvm: qemu.kvm.is_for(boot),
            fast: qemu.is_fast(boot),
            vcpus: boot.machine.vcpus,
            program: invocation.program.clone(),
            args: invocation.args.clone(),
            qemu: version.to_owned(),
            boot_s: limits.boot.as_secs(),
            tests: tests.collect(),
        })
    }

    /// Writes it into the boot's folder `dir`.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        let text = serde_json::to_vec_pretty(self).io("write", &path)?;
        fs::write(&path, text).io("write", &path)
    }

    /// That of the boot whose folder is `dir`.
    pub fn read(dir: &Path) -> Result<Recipe> {
        let path = dir.join(FILE);
        if !path.exists() {
            return Err(Error::Data(format!(
                "{} does not say how its boot is made again: it has no {FILE}. Domains of xl's have \
                 none, nor have recordings that were interrupted, nor boots of an older xtf-runner; run \
                 the test again with --backend qemu",
                dir.display()
            )));
        }
        let text = fs::read(&path).io("read", &path)?;
        serde_json::from_slice(&text).map_err(|why| {
            Error::Data(format!("{}: {why}; it is of another xtf-runner", path.display()))
        })
    }

    /// Why QEMU can't record such a boot, if it can't, and what can be done.
    pub fn not_recordable(&self) -> Option<String> {
        let Recipe { kvm, fast, vcpus, loader, .. } = self;
        if *kvm {
            return Some(
                "it ran under KVM, where QEMU does not count instructions; run the test again with \
                 --accel tcg, and debug that boot"
                    .into(),
            );
        }
        if *vcpus != 1 {
            return Some(format!(
                "its machine had {vcpus} CPUs, and what they do at the same time is not the same \
                 twice; `run --gdb` stops such a machine before its first instruction"
            ));
        }
        if !fast {
            return Some(
                "it ran in real time, which is not the same twice; run the test again with \
                 --boot fast, and debug that boot"
                    .into(),
            );
        }
        (*loader != Loader::Direct).then(|| {
            format!(
                "it was loaded by {}, whose disks QEMU can't put back; run the test again with \
                 --loader direct, and debug that boot",
                loader.name()
            )
        })
    }

    /// Who judges it.
    pub fn judge(&self) -> Judge {
        let planned = self
            .tests
            .iter()
            .map(|test| PlannedTest { name: test.name.clone(), cases: test.cases.clone() });
        Judge::new(self.environment.banner(), planned.collect())
    }

    /// Time for the test of that name.
    pub fn test_time(&self, name: &str) -> Duration {
        let test = self.tests.iter().find(|test| test.name == name);
        Duration::from_secs(test.map_or(self.boot_s, |test| test.seconds))
    }
}

#[cfg(test)]
impl Recipe {
    /// Of a boot that can be recorded.
    pub fn sample() -> Recipe {
        Recipe {
            xen: "4.17".into(),
            path: "/x/xen".into(),
            version: None,
            environment: Environment::Pv64,
            loader: Loader::Direct,
            kvm: false,
            fast: true,
            vcpus: 1,
            program: "qemu".into(),
            args: ["-rtc", "clock=vm", "-kernel", "xen"].map(String::from).to_vec(),
            qemu: "QEMU emulator version 7.2.22".into(),
            boot_s: 60,
            tests: vec![Planned { name: "a".into(), seconds: 5, cases: vec!["b".into()] }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let recipe = Recipe::sample();
        recipe.write(dir.path()).unwrap();
        assert_eq!(Recipe::read(dir.path()).unwrap(), recipe);
        fs::write(dir.path().join(FILE), "{}").unwrap();
        let why = Recipe::read(dir.path()).unwrap_err();
        assert!(why.to_string().contains("another xtf-runner"), "{why}");
    }

    #[test]
    fn a_folder_without_one_is_explained() {
        let dir = tempfile::tempdir().unwrap();
        let why = Recipe::read(dir.path()).unwrap_err().to_string();
        assert!(why.contains("has no boot.json"), "{why}");
    }

    #[test]
    fn what_is_not_the_same_twice_is_not_recorded() {
        let of = |change: fn(&mut Recipe)| {
            let mut recipe = Recipe::sample();
            change(&mut recipe);
            recipe.not_recordable()
        };
        assert_eq!(of(|_| {}), None);
        for (why, words) in [
            (of(|recipe| recipe.kvm = true), "--accel tcg"),
            (of(|recipe| (recipe.vcpus, recipe.fast) = (2, false)), "2 CPUs"),
            (of(|recipe| recipe.fast = false), "--boot fast"),
            (of(|recipe| recipe.loader = Loader::Efi), "loaded by efi"),
        ] {
            assert!(why.as_ref().is_some_and(|why| why.contains(words)), "{words}: {why:?}");
        }
    }

    #[test]
    fn each_test_has_its_own_time() {
        let recipe = Recipe::sample();
        assert_eq!(recipe.test_time("a"), Duration::from_secs(5));
        assert_eq!(recipe.test_time("?"), Duration::from_secs(60));
    }
}

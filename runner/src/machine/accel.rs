//! Where KVM really boots Xen.
//!
//! A machine may offer a /dev/kvm on which Xen does not boot (an instruction that the host's KVM
//! does not emulate, no nested virtualisation for a PVH dom0). So `--accel auto` tries, once for
//! each host kernel, QEMU and Xen, and remembers the answer in the cache.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use protocol::metadata::Environment;
use serde::{Deserialize, Serialize};

use crate::base::exit::{Error, IoContext, Result};
use crate::base::hash::sha256;
use crate::base::signals::StopSignal;
use crate::image::Image;
use crate::machine::Boot;
use crate::machine::boot::Limits;
use crate::machine::debug::Debug;
use crate::machine::qemu::{Kvm, Qemu};
use crate::machine::trial::Trial;
use crate::plan::loader::Loader;
use crate::plan::spec::MachineSpec;
use crate::xen::hypervisor::{Cache, XenUnderTest};

/// The device.
const DEVICE: &str = "/dev/kvm";
/// Where KVM boots Xen, it takes about a second; the answer is remembered, so better wait too long
/// once than go without KVM from then on.
const PATIENCE: Duration = Duration::from_secs(20);

/// Accelerators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Accel {
    /// QEMU's own translator
    Tcg,
    /// /dev/kvm, with nested virtualisation for pvh64
    Kvm,
    /// KVM if Xen boots under it, else TCG
    Auto,
}

/// Why the device can't be used, if it can't.
pub fn unusable() -> Option<String> {
    let opened = OpenOptions::new().read(true).write(true).open(DEVICE);
    opened.err().map(|e| format!("{DEVICE} can't be used: {e}"))
}

/// What the cache remembers.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Answer {
    works: bool,
    /// What came instead of the guest.
    why: String,
    /// For whom the answer was given; the file's name is a hash of this.
    asked: Question,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Question {
    kernel: String,
    qemu: String,
    xen: String,
    environment: Environment,
    /// What is not said is [`Loader::Direct`].
    #[serde(default, skip_serializing_if = "is_direct")]
    loader: Loader,
}

fn is_direct(loader: &Loader) -> bool {
    *loader == Loader::Direct
}

/// Somebody who knows, or finds out, whether KVM works.
pub struct KvmProbe<'a> {
    /// How to boot, apart from the answer.
    pub qemu: &'a Qemu,
    /// QEMU's description of itself.
    pub version: &'a str,
    /// The image.
    pub image: &'a Image,
    /// Where the answers are.
    pub cache: &'a Cache,
}

impl KvmProbe<'_> {
    /// Where KVM works for `boots`. Without `stop` nothing is tried out, and what is not known does
    /// not work. `note` hears about every Xen that has to do without.
    pub fn ask(
        &self,
        boots: &[Boot<'_>],
        stop: Option<&StopSignal>,
        note: &mut dyn FnMut(&str),
    ) -> Result<Kvm> {
        let mut works = Vec::new();
        if unusable().is_some() {
            return Ok(Kvm::Never);
        }
        for xen in distinct(boots) {
            let booted = |place| {
                let same =
                    |boot: &Boot<'_>| (boot.xen.name(), boot.environment) == (xen.name(), place);
                boots.iter().any(same) && xen.abilities.lacks(place).is_none()
            };
            for environment in Environment::DOM0.into_iter().filter(|&place| booted(place)) {
                let answer = self.answer(xen, environment, stop, note)?;
                if stop.is_some_and(|stop| stop.requested().is_some()) {
                    return Ok(Kvm::Never);
                }
                match answer {
                    Some(true) => works.push((xen.name().to_owned(), environment)),
                    // A PVH dom0 needs all that a PV one does, and nested virtualisation.
                    Some(false) => break,
                    None => {}
                }
            }
        }
        Ok(Kvm::For(works))
    }

    /// Whether KVM boots `xen`, if that is known or can be tried.
    fn answer(
        &self,
        xen: &XenUnderTest,
        environment: Environment,
        stop: Option<&StopSignal>,
        note: &mut dyn FnMut(&str),
    ) -> Result<Option<bool>> {
        let (name, place) = (xen.name(), environment.name());
        let question = self.question(xen, environment)?;
        let path = self.path(&question)?;
        let answer = match (read(&path), stop) {
            (Some(answer), _) => answer,
            (None, None) => {
                note(&format!(
                    "it is not known yet whether KVM boots Xen {name}; a run without --dry-run \
                     tries it"
                ));
                return Ok(None);
            }
            (None, Some(stop)) => {
                note(&format!("trying whether KVM boots Xen {name} as {place}"));
                let answer = self.try_out(xen, question, stop)?;
                if stop.requested().is_some() {
                    return Ok(None);
                }
                if let Err(e) = write(&path, &answer) {
                    note(&format!("cannot store in the cache whether KVM boots it: {e}"));
                }
                answer
            }
        };
        if !answer.works {
            let path = path.display();
            note(&format!("KVM does not boot Xen {name} as {place} ({path}); using TCG"));
        }
        Ok(Some(answer.works))
    }

    fn question(&self, xen: &XenUnderTest, environment: Environment) -> Result<Question> {
        let uname = rustix::system::uname();
        let text = |words: &std::ffi::CStr| words.to_string_lossy().into_owned();
        let path = &xen.bootable()?.path;
        Ok(Question {
            kernel: format!("{} {}", text(uname.release()), text(uname.version())),
            qemu: self.version.to_owned(),
            xen: sha256(&fs::read(path).io("read", path)?),
            environment,
            loader: xen.hypervisor.loader,
        })
    }

    fn path(&self, question: &Question) -> Result<PathBuf> {
        let json = serde_json::to_vec(question).io("describe", Path::new("a question"))?;
        Ok(self.cache.root().join(format!("kvm-{}.json", &sha256(&json)[..16])))
    }

    /// Boots with a guest that has nothing to do.
    fn try_out(&self, xen: &XenUnderTest, asked: Question, stop: &StopSignal) -> Result<Answer> {
        let dir = tempfile::tempdir().map_err(|source| Error::Io {
            what: "cannot create a folder to try KVM in".into(),
            source,
        })?;
        let machine = MachineSpec { vcpus: 1, ..MachineSpec::default() };
        let environment = asked.environment;
        let boot = Boot { xen, environment, machine, tests: Vec::new() };
        let qemu = Qemu { kvm: Kvm::Always, debug: Debug::No, ..self.qemu.clone() };
        let limits = Limits::new(PATIENCE, &|_| PATIENCE);
        let trial = Trial { image: &self.image.of(environment).path, limits: &limits, stop };
        let invocation = qemu.invocation(&boot)?;
        let went = trial.idle(dir.path().join("boot"), &boot, &invocation, &mut |_| {})?;
        Ok(Answer { works: went.is_ok(), why: went.err().unwrap_or_default(), asked })
    }
}

/// The Xens of `boots`, each once.
fn distinct<'a>(boots: &[Boot<'a>]) -> Vec<&'a XenUnderTest> {
    let mut xens: Vec<&XenUnderTest> = boots.iter().map(|boot| boot.xen).collect();
    // The boots of a Xen follow one another.
    xens.dedup_by_key(|xen| xen.name());
    xens
}

fn read(path: &Path) -> Option<Answer> {
    // An answer that can't be read is none.
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn write(path: &Path, answer: &Answer) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).io("create", folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).io("write to", folder)?;
    serde_json::to_writer_pretty(&mut file, answer).io("write", path)?;
    // Two runners that ask the same get the same answer.
    file.persist(path).map_err(|e| e.error).io("write", path)?;
    Ok(())
}

//! `fuzz`: starts `xtf-fuzz` and prepares its machines; and the target `hypercall`, which needs no
//! coverage.

mod hypercall;
mod saved;

use std::borrow::Cow;
use std::env;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use protocol::plugin as options;
use protocol::programs::{FUZZ_EXECUTOR, PATIENT};

use crate::base::exit::{Error, Exit, IoContext, Result};
use crate::cli::{FuzzArgs, FuzzTarget, GuidedArgs};
use crate::commands::{chosen, testbed};
use crate::machine::Boot;
use crate::machine::logs;
use crate::machine::plugin::Plugin;
use crate::machine::qemu::{BootMode, Invocation, Qemu};
use crate::machine::testbed::Testbed;
use crate::plan::select::Selected;
use crate::results::expect::{Expectations, Subject};
use crate::xen::symbols::code::{Targets, blocks, body};
use crate::xen::symbols::{Build, XenFunction};

pub use crate::base::signals::StopSignal;
pub use crate::base::status::Status;
pub use crate::commands::replay::{Place, kind_of_divergence};
pub use crate::judge::xen::{Vitals, XenWatch};
pub use crate::machine::plugin::MAP;
pub use crate::machine::session::cpus;
pub use crate::results::Known;
pub use saved::Saved;

/// Name of the fuzzer's program.
const PROGRAM: &str = "xtf-fuzz";
/// Name of the mailbox in a boot's folder.
pub const MAILBOX: &str = "mailbox";

/// Runs the command.
pub fn fuzz(args: &FuzzArgs) -> Result<Exit> {
    match &args.target {
        FuzzTarget::Guided(_) => start(),
        FuzzTarget::Hypercall(args) => hypercall::fuzz(args),
    }
}

/// Becomes `xtf-fuzz`, with the arguments of this program.
fn start() -> Result<Exit> {
    let exe = env::current_exe().io("find", Path::new("this program"))?;
    let program = exe.with_file_name(PROGRAM);
    if !program.is_file() {
        return Err(Error::Tool(format!(
            "there is no {}; build it with `make fuzzer`",
            program.display()
        )));
    }
    // The first of them is `fuzz`, which has brought us here.
    let error = Command::new(&program).args(env::args_os().skip(2)).exec();
    Err(Error::Tool(format!("cannot start {}: {error}", program.display())))
}

/// How much Xen says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// Next to nothing, not even the registers in a panic: words on the console take longer than
    /// all the rest.
    Low,
    /// All it has to say.
    Full,
}

/// What is fuzzed, ready to boot.
pub struct Target {
    /// The Xen and its symbols.
    pub build: Build,
    /// Where the basic blocks of the chosen functions begin, rising.
    pub blocks: Vec<u64>,
    rig: Testbed,
    plugin: Plugin,
    args: GuidedArgs,
    expectations: Expectations,
}

impl Target {
    /// Gets everything that `args` name.
    pub fn of(args: &GuidedArgs) -> Result<Target> {
        let on = chosen(&args.bed.on)?;
        let build = on.build(args.functions.symbols.as_deref())?;
        let blocks = starts(
            &build.functions(&args.functions.functions, args.functions.preset)?,
            &Targets::of(&build.symbols),
        )?;
        let rig = testbed(on, &args.bed)?;
        let config = &rig.on.config;
        let plugin = Plugin::find(args.plugin.as_deref(), config, &rig.qemu.binary)?;
        let expectations = Expectations::load(args.expect.as_deref(), config)?;
        Ok(Target { build, blocks, rig, plugin, args: args.clone(), expectations })
    }

    /// What is known of the finding `name`, in which a Xen that calls itself `version` said
    /// `evidence`.
    pub fn known(
        &self,
        name: &str,
        status: Status,
        evidence: &[String],
        version: Option<&str>,
    ) -> Option<Known> {
        let (xen, environment) = (self.rig.on.xen.name.as_str(), self.args.env);
        let subject = Subject { xen, version, environment };
        self.expectations.of_finding(name, status, evidence, subject)
    }

    /// Fills the folder `dir` with what a boot needs, but for the mailbox; returns the command that
    /// boots in it, or goes on from what was saved.
    pub fn prepare(
        &self,
        dir: &Path,
        verbosity: Verbosity,
        saved: Option<&Saved>,
    ) -> Result<Invocation> {
        self.link(dir)?;
        let mut invocation = self.with_boot(verbosity, Qemu::invocation)??;
        if let Some(saved) = saved {
            invocation = saved.go_on(invocation);
        }
        invocation.make_files(dir).io("fill", dir)?;
        let mut more = self.plugin.prepare(dir, &self.blocks)?;
        if let Some(plugin) = more.last_mut() {
            *plugin += &format!(",{}={MAILBOX}", options::MAILBOX);
        }
        invocation.args.extend(more);
        Ok(invocation)
    }

    fn link(&self, dir: &Path) -> Result<()> {
        let (xen, modules) = (&self.build.ready.path, &self.rig.on.xen.modules);
        logs::link(dir, Some(xen), modules, &self.rig.image.path)
    }

    /// Boots a machine, and saves it for others to go on from.
    pub fn save(&self, verbosity: Verbosity) -> Result<Saved> {
        let dir = tempfile::tempdir().map_err(|source| Error::Io {
            what: "cannot create a folder for a machine".into(),
            source,
        })?;
        let dir = dir.path();
        self.link(dir)?;
        let patient = self.with_boot(verbosity, Qemu::invocation)??;
        patient.make_files(dir).io("fill", dir)?;
        Saved::make(patient, dir)
    }

    /// What `what` makes of the boot, and of a QEMU that is set up for it.
    fn with_boot<R>(
        &self,
        verbosity: Verbosity,
        what: impl FnOnce(&Qemu, &Boot<'_>) -> R,
    ) -> Result<R> {
        let selected = &Selected::whole(&self.rig.image, FUZZ_EXECUTOR)?;
        let xen = &self.rig.on.with(self.build.ready.clone());
        let machine = self.rig.on.config.machine(&self.rig.on.xen, &selected.test);
        let boot =
            Boot { xen, environment: self.args.env, machine, tests: vec![Cow::Borrowed(selected)] };
        let mut qemu = self.rig.qemu.clone();
        qemu.guest_cmdline += &format!(" {PATIENT}=1");
        if verbosity == Verbosity::Low {
            // The plainest of schedulers sets the fewest timers; where it is not built, Xen takes
            // another.
            qemu.xen_cmdline = "loglvl=none guest_loglvl=none sched=null".into();
            // Counting instructions for the sake of a clock costs a third of the speed.
            qemu.mode = BootMode::Plain;
        }
        Ok(what(&qemu, &boot))
    }
}

/// Where the basic blocks of `functions` begin.
fn starts(functions: &[&XenFunction], targets: &Targets) -> Result<Vec<u64>> {
    let mut starts = Vec::new();
    for function in functions {
        starts.extend(blocks(&body(function, targets)?, targets).iter().map(|block| block.address));
    }
    starts.sort_unstable();
    starts.dedup();
    Ok(starts)
}

//! Xen under QEMU, with the image as its dom0.

use std::path::Path;

use crate::base::exit::Result;
use crate::base::signals::StopSignal;
use crate::judge::Judge;
use crate::machine::Boot;
use crate::machine::backend::{Backend, Prepared, judge_of};
use crate::machine::boot::{ConsoleProcess, Limits};
use crate::machine::logs::BootLogs;
use crate::machine::qemu::{Invocation, Qemu};

/// The backend.
pub struct AsDom0<'a> {
    /// How to boot.
    pub qemu: &'a Qemu,
    /// QEMU's description of itself.
    pub version: &'a str,
    /// Adds to each boot's folder what it needs beyond that; returns further arguments for QEMU.
    pub prepare: &'a Prepare<'a>,
}

/// See [`AsDom0::prepare`].
pub type Prepare<'a> = dyn Fn(&Path) -> Result<Vec<String>> + Sync + 'a;

/// A boot that needs nothing more.
pub fn as_it_is(_: &Path) -> Result<Vec<String>> {
    Ok(Vec::new())
}

impl AsDom0<'_> {
    /// The command for `boot`, which is said in its log what it runs on.
    pub(super) fn invocation(&self, boot: &Boot<'_>, logs: &mut BootLogs) -> Result<Invocation> {
        let provenance = &boot.xen.bootable()?.provenance;
        logs.decision(&format!("Xen: {provenance}\nQEMU: {}", self.version))?;
        let mut invocation = self.qemu.invocation(boot);
        invocation.args.extend((self.prepare)(logs.dir())?);
        Ok(invocation)
    }

    /// All about `boot`, which `carrier` carries out.
    pub(super) fn prepared<'s>(
        &self,
        boot: &Boot<'_>,
        mode: &'static str,
        carrier: Box<dyn ConsoleProcess + 's>,
        judge: Judge,
    ) -> Result<Prepared<'s>> {
        let provenance = boot.xen.bootable()?.provenance.clone();
        Ok(Prepared { provenance, backend: "qemu", mode, note: None, start: Ok((carrier, judge)) })
    }
}

impl Backend for AsDom0<'_> {
    fn prepare<'s>(
        &'s self,
        boot: &Boot<'_>,
        _: &Limits<'_>,
        _: &StopSignal,
        logs: &mut BootLogs,
    ) -> Result<Prepared<'s>> {
        if let Some(why) = boot.xen.abilities.lacks(boot.environment) {
            return Prepared::not(boot, why);
        }
        let invocation = self.invocation(boot, logs)?;
        let judge = judge_of(boot).demand_options(&invocation.xen_cmdline);
        self.prepared(boot, self.qemu.mode_of(boot), Box::new(invocation), judge)
    }
}

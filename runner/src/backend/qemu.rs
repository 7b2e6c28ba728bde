//! Xen under QEMU, with the image as its dom0.

use std::path::Path;

use crate::boot::Limits;
use crate::config::Hypervisor;
use crate::exit::Result;
use crate::hypervisor::Ready;
use crate::logs::BootLogs;
use crate::plan::Boot;
use crate::qemu::Qemu;
use crate::session::{Backend, Prepared};
use crate::signals::Stop;

/// The backend.
pub struct AsDom0<'a> {
    /// What to run on.
    pub xens: &'a [Hypervisor],
    /// The same, ready.
    pub ready: &'a [Ready],
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

impl Backend for AsDom0<'_> {
    fn xen_name(&self, xen: usize) -> &str {
        &self.xens[xen].name
    }

    fn xen_file(&self, xen: usize) -> Option<&Path> {
        Some(&self.ready[xen].elf)
    }

    fn prepare<'s>(
        &'s self,
        boot: &Boot<'_>,
        _: &Limits<'_>,
        _: &Stop,
        logs: &mut BootLogs,
    ) -> Result<Prepared<'s>> {
        let provenance = self.ready[boot.xen].provenance.clone();
        logs.decision(&format!("Xen: {provenance}\nQEMU: {}", self.version))?;
        let mut invocation = self.qemu.invocation(boot);
        invocation.args.extend((self.prepare)(logs.dir())?);
        let judge = boot.judge().demand_options(&invocation.xen_cmdline);
        Ok(Prepared {
            provenance,
            backend: "qemu",
            mode: self.qemu.mode_of(boot),
            start: Ok((Box::new(invocation), judge)),
        })
    }
}

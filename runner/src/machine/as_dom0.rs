//! Xen under QEMU, with the image as its dom0.

use std::path::Path;

use crate::base::exit::Result;
use crate::base::signals::StopSignal;
use crate::machine::Boot;
use crate::machine::backend::{Backend, Prepared, judge_of};
use crate::machine::boot::{ConsoleProcess, Limits};
use crate::machine::logs::{BootLogs, link_initrd};
use crate::machine::qemu::{Invocation, Qemu};
use crate::machine::recipe::Recipe;
use crate::xen::hypervisor::XenUnderTest;

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

/// How time runs in a boot and on what, and what carries it out.
pub(super) type Carrier<'s> = (&'static str, Box<dyn ConsoleProcess + 's>);

impl AsDom0<'_> {
    /// Makes `boot` ready, unless its Xen can't do it. `carry` makes what carries it out of its
    /// command from power on. Whoever makes it again does so with `instead` in the place of what is
    /// not to be had again.
    pub(super) fn prepare_by<'s>(
        &self,
        boot: &Boot<'_>,
        limits: &Limits<'_>,
        logs: &mut BootLogs,
        instead: &[&str],
        carry: impl FnOnce(Invocation, &mut BootLogs) -> Result<Carrier<'s>>,
    ) -> Result<Prepared<'s>> {
        let XenUnderTest { abilities, hypervisor, .. } = boot.xen;
        let loader = hypervisor.loader;
        let lacking = abilities.lacks(boot.environment);
        if let Some(why) = lacking.or_else(|| abilities.not_loaded_by(loader)) {
            return Prepared::not(boot, why);
        }
        let provenance = boot.xen.bootable()?.provenance.clone();
        let told = format!("Xen: {provenance}\nloader: {}\nQEMU: {}", loader.name(), self.version);
        logs.decision(&told)?;
        if let Some(initrd) = &self.qemu.initrd {
            link_initrd(logs.dir(), &initrd.path)?;
        }
        let mut invocation = self.qemu.invocation(boot)?;
        // A plugin counts, and changes nothing: the boot is the same without it.
        let mut recipe = Recipe::of(boot, self.qemu, self.version, &invocation, limits)?;
        recipe.args.extend(instead.iter().map(|&arg| arg.to_owned()));
        recipe.write(logs.dir())?;
        invocation.args.extend((self.prepare)(logs.dir())?);
        let judge = judge_of(boot).demand_options(&invocation.xen_cmdline);
        let (mode, carrier) = carry(invocation, logs)?;
        let (loader, start) = (Some(loader), Ok((carrier, judge)));
        Ok(Prepared { provenance, backend: "qemu", loader, mode, note: None, start })
    }
}

impl Backend for AsDom0<'_> {
    fn prepare<'s>(
        &'s self,
        boot: &Boot<'_>,
        limits: &Limits<'_>,
        _: &StopSignal,
        logs: &mut BootLogs,
    ) -> Result<Prepared<'s>> {
        self.prepare_by(boot, limits, logs, &[], |plain, _| {
            Ok((self.qemu.mode_of(boot), Box::new(plain)))
        })
    }
}

//! Domains that the real xl creates.
//!
//! A script, the agent, runs a domain on the Xen host ([`place`]): this host, one that ssh reaches,
//! or a Linux [`dom0`] that the runner boots under QEMU and reaches by ssh as well.

mod capabilities;
pub mod dom0;
mod domain;
mod domains;
pub mod place;
mod site;

pub use domains::{BootedXen, Domains, Source};
pub use place::Remote;

use crate::base::exit::{Error, Result};
use crate::base::output::note;
use crate::plan::config::Hypervisor;
use crate::xen::hypervisor::{self, Cache, XenUnderTest};

/// The Xens with the dom0s that go with them.
pub fn booted_xens(xens: &[Hypervisor], cache: &Cache) -> Result<Vec<BootedXen>> {
    let booted = xens.iter().map(|xen| {
        let toolstack = xen.toolstack.as_ref().ok_or_else(|| {
            Error::Usage(format!(
                "no toolstack is known for Xen `{0}`; give it a `[hypervisor.{0}]` with `toolstack \
                 = {{ suite = \"bookworm\", package = \"xen-utils-4.17\" }}` in xtf-runner.toml",
                xen.name
            ))
        })?;
        let XenUnderTest { elf, provenance, .. } = hypervisor::obtain(xen, cache, &mut note)?;
        let dom0 = dom0::obtain(toolstack, cache, &mut note)?;
        let (name, cmdline) = (xen.name.clone(), xen.machine.xen_cmdline.clone());
        Ok(BootedXen { name, elf, provenance, cmdline, dom0 })
    });
    booted.collect()
}

//! Domains that the real xl creates.
//!
//! A script, the agent, runs a domain on the Xen host ([`host_shell`]): this host, one that ssh
//! reaches, or a Linux [`dom0`] that the runner boots under QEMU and reaches by ssh as well.

mod capabilities;
pub mod dom0;
mod domain;
mod domains;
pub mod host_shell;
mod xen_host;

use std::collections::BTreeMap;
use std::path::Path;

pub use domain::Domain;
pub use domains::Domains;
pub use host_shell::Remote;

use self::dom0::Dom0;
use crate::base::exit::{Error, Result};
use crate::base::output::note;
use crate::machine::qemu::Qemu;
use crate::plan::config::Hypervisor;
use crate::plan::loader::Loader;
use crate::xen::hypervisor::{self, Cache, XenFile, XenUnderTest};

/// Where domains run.
pub enum Hosts {
    /// On a Xen host that is there; `None` is this one.
    Given(Option<Remote>),
    /// In a Linux dom0 for each Xen, booted when it is needed first.
    Booted {
        /// How.
        qemu: Qemu,
        /// By the Xen's name.
        dom0s: BTreeMap<String, Dom0>,
    },
}

impl Hosts {
    /// The one that ssh reaches as `host` with this configuration, else this one; and its Xen.
    pub fn given(host: Option<&str>, config: Option<&Path>) -> (Vec<XenUnderTest>, Hosts) {
        let xen = XenUnderTest::new(&xen_of(host), None);
        (vec![xen], Hosts::Given(host.map(|host| Remote::of(host, config))))
    }

    /// Those that `qemu` boots for `xens`, and the Xens.
    pub fn booted(
        qemu: Qemu,
        xens: &[Hypervisor],
        cache: &Cache,
    ) -> Result<(Vec<XenUnderTest>, Hosts)> {
        let mut ready = Vec::new();
        let mut dom0s = BTreeMap::new();
        for xen in xens {
            let (file, dom0) = with_dom0(xen, &[], cache)?;
            ready.push(XenUnderTest::new(xen, Some(file)));
            dom0s.insert(xen.name.clone(), dom0);
        }
        Ok((ready, Hosts::Booted { qemu, dom0s }))
    }
}

/// The Xen of the host that ssh reaches as `host`, or of this one, as the user knows it.
pub fn xen_of(host: Option<&str>) -> Hypervisor {
    Hypervisor::elsewhere(host.unwrap_or("xl"))
}

/// Whether the machine with the Linux dom0 can boot this Xen.
pub fn can_boot(xen: &Hypervisor) -> bool {
    xen.loader == Loader::Direct
}

/// Why it can't.
pub fn why_not(xen: &Hypervisor) -> String {
    format!(
        "Xen {} is to be loaded by {}, but below domains, and with the command dom0, it is QEMU that \
         loads Xen (--loader direct)",
        xen.name,
        xen.loader.name()
    )
}

/// Gets a Xen and the dom0 that goes with it, which has the packages `extra`, too.
pub fn with_dom0(xen: &Hypervisor, extra: &[String], cache: &Cache) -> Result<(XenFile, Dom0)> {
    let toolstack = xen.toolstack.as_ref().ok_or_else(|| {
        Error::Usage(format!(
            "no toolstack is known for Xen `{0}`; give it a `[hypervisor.{0}]` with `toolstack = \
             {{ suite = \"bookworm\", package = \"xen-utils-4.17\" }}` in xtf-runner.toml",
            xen.name
        ))
    })?;
    if !can_boot(xen) {
        return Err(Error::Usage(why_not(xen)));
    }
    let file = hypervisor::obtain(xen, cache, &mut note)?;
    let dom0 = dom0::obtain(toolstack, extra, cache, &mut note)?;
    Ok((file, dom0))
}

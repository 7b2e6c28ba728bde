//! The subcommands: one file or folder each, which says what the command does, in order.
//!
//! A command plans, gets a Xen, boots, and reports with what the other rooms offer. It may print,
//! and read what its arguments name. Nothing below this room knows a command.

pub(crate) mod bench;
pub(crate) mod coverage;
pub(crate) mod debug;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod dom0;
pub(crate) mod export;
pub mod fuzz;
pub(crate) mod generate;
pub(crate) mod iso;
pub(crate) mod judge;
pub(crate) mod list;
pub(crate) mod merge;
pub(crate) mod mutate;
pub(crate) mod new;
pub(crate) mod payload;
pub(crate) mod replay;
pub(crate) mod run;

use crate::base::exit::{Error, Result};
use crate::base::output::note;
use crate::cli::{TestbedArgs, XenArgs};
use crate::machine::testbed::{ChosenXen, Testbed};
use crate::plan::config::Hypervisor;

/// The Xen that the user means.
fn chosen(args: &XenArgs) -> Result<ChosenXen> {
    let (config, xen) = (args.config.as_deref(), args.xen.as_deref());
    ChosenXen::of(config, xen, args.loader.loader, args.fetch.look())
}

/// Those of `xens` that can do it: the others are left out, unless nothing is left.
fn able(
    xens: Vec<Hypervisor>,
    can: impl Fn(&Hypervisor) -> bool,
    why_not: impl Fn(&Hypervisor) -> String,
) -> Result<Vec<Hypervisor>> {
    let (good, others): (Vec<_>, Vec<_>) = xens.into_iter().partition(can);
    for xen in &others {
        let why = why_not(xen);
        match good.is_empty() {
            true => return Err(Error::Usage(why)),
            false => note(&format!("leaving out a Xen: {why}")),
        }
    }
    Ok(good)
}

/// That Xen, with the image and the QEMU that the user means.
fn testbed(on: ChosenXen, args: &TestbedArgs) -> Result<Testbed> {
    Testbed::of(on, args.image.as_deref(), args.qemu.as_deref())
}

//! The machine under test: what boots, on what, watched by whom, and what is written down of it.
//!
//! A [`session`] takes the boots of a plan and hands each to a [`backend`]: QEMU with the image as
//! dom0 ([`as_dom0`]), the same from a [`snapshot`], or domains of the real [`xl`]. All of them
//! give a process whose output is the console: [`boot`] runs it, and a `watch` keeps its limits,
//! writes its [`logs`], and feeds the judge. An `account` tells what comes of each boot, and a
//! [`lookout`] looks at a machine from outside. Who tries something with a single boot makes a
//! [`trial`]. A boot's folder keeps a [`recipe`] by which it is made again, and [`rewind`] goes to any
//! instruction of it. What others recorded of their machines is a [`console`], whose boots are taken
//! by [`listening`].
//!
//! What gets Xen into memory is a [`loader`]; [`grub`] makes media that boot, for QEMU and for real
//! machines.
//!
//! This room may start processes and write below the log folder. It decides no verdict, and knows
//! neither commands nor reports.

pub mod accel;
mod account;
pub mod as_dom0;
pub mod backend;
pub mod boot;
pub mod command_lines;
pub mod console;
pub mod cpio;
pub mod debug;
mod findings;
pub mod grub;
mod job;
pub mod listening;
pub mod loader;
pub mod logs;
pub mod lookout;
pub mod plugin;
pub mod qemu;
mod qmp;
pub mod queue;
pub mod recipe;
pub mod rewind;
pub mod serial;
pub mod session;
pub mod snapshot;
pub mod socket;
pub mod testbed;
pub mod trial;
mod watch;
pub mod xl;

use crate::plan;
use crate::plan::config::Hypervisor;
use crate::xen::hypervisor::XenUnderTest;

/// A boot of the plan, on a Xen that was obtained.
pub type Boot<'a> = plan::Boot<'a, XenUnderTest>;

/// The boots that were `planned`, each on that of the `obtained` Xens that bears its name.
pub fn boots_on<'a>(
    planned: &[plan::Boot<'a, Hypervisor>],
    obtained: &'a [XenUnderTest],
) -> Vec<Boot<'a>> {
    let on = |boot: &plan::Boot<'a, Hypervisor>| {
        let xen = obtained.iter().find(|xen| xen.name() == boot.xen.name)?;
        Some(boot.on(xen))
    };
    planned.iter().filter_map(on).collect()
}

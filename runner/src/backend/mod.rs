//! What carries out boots: the image as dom0 under QEMU, or as domains that the real xl creates.
//!
//! One script, the agent, runs a domain where xl is. Where that is ([`place`]) is this machine, one
//! that ssh reaches, or a Linux [`dom0`] that the runner boots under the chosen Xen in QEMU, and
//! then reaches in the same way: the third is the second with a machine of our own.

mod capabilities;
pub mod dom0;
mod domain;
mod domains;
mod place;
mod qemu;
mod run;
mod site;
mod snapshot;

pub use domains::{Domains, Source};
pub use place::Remote;
pub use qemu::{AsDom0, as_it_is};
pub use run::{booted_xens, run};
pub use snapshot::FromSnapshot;

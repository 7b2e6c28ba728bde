//! Paravirtualised guests: entry from the domain builder, Xen-checked page tables. What depends on
//! the width of the guest is in `width::pv`.

pub(crate) mod entry;
pub mod event;
pub(crate) mod memory;
pub(crate) mod platform;
pub(crate) mod start_info;
pub(crate) mod traps;
pub(crate) mod vcpu;

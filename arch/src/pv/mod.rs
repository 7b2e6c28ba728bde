//! Paravirtualised guests: entry from the domain builder, Xen-checked page tables.

mod entry;
pub mod event;
mod memory;
mod platform;
mod start_info;
mod traps;
mod vcpu;

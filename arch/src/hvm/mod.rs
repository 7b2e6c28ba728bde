//! PVH and HVM guests: entry in 32-bit protected mode, hardware descriptor and page tables.

mod descriptors;
mod devices;
mod entry;
mod memory;
mod platform;
mod start_info;
mod traps;
mod vcpu;
mod xen;

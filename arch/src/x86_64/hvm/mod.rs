//! PVH and HVM guests in long mode.

pub mod descriptors;
mod devices;
mod entry;
pub mod memory;
mod traps;
pub mod vcpu;

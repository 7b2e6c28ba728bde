//! PVH and HVM guests of 32 bits, in one of three paging modes.

pub mod accessed;
pub mod descriptors;
mod double_fault;
mod entry;
pub mod memory;
pub mod paging;
mod physmap;
mod task;
mod traps;
pub mod vcpu;

//! PVH and HVM guests: entry in 32-bit protected mode, hardware descriptor and page tables.

mod descriptors;
mod devices;
mod entry;
pub(crate) mod memory;
mod vcpu;
mod xen;

pub(crate) use descriptors::{
    forget as forget_descriptor_tables, install as install_descriptor_tables,
};
pub(crate) use vcpu::vcpu_context;

//! 64-bit PV guests.

mod entry;
pub mod memory;
pub mod traps;
pub mod vcpu;

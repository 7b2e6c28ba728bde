//! 32-bit PV guests, which run in ring 1.

mod entry;
pub mod tables;
pub mod traps;
pub mod vcpu;

use protocol::metadata::Environment;

/// What the guest is in.
pub const ENVIRONMENT: Environment = Environment::Pv32pae;

/// `FLAT_KERNEL_CS`: the code segment that Xen provides for the guest's kernel.
pub const KERNEL_CS: u16 = 0xe019;
/// `FLAT_KERNEL_SS`, `FLAT_KERNEL_DS`: the stack and data segment that Xen provides for it.
pub const KERNEL_SS: u16 = 0xe021;

//! 64-bit PV guests.

mod entry;
pub mod tables;
pub mod traps;
pub mod vcpu;

use protocol::metadata::Environment;

/// What the guest is in.
pub const ENVIRONMENT: Environment = Environment::Pv64;

/// `FLAT_KERNEL_CS64`: the code segment that Xen provides for the guest's kernel.
pub const KERNEL_CS: u16 = 0xe033;
/// `FLAT_KERNEL_SS64`: the stack segment that Xen provides for it.
pub const KERNEL_SS: u16 = 0xe02b;

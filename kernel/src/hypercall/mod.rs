//! Hypercalls with types: no function in here can break the guest's memory safety.

pub mod sched;
pub mod sysctl;
pub mod version;

//! Hypercalls with types: no function in here can break the guest's memory safety.

pub mod any;
pub mod console_ring;
pub mod cpu_hotplug;
pub mod debug_keys;
pub mod domain;
pub mod physinfo;
pub mod sched;
pub mod symbols;
pub mod sysctl;
pub mod version;

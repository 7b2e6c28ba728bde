//! Xen, as files: getting a [`hypervisor`] from Debian's packages or from a path, and its
//! [`symbols`] and code.
//!
//! This room may fetch packages and write to the cache. It boots nothing.

pub mod hypervisor;
pub mod symbols;

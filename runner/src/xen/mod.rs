//! Xen, as files: getting a [`hypervisor`] from Debian's packages or from a path, its [`symbols`]
//! and code, and what its binary tells about its [`abilities`].
//!
//! This room may fetch packages and write to the cache. It boots nothing.

pub mod abilities;
pub mod hypervisor;
pub mod symbols;

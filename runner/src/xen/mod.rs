//! Xen, as files: getting a [`hypervisor`] from Debian's packages or from a path, its [`symbols`]
//! and code, what its binary tells about its [`abilities`], and the [`place`] where it runs.
//!
//! How its code can be broken on purpose is in [`mutation`].
//!
//! This room may fetch packages and write to the cache. It boots nothing.

pub mod abilities;
pub mod hypervisor;
pub mod mutation;
pub mod place;
pub mod symbols;

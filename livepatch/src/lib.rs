//! Data structures for live patching: what a guest sends to Xen and what Xen answers, without
//! performing any call.
//!
//! The crate is pure data: no hypercall, no hardware, no allocation beyond `alloc`. The guest's
//! image links it; the host tests it with plain `cargo test`.
//!
//! - [`abi`]: the hypercall's structures for every sysctl interface version that has live
//!   patching, and a description of a call in which each field can be wrong on purpose.
//! - [`payload`]: live patches as ELF files, correct ones and ones with single faults.
//! - [`binary`]: what differs between the files that Xen is linked into.
//! - [`change`]: changes to Xen that a guest can see, and how it finds out whether they are there.
//! - [`model`]: what Xen answers, and what it then holds.
//! - [`program`]: sequences of calls as data, generated, written down, read, and run again.

#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

pub mod abi;
pub mod binary;
pub mod change;
mod errno;
pub mod model;
pub mod payload;
pub mod program;

pub use errno::Errno;

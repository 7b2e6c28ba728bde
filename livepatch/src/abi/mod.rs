//! The livepatch sysctl (`XEN_SYSCTL_livepatch_op`) as bytes, per interface version.
//!
//! Xen has no negotiation here: the caller states one interface version and must use exactly the
//! structures of that version. So everything starts with a [`SysctlVersion`], which selects a
//! [`Revision`], which selects how a [`Call`] becomes the 136 bytes of a [`Sysctl`].
//!
//! ```
//! use xtf_livepatch::abi::{Call, List, Name, Out, Revision, LivepatchStatus, SysctlVersion};
//!
//! let version = SysctlVersion(0x15);
//! let revision = Revision::for_version(version).unwrap().revision;
//!
//! // A correct call, and two ways to break it.
//! let name = Name::new(b"example\0");
//! let correct = Call::get(version, name);
//! let bad_flags = Call { flags: 0x8000_0000, ..Call::get(version, name) };
//! let bad_pad = Call::get(version, Name { pad: [0, 1, 0], ..name });
//! # let _ = (correct.encode(revision), bad_flags.encode(revision), bad_pad.encode(revision));
//!
//! // Arrays that Xen fills stay borrowed for as long as the call exists.
//! let mut status = [LivepatchStatus::default(); 4];
//! let (mut names, mut lengths) = ([0u8; 4 * 128], [0u32; 4]);
//! let call = Call::list(version, List {
//!     nr: 4,
//!     name_total_size: 4 * 128,
//!     status: Out::from_slice(&mut status),
//!     name: Out::from_slice(&mut names),
//!     len: Out::from_slice(&mut lengths),
//!     ..List::EMPTY
//! });
//! assert_eq!(call.encode(revision).bytes().len(), 136);
//! ```
//!
//! # Wrong calls that stay harmless to the guest
//!
//! A wrong call must not make Xen write over memory that Rust owns, and yet a test shall need no
//! `unsafe` to build one. Three things together give that:
//!
//! - an address enters a call only as an [`In`] (Xen reads) or an [`Out`] (Xen writes), both
//!   made from slices, or from an address by somebody who vouches for it;
//! - an [`Out`] remembers how much room there is behind its address;
//! - whoever performs the hypercall asks [`Sysctl::check_writes`] first. It reads the bytes as
//!   Xen will and refuses when Xen could write outside of the call's `Out`s.

mod buffers;
mod call;
mod consts;
mod guest;
mod reply;
mod sysctl;
mod values;
mod version;
pub mod wire;

pub use buffers::ListBuffers;
pub use call::{Action, Call, Get, List, Name, Op, Upload};
pub use consts::*;
pub use guest::{In, Out};
pub use reply::{ListReply, names, packed};
pub use sysctl::{Held, Refused, Sysctl};
pub use values::{ActionCmd, State};
pub use version::{Layout, Revision, SysctlVersion};
pub use wire::LivepatchStatus;

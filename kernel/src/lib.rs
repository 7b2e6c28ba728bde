//! The framework that a test author sees.
//!
//! A test is a constant of type [`Test`]: its name, title, category, environments and needs,
//! and its cases. A case is a claim about Xen and a function that checks it and returns an
//! [`Outcome`]. Everything else follows from that one declaration: the registry
//! ([`registry!`]), what can be read from the image without booting it ([`meta`]), what is
//! selected by the command line ([`cmdline`]), what is printed ([`report`]).
//!
//! Nothing here is specific to PV, PVH or HVM: that is `arch`'s business.

#![no_std]

extern crate alloc;

pub mod answer;
pub mod buffer;
pub mod cmdline;
pub mod console;
mod deviation;
mod heap;
pub mod hypercall;
mod input;
pub mod letterbox;
pub mod livepatch;
pub mod lookout;
pub mod meta;
mod observe;
mod outcome;
mod panic;
pub mod payloads;
pub mod report;
pub mod run;
pub mod select;
pub mod smp;
pub mod test;
pub mod xen;

pub use answer::{Answer, Errno};
pub use arch::{clock, memory, trap};
pub use deviation::Deviation;
pub use heap::{heap_free, heap_size};
pub use input::{files, input};
pub use outcome::{Outcome, Stop, expect, expect_that};
pub use protocol::metadata::{Category, Environment, Need};
pub use test::{Case, Context, Test};

//! Everything that knows the CPU or Xen's boot ABI, and nothing else.
//!
//! The rest of the image is ordinary safe Rust because this crate keeps four promises:
//!
//! 1. **One address space.** Virtual = pseudo-physical from 0 up to the end of the heap, in
//!    every environment. Page 0 and the page below the boot stack are never mapped.
//! 2. **One trap frame.** Whatever the environment pushes, [`trap::TrapFrame`] is what
//!    handlers see; an instruction listed in the exception table turns its fault into a value.
//! 3. **One hypercall convention.** [`hypercall::hypercall`] goes through the hypercall page,
//!    which the domain builder (PV) or an MSR (PVH, HVM) filled in.
//! 4. **One way up.** The entry code of [`pv`] or [`hvm`] records a [`Boot`] and calls
//!    `xtf_main`; code above asks [`boot()`] and does not care which of the two it was.
//!
//! What differs between environments is behind one trait, `boot::Platform`, which the entry code
//! brings along. So the arrows go one way: `page`, `layout`, `hypercall`, `port` and `stacks` know
//! nothing else of this crate; `boot` holds the record; what the code above uses ([`memory`],
//! [`trap`], [`console`], [`smp`], [`fw_cfg`], [`serial`]) asks the record; [`pv`] and [`hvm`] use
//! all of them and are used by none. A further environment is a sibling of the two, and no `if`
//! anywhere else.

#![no_std]

mod boot;
pub mod clock;
pub mod console;
pub mod fw_cfg;
pub mod hvm;
pub mod hypercall;
mod layout;
pub mod letterbox;
pub mod mark;
pub mod memory;
mod page;
mod port;
pub mod pv;
pub mod serial;
mod shared_info;
pub mod shutdown;
pub mod smp;
mod stacks;
mod start;
pub mod trap;
mod vcpu;

pub use boot::{Boot, boot, try_boot};

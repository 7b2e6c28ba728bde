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
//!
//! What differs between guests of 64 and of 32 bits is in `width`, which is one of two folders: entry
//! code, registers, trap frames, descriptor and page tables, the calling convention of hypercalls.
//! Both offer the same functions. Addresses are 64 bits wide everywhere; where Xen takes a word of the
//! guest's width, the type is [`hypercall::GuestWord`].

#![no_std]

mod boot;
pub mod clock;
pub mod console;
mod cpu;
pub mod fw_cfg;
pub mod hvm;
pub mod hypercall;
mod layout;
pub mod letterbox;
pub mod mark;
pub mod memory;
mod notes;
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
#[cfg_attr(target_arch = "x86", path = "x86_32/mod.rs")]
#[cfg_attr(target_arch = "x86_64", path = "x86_64/mod.rs")]
mod width;

pub use boot::{Boot, boot, try_boot};

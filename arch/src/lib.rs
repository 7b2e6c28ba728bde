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
//!    `xtf_main`; code above asks [`boot`] and does not care which of the two it was.
//!
//! A further environment (32-bit, say) is a sibling of [`pv`] and [`hvm`] with the same
//! items, and no `if` in the existing ones.

#![no_std]

pub mod clock;
pub mod console;
pub mod fw_cfg;
pub mod hvm;
pub mod hypercall;
mod layout;
pub mod letterbox;
pub mod memory;
mod port;
pub mod pv;
mod shared_info;
pub mod shutdown;
pub mod smp;
pub mod trap;

use protocol::cmdline::CMDLINE_MAX;
use protocol::metadata::Environment;
use spin::Once;

use memory::Region;

/// What the entry code found out about the machine it woke up on.
#[derive(Debug)]
pub struct Boot {
    /// The kind of guest that Xen made of us.
    pub environment: Environment,
    /// Whether Xen calls this the control domain (`SIF_PRIVILEGED`).
    pub privileged: bool,
    /// Memory that nobody uses yet: the heap.
    pub heap: Region,
    cmdline: ([u8; CMDLINE_MAX], usize),
}

impl Boot {
    /// The command line that the loader passed; empty where there is none or it is not UTF-8.
    pub fn cmdline(&self) -> &str {
        core::str::from_utf8(&self.cmdline.0[..self.cmdline.1]).unwrap_or("")
    }
}

static BOOT: Once<Boot> = Once::new();

/// The boot record.
///
/// # Panics
/// Before the entry code has handed over to `xtf_main`.
pub fn boot() -> &'static Boot {
    BOOT.get().expect("the entry code has not finished")
}

/// The boot record, for code that may run while the entry code is still at work.
pub fn try_boot() -> Option<&'static Boot> {
    BOOT.get()
}

unsafe extern "Rust" {
    /// The image's main function, called once, on the boot stack, when all of this crate works.
    safe fn xtf_main() -> !;

    /// Called for a trap that the exception table does not list. Must not return: the state
    /// that was interrupted is not known to be consistent.
    safe fn xtf_unexpected_trap(frame: &trap::TrapFrame) -> !;
}

/// Records what was found and runs the image.
fn start(boot: Boot) -> ! {
    BOOT.call_once(|| boot);
    trap::probe_fault_addresses();
    xtf_main()
}

/// Copies a NUL-terminated command line from where a loader put it.
///
/// # Safety
/// `text` is null or points at bytes that are readable up to a NUL or [`CMDLINE_MAX`] of them.
unsafe fn copy_cmdline(text: *const u8) -> ([u8; CMDLINE_MAX], usize) {
    let mut copy = [0; CMDLINE_MAX];
    let mut len = 0;
    while !text.is_null() && len < CMDLINE_MAX {
        // SAFETY: within the bytes that the caller vouches for: no NUL was seen so far.
        let byte = unsafe { text.add(len).read() };
        if byte == 0 {
            break;
        }
        copy[len] = byte;
        len += 1;
    }
    (copy, len)
}

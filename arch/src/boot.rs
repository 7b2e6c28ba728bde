//! What the entry code found out, and what it brings along for its environment.

use core::{fmt, ptr, slice};

use protocol::cmdline::CMDLINE_MAX;
use protocol::metadata::Environment;
use spin::Once;

use crate::page::{ProtectError, Protection, Region};

/// What differs between environments, for the code that does not care which one it is in.
pub trait Platform: fmt::Debug + Sync {
    /// See [`crate::memory::protect`], whose caller has promised what is needed.
    fn protect(&self, address: u64, protection: Protection) -> Result<(), ProtectError>;

    /// The address that the last page fault was about, whether or not it can be believed.
    fn fault_address(&self) -> u64;

    /// Takes the handlers of all traps away: the next one ends the domain.
    fn forget_traps(&self);

    /// Lets the guest's kernel use I/O ports, or not, where it cannot always. A control domain's
    /// only.
    fn allow_ports(&self, allow: bool);

    /// Writes to a console that is there besides that of Xen or of a ring, if there is one.
    fn debug_console(&self, bytes: &[u8]);

    /// Tells Xen how CPU number `cpu`, which shares the page tables and trap handlers, begins: in
    /// [`crate::start::secondary`], on the stack that ends at `stack`.
    ///
    /// # Errors
    /// Xen's negative errno.
    fn initialise_cpu(&self, cpu: usize, stack: u64) -> Result<(), i64>;
}

/// What the entry code found out about the machine it woke up on.
#[derive(Debug)]
pub struct Boot {
    /// The kind of guest that Xen made of us.
    pub environment: Environment,
    /// Whether Xen calls this the control domain (`SIF_PRIVILEGED`).
    pub privileged: bool,
    /// Memory that nobody uses yet: the heap.
    pub heap: Region,
    /// The file that the loader passed besides the image: a dom0's initrd. Mapped, and outside of
    /// the heap.
    pub(crate) module: Option<Region>,
    pub(crate) platform: &'static dyn Platform,
    pub(crate) cmdline: LoaderLine,
}

impl Boot {
    /// The file that the loader passed besides the image, if there is one.
    pub fn module(&self) -> Option<&'static [u8]> {
        let Region { start, len } = self.module?;
        // SAFETY: the entry code found it mapped where nothing else lies, and nobody writes to it.
        Some(unsafe {
            slice::from_raw_parts(ptr::with_exposed_provenance(start as usize), len as usize)
        })
    }

    /// The command line that the loader passed; empty where there is none or it is not UTF-8.
    pub fn cmdline(&self) -> &str {
        self.cmdline.text()
    }
}

/// A copy of the command line that a loader passed.
#[derive(Debug)]
pub struct LoaderLine {
    bytes: [u8; CMDLINE_MAX],
    len: usize,
}

impl LoaderLine {
    /// The line; empty where there is none or it is not UTF-8.
    pub(crate) fn text(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }

    /// Copies a NUL-terminated line from where a loader put it.
    ///
    /// # Safety
    /// `text` is null or points at bytes that are readable up to a NUL or [`CMDLINE_MAX`] of them.
    pub unsafe fn copy(text: *const u8) -> Self {
        let mut copy = Self { bytes: [0; CMDLINE_MAX], len: 0 };
        while !text.is_null() && copy.len < CMDLINE_MAX {
            // SAFETY: within the bytes that the caller vouches for: no NUL was seen so far.
            let byte = unsafe { text.add(copy.len).read() };
            if byte == 0 {
                break;
            }
            copy.bytes[copy.len] = byte;
            copy.len += 1;
        }
        copy
    }
}

static BOOT: Once<Boot> = Once::new();

/// Records what was found.
pub(crate) fn record(boot: Boot) {
    BOOT.call_once(|| boot);
}

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

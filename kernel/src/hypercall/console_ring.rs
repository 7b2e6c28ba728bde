//! `XEN_SYSCTL_readconsole` (xen/include/public/sysctl.h): what Xen has said since it booted,
//! including the lines from before it had a serial port.

use alloc::string::String;
use alloc::vec;
use core::mem::offset_of;

use arch::hypercall::{hypercall, nr};
use livepatch::abi::{SYSCTL_SIZE, SysctlVersion};

use crate::{Answer, Errno};

const XEN_SYSCTL_READCONSOLE: u32 = 1;

/// The sysctl; the same in every interface version since Xen 4.0.
#[repr(C, align(8))]
struct ReadConsole {
    cmd: u32,
    interface_version: u32,
    clear: u8,
    incremental: u8,
    pad: [u8; 2],
    index: u32,
    buffer: u64,
    /// In: the size of the buffer. Out: bytes written to it.
    count: u32,
    rest: [u32; 27],
}

const _: () = assert!(
    size_of::<ReadConsole>() == SYSCTL_SIZE
        && offset_of!(ReadConsole, index) == 12
        && offset_of!(ReadConsole, buffer) == 16
        && offset_of!(ReadConsole, count) == 24
);

/// The oldest `max` bytes that Xen's ring still holds. They stay there.
///
/// # Errors
/// EPERM for all but the control domain.
pub fn read(running: SysctlVersion, max: usize) -> Result<String, Errno> {
    let mut text = vec![0u8; max];
    let mut call = ReadConsole {
        cmd: XEN_SYSCTL_READCONSOLE,
        interface_version: running.0,
        clear: 0,
        incremental: 0,
        pad: [0; 2],
        index: 0,
        buffer: text.as_mut_ptr().expose_provenance() as u64,
        count: max as u32,
        rest: [0; 27],
    };
    let buffer = (&raw mut call).expose_provenance() as u64;
    // SAFETY: Xen writes the 136 bytes of `call` and at most `count` bytes of `text`.
    Answer(unsafe { hypercall(nr::SYSCTL, [buffer, 0, 0, 0, 0]) }).result()?;
    text.truncate(call.count as usize);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

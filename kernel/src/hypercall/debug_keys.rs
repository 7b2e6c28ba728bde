//! `XEN_SYSCTL_debug_keys` (xen/include/public/sysctl.h): keys for Xen's console, as typed there.

use core::mem::offset_of;

use arch::hypercall::{hypercall, nr};
use livepatch::abi::{SYSCTL_SIZE, SysctlVersion};

use crate::Answer;

const XEN_SYSCTL_DEBUG_KEYS: u32 = 7;

/// The sysctl; the same in every interface version since Xen 4.0.
#[repr(C, align(8))]
struct DebugKeys {
    cmd: u32,
    interface_version: u32,
    keys: u64,
    count: u32,
    rest: [u32; 29],
}

const _: () = assert!(
    size_of::<DebugKeys>() == SYSCTL_SIZE
        && offset_of!(DebugKeys, keys) == 8
        && offset_of!(DebugKeys, count) == 16
);

/// Presses `keys`, one after the other. Key `h` has Xen list what each does. Some of it Xen does
/// later, when this domain blocks.
///
/// EPERM for all but the control domain.
pub fn press(running: SysctlVersion, keys: &[u8]) -> Answer {
    let call = DebugKeys {
        cmd: XEN_SYSCTL_DEBUG_KEYS,
        interface_version: running.0,
        keys: keys.as_ptr().expose_provenance() as u64,
        count: keys.len() as u32,
        rest: [0; 29],
    };
    let buffer = (&raw const call).expose_provenance() as u64;
    // SAFETY: Xen reads the 136 bytes of `call` and `keys`, and writes nothing.
    Answer(unsafe { hypercall(nr::SYSCTL, [buffer, 0, 0, 0, 0]) })
}

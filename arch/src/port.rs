//! I/O ports that cannot harm the guest, whatever is written to them.

use x86_64::instructions::port::PortWriteOnly;

/// The debug console of Xen for HVM guests, and of QEMU (`XEN_HVM_DEBUGCONS_IOPORT`).
const DEBUG_CONSOLE: u16 = 0xe9;

/// Writes to the debug console port. PVH and HVM only: a PV guest has no I/O privilege.
pub(crate) fn debug_console(bytes: &[u8]) {
    let mut port = PortWriteOnly::<u8>::new(DEBUG_CONSOLE);
    for &byte in bytes {
        // SAFETY: the port belongs to a console: a write has no effect on this guest's memory.
        unsafe { port.write(byte) };
    }
}

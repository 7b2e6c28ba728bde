//! I/O ports that cannot harm the guest, whatever is written to them.

use x86_64::instructions::port::{Port, PortWriteOnly};

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

/// The mask of a PC's first interrupt controller.
const INTERRUPT_MASK: u16 = 0x21;

/// What the interrupt controller's mask reads as after `mask` was written to it. It is put back.
/// PVH and HVM only.
pub(crate) fn interrupt_mask(mask: u8) -> u8 {
    let mut port = Port::<u8>::new(INTERRUPT_MASK);
    // SAFETY: this guest takes no interrupts: which of them are masked has no effect.
    unsafe {
        let before = port.read();
        port.write(mask);
        let after = port.read();
        port.write(before);
        after
    }
}

//! I/O ports that cannot harm the guest, whatever is written to them.

use crate::cpu::{read_port, write_port, write_port_word};

/// The debug console of Xen for HVM guests, and of QEMU (`XEN_HVM_DEBUGCONS_IOPORT`).
const DEBUG_CONSOLE: u16 = 0xe9;

/// Writes to the debug console port. PVH and HVM only: a PV guest has no I/O privilege.
pub(crate) fn debug_console(bytes: &[u8]) {
    for &byte in bytes {
        // SAFETY: the port belongs to a console: a write has no effect on this guest's memory.
        unsafe { write_port(DEBUG_CONSOLE, byte) };
    }
}

/// QEMU's firmware configuration device: which item, and its next byte (docs/specs/fw_cfg.rst).
const FW_CFG_SELECTOR: u16 = 0x510;
const FW_CFG_DATA: u16 = 0x511;

/// Goes to the beginning of an item of QEMU's firmware configuration. A control domain's only.
pub(crate) fn fw_cfg_select(item: u16) {
    // SAFETY: the device moves its own cursor and nothing else; where there is none, nobody
    // listens at its ports.
    unsafe { write_port_word(FW_CFG_SELECTOR, item) };
}

/// Reads what comes next there.
pub(crate) fn fw_cfg_read(bytes: &mut [u8]) {
    for byte in bytes {
        // SAFETY: as in `fw_cfg_select`.
        *byte = unsafe { read_port(FW_CFG_DATA) };
    }
}

/// The second serial port of a PC, COM2, and its registers (National Semiconductor PC16550D).
const COM2: u16 = 0x2f8;
/// Registers of a UART, as offsets.
#[derive(Clone, Copy)]
pub(crate) enum Uart {
    /// What is received, and what is to be sent.
    Data = 0,
    /// Which interrupts it raises.
    Interrupts = 1,
    /// Its FIFOs, when written.
    Fifo = 2,
    /// The form of a byte on the line.
    LineControl = 3,
    /// Its readiness, as the other end sees it.
    ModemControl = 4,
    /// What has arrived and what has left.
    LineStatus = 5,
}

/// Writes a register of COM2. A control domain's only.
pub(crate) fn com2_write(register: Uart, value: u8) {
    // SAFETY: the device reads and writes no memory, and raises no interrupt that it is not told
    // to; where there is none, nobody listens at its ports.
    unsafe { write_port(COM2 + register as u16, value) };
}

/// Reads a register of COM2; all ones where there is no such port.
pub(crate) fn com2_read(register: Uart) -> u8 {
    // SAFETY: as in `com2_write`.
    unsafe { read_port(COM2 + register as u16) }
}

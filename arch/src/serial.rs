//! A serial port of a PC that Xen does not use, for a control domain.
//!
//! It is polled: this guest takes no interrupts.

use core::hint::black_box;

use crate::boot::boot;
use crate::port::{self, Uart};

/// In the line status: a byte has arrived.
const ARRIVED: u8 = 1 << 0;
/// In the line status: there is room for a byte to be sent.
const ROOM: u8 = 1 << 5;
/// What a register reads as where there is no port.
const NOBODY: u8 = 0xff;
/// Eight bits, no parity, one stop bit.
const EIGHT_BITS: u8 = 3;
/// FIFOs are on, and emptied.
const FIFO_ON: u8 = 7;
/// Ready, to the other end.
const READY: u8 = 3;
/// Rounds of nothing between two looks: every look takes QEMU's lock, which whoever is to answer needs.
const PATIENCE: u32 = 20_000;

/// The second serial port, COM2. As long as there is one, the guest has access to I/O ports.
#[derive(Debug)]
pub struct Com2(());

impl Com2 {
    /// The port; `None` where there is none. For a control domain: nobody else gets at it.
    pub fn open() -> Option<Com2> {
        boot().platform.allow_ports(true);
        let line = Com2(());
        if port::com2_read(Uart::LineStatus) == NOBODY {
            return None;
        }
        port::com2_write(Uart::Interrupts, 0);
        port::com2_write(Uart::LineControl, EIGHT_BITS);
        port::com2_write(Uart::Fifo, FIFO_ON);
        port::com2_write(Uart::ModemControl, READY);
        Some(line)
    }

    /// Sends bytes.
    pub fn send(&self, bytes: &[u8]) {
        for &byte in bytes {
            wait_for(ROOM);
            port::com2_write(Uart::Data, byte);
        }
    }

    /// Waits for a byte.
    pub fn receive(&self) -> u8 {
        wait_for(ARRIVED);
        port::com2_read(Uart::Data)
    }
}

impl Drop for Com2 {
    fn drop(&mut self) {
        boot().platform.allow_ports(false);
    }
}

fn wait_for(status: u8) {
    while port::com2_read(Uart::LineStatus) & status == 0 {
        (0..PATIENCE).for_each(|_| black_box(()));
    }
}

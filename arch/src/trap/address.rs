//! The address of a page fault, CR2, which is not believed unseen.
//!
//! QEMU 9.1 and later intercept a MOV from CR2 under emulated SVM where Xen intercepts reads of
//! CR0, and a Xen without 3e6bca616b (4.22; 4.20.4, 4.21.2) answers from its own copy, which is
//! stale. [`probe_fault_addresses`] finds out; where CR2 is wrong, the address of a fault is
//! unknown, and nobody is told a wrong one. CR3, CR4 and CR8 take the same way through QEMU, so
//! nothing in this crate reads them.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::boot::boot;
use crate::width::read_byte;

/// Whether [`probe_fault_addresses`] saw the right addresses.
static FAULT_ADDRESSES_HOLD: AtomicBool = AtomicBool::new(false);

/// Finds out whether the address that comes with a page fault is the one that was accessed, from
/// two reads of the unmapped page 0. Two, because a stale address may be right by chance once.
pub(crate) fn probe_fault_addresses() {
    FAULT_ADDRESSES_HOLD.store(true, Ordering::Relaxed);
    let hold = [0x123, 0xabc]
        .into_iter()
        .all(|address| matches!(read_byte(address), Err(fault) if fault.address == Some(address)));
    FAULT_ADDRESSES_HOLD.store(hold, Ordering::Relaxed);
}

/// Whether the addresses of page faults are known in this run.
pub fn fault_addresses_hold() -> bool {
    FAULT_ADDRESSES_HOLD.load(Ordering::Relaxed)
}

/// The address that the last page fault was about (CR2), where it is known.
pub fn fault_address() -> Option<u64> {
    fault_addresses_hold().then(|| boot().platform.fault_address())
}

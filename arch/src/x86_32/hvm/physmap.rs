//! The protection of pages without page tables: a page is given back to Xen, and another one is
//! asked for in its place.
//!
//! Xen then finds no memory there, as where nothing is mapped. The guest's own accesses do not fault:
//! reads give ones, writes are lost.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::hypercall::{DOMID_SELF, GuestWord, POPULATE_PHYSMAP, Reservation, hypercall, nr};
use crate::page::{IDENTITY_END, PAGE_SIZE, ProtectError, Protection};

const XENMEM_DECREASE_RESERVATION: u64 = 1;

/// Pages below [`IDENTITY_END`] that were given back, a bit each.
static GONE: [AtomicU32; (IDENTITY_END / PAGE_SIZE / 32) as usize] =
    [const { AtomicU32::new(0) }; (IDENTITY_END / PAGE_SIZE / 32) as usize];

/// See [`crate::memory::protect`]; without paging. Nothing can be read-only.
pub fn protect(address: u64, protection: Protection) -> Result<(), ProtectError> {
    if address >= IDENTITY_END {
        return Err(ProtectError::NotOurs);
    }
    let frame = address / PAGE_SIZE;
    let (word, bit) = (&GONE[(frame / 32) as usize], 1 << (frame % 32));
    let gone = word.load(Ordering::Relaxed) & bit != 0;
    match protection {
        Protection::ReadOnly => return Err(ProtectError::NoPaging),
        Protection::ReadWrite if gone => {
            exchange(POPULATE_PHYSMAP, frame)?;
            word.fetch_and(!bit, Ordering::Relaxed);
        }
        Protection::None if !gone => {
            exchange(XENMEM_DECREASE_RESERVATION, frame)?;
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Protection::ReadWrite | Protection::None => {}
    }
    Ok(())
}

fn exchange(operation: u64, frame: u64) -> Result<(), ProtectError> {
    let frame = GuestWord::new(frame);
    let request = Reservation::of(&frame, DOMID_SELF as u16);
    // SAFETY: Xen reads `request` and the frame number, which it may write back unchanged; the page
    // belongs to the caller.
    match unsafe { hypercall(nr::MEMORY_OP, [operation, request.address(), 0, 0, 0]) } {
        1 => Ok(()),
        error => Err(ProtectError::Xen(error)),
    }
}

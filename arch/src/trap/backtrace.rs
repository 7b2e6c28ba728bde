//! Who called whom, by frame pointers.

use core::arch::asm;

use super::guarded::read_word;
use crate::layout;

/// The return addresses that the chain of frame pointers starting at `rbp` leads to.
pub fn backtrace(rbp: u64) -> impl Iterator<Item = u64> {
    let text = layout::text();
    let mut frame = rbp;
    core::iter::from_fn(move || {
        let caller = read_word(frame).ok()?;
        let address = read_word(frame.checked_add(8)?).ok()?;
        // A caller's frame lies above; anything else is a damaged chain.
        if !text.contains(address) || (caller != 0 && caller <= frame) {
            return None;
        }
        frame = caller;
        Some(address)
    })
    .take(32)
}

/// The current frame pointer, from which [`backtrace`] starts.
#[inline(always)]
pub fn frame_pointer() -> u64 {
    let rbp;
    // SAFETY: copies a register.
    unsafe { asm!("mov {}, rbp", out(reg) rbp, options(nomem, nostack, preserves_flags)) };
    rbp
}

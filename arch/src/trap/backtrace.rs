//! Who called whom, by frame pointers.

use crate::layout;
use crate::width::read_word;

/// The return addresses that the chain of frame pointers starting at `first` leads to.
pub fn backtrace(first: u64) -> impl Iterator<Item = u64> {
    let text = layout::text();
    let mut frame = first;
    core::iter::from_fn(move || {
        let caller = read_word(frame).ok()?;
        let address = read_word(frame.checked_add(size_of::<usize>() as u64)?).ok()?;
        // A caller's frame lies above; anything else is a damaged chain.
        if !text.contains(address) || (caller != 0 && caller <= frame) {
            return None;
        }
        frame = caller;
        Some(address)
    })
    .take(32)
}

//! The other end of the letterbox: a file that plugin and fuzzer map and by which they take turns.
//!
//! | Words | Hold |
//! |---|---|
//! | 0 | [`MAGIC`] |
//! | [`TURN_AT`] | in its lower half whose turn it is, a futex |
//! | [`NUMBER_AT`](crate::letterbox::NUMBER_AT) and so on, from [`COPY_AT`] on | a copy of the letterbox |

use core::hint;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use crate::letterbox::LETTERBOX;

/// The first word; changes with the format.
pub const MAGIC: u64 = u64::from_le_bytes(*b"xtf-box1");
/// Where the turn is.
pub const TURN_AT: usize = 1;
/// Where the copy of the letterbox begins, in words.
pub const COPY_AT: usize = 8;
/// The file in bytes.
pub const SIZE: usize = COPY_AT * 8 + LETTERBOX;

/// The guest is at work, or has not called yet.
pub const GUEST: u32 = 0;
/// The guest waits for an input.
pub const HOST: u32 = 1;
/// The guest called, but its letterbox is not where it should be.
pub const LOST: u32 = 2;

/// For so long a wait is a busy one: to be woken from sleep takes as long as a short program.
const BUSY: Duration = Duration::from_micros(100);

/// Waits for the end of `whose` turn, which may not have come when this returns. `elapsed` tells
/// the time since the call.
pub fn busy_wait(turn: &AtomicU32, whose: u32, elapsed: impl Fn() -> Duration) {
    while turn.load(Ordering::Acquire) == whose && elapsed() < BUSY {
        hint::spin_loop();
    }
}

//! Events that wait for a guest's CPU in HVM mode. They come as an interrupt, and interrupts are off.

use crate::shared_info;

/// Runs `hypercalls` with an event pending or not. Whether the CPU is to be told of it (`masked`) is a
/// question for PV guests alone.
pub fn with<R>(pending: bool, masked: bool, hypercalls: impl FnOnce() -> R) -> R {
    shared_info::set_event(pending, masked);
    let result = hypercalls();
    shared_info::set_event(false, false);
    result
}

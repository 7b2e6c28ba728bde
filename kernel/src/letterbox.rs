//! Inputs from a host that watches this guest through QEMU's plugin, one after the other.

use core::sync::atomic::{AtomicBool, Ordering};

use arch::letterbox::Host;
use protocol::letterbox::ANSWER_WORDS;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Does `work` on each input, until the host sends no more; false where there is no host at all.
///
/// # Panics
/// When called from within `work`.
pub fn serve(mut work: impl FnMut(&[u8]) -> [u64; ANSWER_WORDS]) -> bool {
    assert!(!TAKEN.swap(true, Ordering::Acquire), "inputs are served one at a time");
    // SAFETY: the flag is ours, and so is the letterbox.
    let host = unsafe { Host::call() };
    let found = host.is_some();
    if let Some(mut host) = host {
        while {
            let answer = work(host.input());
            host.answer(answer)
        } {}
    }
    TAKEN.store(false, Ordering::Release);
    found
}

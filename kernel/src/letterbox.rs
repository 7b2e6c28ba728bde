//! Takes inputs, one after the other, from a fuzzer on the host through QEMU's plugin.

use core::sync::atomic::{AtomicBool, Ordering};

use arch::letterbox::Host;
use protocol::console::CALLING;
use protocol::letterbox::ANSWER_WORDS;

use crate::hypercall::sched;
use crate::{clock, println};

/// Between two calls for a host that is not there yet, in ns.
const PAUSE_NS: u64 = 1_000_000;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Does `work` on each input, until the host sends no more; false where there is no host at all. One
/// that is `patient` waits for it.
///
/// # Panics
/// When called from within `work`.
pub fn serve(patient: bool, mut work: impl FnMut(&[u8]) -> [u64; ANSWER_WORDS]) -> bool {
    assert!(!TAKEN.swap(true, Ordering::Acquire), "inputs are served one at a time");
    // SAFETY: the flag is ours, and so is the letterbox.
    let call = || unsafe { Host::call() };
    let mut host = call();
    if host.is_none() && patient {
        // Whoever saves this machine does it from this line on, while the CPU has nothing to do.
        println!("{CALLING}");
        while host.is_none() {
            // Whether or not it slept, it calls again.
            let _ = sched::sleep_until(clock::now_ns() + PAUSE_NS);
            host = call();
        }
    }
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

//! `sched_op` (xen/include/public/sched.h).

pub use arch::shutdown::{Reason, shutdown, yield_cpu};

use arch::hypercall::{GuestWord, hypercall, nr};

use crate::Answer;

const SCHEDOP_POLL: u64 = 3;

/// `struct sched_poll`, on no event channel at all: a sleep.
#[repr(C)]
struct Poll {
    ports: GuestWord,
    nr_ports: u32,
    timeout: u64,
}

/// Blocks until Xen's clock reads `deadline_ns`, so that Xen gets to run its idle loop.
pub fn sleep_until(deadline_ns: u64) -> Answer {
    let poll = Poll { ports: GuestWord::default(), nr_ports: 0, timeout: deadline_ns };
    // SAFETY: Xen reads `poll` and, there being no ports, nothing else.
    Answer(unsafe { hypercall(nr::SCHED_OP, [SCHEDOP_POLL, (&raw const poll) as u64, 0, 0, 0]) })
}

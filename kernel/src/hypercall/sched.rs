//! `sched_op` (xen/include/public/sched.h).

pub use arch::shutdown::{Reason, shutdown, yield_cpu};

use arch::hypercall::{GuestWord, hypercall, nr};

use crate::{Answer, Errno};

const SCHEDOP_POLL: u64 = 3;
const SCHEDOP_PIN_OVERRIDE: u64 = 7;

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

/// While this lives, the vCPU that made it runs on one CPU of the machine.
pub struct Pinned(());

impl Pinned {
    /// Moves there.
    ///
    /// # Errors
    /// EPERM for all but the hardware domain; EINVAL if there is no such CPU.
    pub fn to(cpu: i32) -> Result<Self, Errno> {
        pin(cpu)?;
        Ok(Self(()))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // Xen has no reason to refuse, and nobody could do anything about it.
        let _ = pin(-1);
    }
}

/// To any CPU again, if it is negative.
fn pin(cpu: i32) -> Result<(), Errno> {
    let place = (&raw const cpu).expose_provenance() as u64;
    // SAFETY: Xen reads the 4 bytes of `struct sched_pin_override`, and writes nothing.
    let done = unsafe { hypercall(nr::SCHED_OP, [SCHEDOP_PIN_OVERRIDE, place, 0, 0, 0]) };
    Answer(done).result()?;
    Ok(())
}

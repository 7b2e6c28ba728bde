//! How long something takes, on a clock that stands still while others have the CPU.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What this thread took of a CPU so far.
fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

/// What `work` takes of a CPU.
pub fn cpu_time(work: impl FnOnce()) -> Duration {
    let before = now();
    work();
    now().saturating_sub(before)
}

/// Whether ten times the input takes at most about ten times as long. `work` gets how many pieces the
/// input shall have. A busy host makes a cache colder, so that one good try of some is enough.
pub fn grows_like_its_input(pieces: usize, work: impl Fn(usize)) -> bool {
    const TRIES: usize = 4;
    const FACTOR: u32 = 40;
    (0..TRIES).any(|_| {
        let few = cpu_time(|| work(pieces));
        cpu_time(|| work(10 * pieces)) <= FACTOR * few
    })
}

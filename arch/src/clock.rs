//! Time since Xen booted, from the paravirtual clock.

use crate::{shared_info, width};

/// Nanoseconds since Xen booted; 0 until the shared page is mapped.
///
/// The TSC is read with RDTSC, which works in every environment.
pub fn now_ns() -> u64 {
    let Some(time) = shared_info::time() else { return 0 };
    let delta = timestamp().wrapping_sub(time.tsc_timestamp);
    let scaled =
        if time.tsc_shift < 0 { delta >> -time.tsc_shift } else { delta << time.tsc_shift };
    let ns = (u128::from(scaled) * u128::from(time.tsc_to_system_mul)) >> 32;
    time.system_time + ns as u64
}

/// The CPU's time stamp counter.
pub fn timestamp() -> u64 {
    width::read_tsc()
}

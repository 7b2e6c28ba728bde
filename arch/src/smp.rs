//! Virtual CPUs: counting them, and bringing up the secondary ones.

use crate::boot::boot;
use crate::width::usable_cpus;
use crate::{stacks, vcpu};

pub use crate::stacks::{MAX_CPUS, current};

/// Brings up CPU number `cpu` (1 or above), which runs `xtf_secondary_main` and never comes back.
///
/// # Errors
/// Xen's negative errno: ENOENT where the domain has no such vCPU, EEXIST where it is up already.
///
/// # Panics
/// For CPU 0 and from [`MAX_CPUS`] on.
pub fn bring_up(cpu: usize) -> Result<(), i64> {
    boot().platform.initialise_cpu(cpu, stacks::end(cpu))?;
    vcpu::up(cpu)
}

/// How many virtual CPUs the domain has, as far as the image has a use for them.
#[must_use]
pub fn count() -> usize {
    (0..usable_cpus()).take_while(|&cpu| vcpu::exists(cpu)).count()
}

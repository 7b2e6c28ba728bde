//! Secondary virtual CPUs: bringing them up.

use crate::boot::boot;
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

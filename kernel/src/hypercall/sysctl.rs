//! `sysctl` (xen/include/public/sysctl.h), as far as livepatch needs it.

use arch::hypercall::{hypercall, nr};
use livepatch::abi::{Held, Refused, Sysctl, SysctlVersion};

use crate::Answer;

/// Performs a livepatch sysctl.
///
/// # Errors
/// Not performed, because Xen could write outside the buffers that the call borrows.
pub fn sysctl(
    call: &mut Sysctl<'_>,
    running: SysctlVersion,
    held: Held,
) -> Result<Answer, Refused> {
    call.check_writes(running, held)?;
    let buffer = call.bytes_mut().as_mut_ptr();
    // SAFETY: Xen writes the 136 bytes of `call`, and by `check_writes` besides only into
    // buffers that it borrows, or at addresses that somebody vouched for.
    Ok(Answer(unsafe { hypercall(nr::SYSCTL, [buffer as u64, 0, 0, 0, 0]) }))
}

/// Passes Xen an address from which it cannot read a sysctl.
pub fn sysctl_at(place: Unreadable) -> Answer {
    // SAFETY: Xen copies the structure in before it does anything; that fails.
    Answer(unsafe { hypercall(nr::SYSCTL, [place.0, 0, 0, 0, 0]) })
}

/// An address that is never mapped.
#[derive(Clone, Copy, Debug)]
pub struct Unreadable(u64);

impl Unreadable {
    /// Page 0, which the framework keeps unmapped.
    pub const NULL: Self = Self(0);
    /// Not an address at all on x86-64.
    pub const NON_CANONICAL: Self = Self(arch::memory::NON_CANONICAL);
}

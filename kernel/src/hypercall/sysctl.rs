//! `sysctl` (xen/include/public/sysctl.h), as far as livepatch needs it.

use arch::hypercall::{hypercall, nr};
use livepatch::abi::{Held, Out, Refused, Sysctl, SysctlVersion};

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

/// Performs whatever sysctl lies at `place`, if Xen can read one there.
///
/// # Safety
/// What lies there, if it can be read, is a [`Sysctl`] that passed [`Sysctl::check_writes`].
pub(crate) unsafe fn sysctl_at(place: &Out<'_>) -> Answer {
    // SAFETY: as for `sysctl`; where the structure itself cannot be written, Xen says so.
    Answer(unsafe { hypercall(nr::SYSCTL, [place.addr(), 0, 0, 0, 0]) })
}

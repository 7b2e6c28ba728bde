//! Events that wait for a PV guest's CPU, as a reason for Xen to cut a long hypercall short.

use crate::hypercall::{hypercall, nr};
use crate::shared_info;
use crate::width::pv::traps;

/// Runs `hypercalls` with an event pending or not, of which Xen is to tell (`masked` false) or not.
///
/// Where it is, Xen calls back as soon as a hypercall returns with an event pending; that does
/// nothing but mask the event, so only the first hypercall is interrupted.
pub fn with<R>(pending: bool, masked: bool, hypercalls: impl FnOnce() -> R) -> R {
    // SAFETY: the callback goes back to what was interrupted, with all of its registers.
    let result = unsafe { hypercall(nr::SET_CALLBACKS, traps::callbacks()) };
    assert!(result == 0, "set_callbacks: {result}");
    shared_info::set_event(pending, masked);
    let result = hypercalls();
    shared_info::set_event(false, true);
    result
}

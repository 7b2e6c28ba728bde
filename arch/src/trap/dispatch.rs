//! What happens after the entry stubs.

use super::address::fault_address;
use super::fault::Fault;
use super::table::fixup;
use crate::width::TrapFrame;

unsafe extern "Rust" {
    /// Called for a trap that the exception table does not list. Must not return: the state
    /// that was interrupted is not known to be consistent.
    safe fn xtf_unexpected_trap(frame: &TrapFrame) -> !;
}

/// Turns the trap into a value, if the exception table lists it.
pub(crate) extern "C" fn dispatch(frame: &mut TrapFrame) {
    let Some(fixup) = fixup(frame.instruction()) else { xtf_unexpected_trap(frame) };
    let fault = Fault { vector: frame.vector(), error: frame.error(), address: fault_address() };
    frame.go_on_at(fixup, fault.encode());
}

//! What happens after the entry stubs.

use super::address::fault_address;
use super::fault::Fault;
use super::frame::TrapFrame;
use super::guarded::fixup;

unsafe extern "Rust" {
    /// Called for a trap that the exception table does not list. Must not return: the state
    /// that was interrupted is not known to be consistent.
    safe fn xtf_unexpected_trap(frame: &TrapFrame) -> !;
}

/// Turns the trap into a value, if the exception table lists it.
pub(crate) extern "C" fn dispatch(frame: &mut TrapFrame) {
    let Some(fixup) = fixup(frame.rip) else { xtf_unexpected_trap(frame) };
    let fault =
        Fault { vector: frame.vector as u8, error: frame.error as u32, address: fault_address() };
    frame.rip = fixup;
    (frame.rax, frame.rdx) = fault.encode();
}

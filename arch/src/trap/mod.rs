//! Traps: one frame for every 64-bit environment, and faults that are values.
//!
//! An instruction that may fault by intent is followed by an entry in the section `.ex_table`:
//! the address of the instruction (for a trap, of the next one) and the address to go on at.
//! `dispatch` puts what happened into rax (as [`Fault`] encodes it) and rdx (the faulting
//! address) and continues there, so the wrapper around the instruction returns a [`Result`].

mod address;
mod backtrace;
mod dispatch;
mod fault;
mod frame;
mod guarded;
pub mod provoke;

pub use address::{fault_address, fault_addresses_hold};
pub use backtrace::{backtrace, frame_pointer};
pub use fault::{Cr2, Fault, vector_name};
pub use frame::{TrapFrame, VECTORS, WITH_ERROR_CODE};
pub use guarded::{read_byte, read_word, write_byte};

pub(crate) use address::probe_fault_addresses;
pub(crate) use dispatch::dispatch;
pub(crate) use frame::trap_stubs;

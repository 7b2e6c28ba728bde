//! Traps: what they look like to everybody else, and faults that are values.
//!
//! An instruction that may fault by intent is followed by an entry in the section `.ex_table`:
//! the address of the instruction (for a trap, of the next one) and the address to go on at.
//! `dispatch` puts what happened into two registers (as [`Fault`] encodes it, and the faulting
//! address) and continues there, so the wrapper around the instruction returns a [`Result`].

mod address;
mod backtrace;
mod dispatch;
mod fault;
mod registers;
mod table;
mod vectors;

pub use crate::width::provoke;
pub use crate::width::{TrapFrame, frame_pointer, read_byte, read_word, write_byte};
pub use address::{fault_address, fault_addresses_hold};
pub use backtrace::backtrace;
pub use fault::{Cr2, Fault, vector_name};
pub use vectors::{VECTORS, WITH_ERROR_CODE};

pub(crate) use address::probe_fault_addresses;
pub(crate) use dispatch::dispatch;
pub(crate) use vectors::vector_stubs;

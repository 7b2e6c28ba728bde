//! What is particular to 64-bit guests.

mod frame;
mod guarded;
pub mod hvm;
pub mod hypercall;
pub mod provoke;
pub mod pv;
mod registers;

pub use frame::TrapFrame;
pub(crate) use frame::trap_stubs;
pub use guarded::{read_byte, read_word, write_byte};
pub use registers::{fault_address, frame_pointer, read_tsc, stack_pointer, usable_cpus};

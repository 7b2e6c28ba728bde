//! What is particular to 32-bit guests.
//!
//! Addresses are 64 bits wide all the same, as everywhere in this crate: those above 4 GiB are
//! nobody's memory here, and reach Xen only in structures whose handles are 64 bits wide.

mod first_stack;
mod frame;
mod guarded;
pub mod hvm;
pub mod hypercall;
mod memory_functions;
pub mod provoke;
pub mod pv;
mod registers;

pub use frame::TrapFrame;
pub(crate) use frame::trap_stubs;
pub use guarded::{read_byte, read_word, write_byte};
pub use registers::{fault_address, frame_pointer, read_tsc, stack_pointer};

/// CPUs that the image has a use for. With PAE that is one: the others would set the bits that it
/// clears (`hvm::accessed`).
pub fn usable_cpus() -> usize {
    match hvm::paging::mode() {
        hvm::paging::Paging::Pae => 1,
        _ => crate::stacks::MAX_CPUS,
    }
}

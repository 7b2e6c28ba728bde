//! The stacks of secondary CPUs, by which each of them knows itself.

use core::cell::UnsafeCell;

use crate::width::stack_pointer;

/// CPUs that the image can run on, the first one included.
pub const MAX_CPUS: usize = 4;

const STACK_SIZE: usize = 32 * 1024;

#[repr(C, align(4096))]
struct Stack(UnsafeCell<[u8; STACK_SIZE]>);

// SAFETY: each stack is used by one CPU, through its stack pointer alone.
unsafe impl Sync for Stack {}

static STACKS: [Stack; MAX_CPUS - 1] =
    [const { Stack(UnsafeCell::new([0; STACK_SIZE])) }; MAX_CPUS - 1];

/// The end of the stack of CPU number `cpu` (1 or above).
///
/// # Panics
/// For CPU 0 and from [`MAX_CPUS`] on.
pub fn end(cpu: usize) -> u64 {
    (STACKS[cpu - 1].0.get().expose_provenance() + STACK_SIZE) as u64
}

/// Which CPU this is, told by the stack it is on.
pub fn current() -> usize {
    let base = STACKS[0].0.get().addr() as u64;
    match stack_pointer().checked_sub(base) {
        Some(into) if into < (STACKS.len() * STACK_SIZE) as u64 => into as usize / STACK_SIZE + 1,
        _ => 0,
    }
}

//! Secondary virtual CPUs: their stacks, and bringing them up.

use core::arch::asm;
use core::cell::UnsafeCell;

use crate::hypercall::{hypercall, nr};
use crate::{boot, hvm, pv};

/// CPUs that the image can run on, the first one included.
pub const MAX_CPUS: usize = 4;

const VCPUOP_INITIALISE: u64 = 0;
const VCPUOP_UP: u64 = 1;

const STACK_SIZE: usize = 32 * 1024;

#[repr(C, align(4096))]
struct Stack(UnsafeCell<[u8; STACK_SIZE]>);

// SAFETY: each stack is used by one CPU, through its stack pointer alone.
unsafe impl Sync for Stack {}

static STACKS: [Stack; MAX_CPUS - 1] =
    [const { Stack(UnsafeCell::new([0; STACK_SIZE])) }; MAX_CPUS - 1];

unsafe extern "Rust" {
    /// The main function of a secondary CPU.
    safe fn xtf_secondary_main(cpu: usize) -> !;
}

/// Where a secondary CPU starts: in Rust, as if called, with `cpu` as its argument.
pub(crate) struct Start {
    /// Its first instruction.
    pub entry: u64,
    /// Its stack pointer.
    pub stack: u64,
    /// Its number.
    pub cpu: u64,
}

/// Which CPU this is, told by the stack it is on.
pub fn current() -> usize {
    let rsp: u64;
    // SAFETY: copies a register.
    unsafe { asm!("mov {}, rsp", out(reg) rsp, options(nomem, nostack, preserves_flags)) };
    let base = STACKS[0].0.get().addr() as u64;
    match rsp.checked_sub(base) {
        Some(into) if into < (STACKS.len() * STACK_SIZE) as u64 => into as usize / STACK_SIZE + 1,
        _ => 0,
    }
}

/// Brings up CPU number `cpu` (1 or above), which runs `xtf_secondary_main` and never comes back.
///
/// # Errors
/// Xen's negative errno: ENOENT where the domain has no such vCPU, EEXIST where it is up already.
///
/// # Panics
/// For CPU 0 and from [`MAX_CPUS`] on.
pub fn bring_up(cpu: usize) -> Result<(), i64> {
    let stack = STACKS[cpu - 1].0.get().expose_provenance() + STACK_SIZE;
    // A function expects its return address on an otherwise aligned stack.
    let stack = stack as u64 - 8;
    let mut context;
    let mut hvm_context;
    let context = if boot().environment.is_hvm() {
        let entry = hvm_secondary as extern "C" fn(usize) -> ! as usize as u64;
        hvm_context = hvm::vcpu_context(&Start { entry, stack, cpu: cpu as u64 });
        (&raw mut hvm_context) as u64
    } else {
        let entry = pv_secondary as extern "C" fn(usize) -> ! as usize as u64;
        context = pv::vcpu_context(&Start { entry, stack, cpu: cpu as u64 });
        (&raw mut context) as u64
    };
    // SAFETY: Xen reads the context, whose stack and code belong to that CPU alone.
    let vcpu_op =
        |op, argument| match unsafe { hypercall(nr::VCPU_OP, [op, cpu as u64, argument, 0, 0]) } {
            0 => Ok(()),
            error => Err(error),
        };
    vcpu_op(VCPUOP_INITIALISE, context)?;
    vcpu_op(VCPUOP_UP, 0)
}

extern "C" fn pv_secondary(cpu: usize) -> ! {
    xtf_secondary_main(cpu)
}

extern "C" fn hvm_secondary(cpu: usize) -> ! {
    hvm::install_descriptor_tables(cpu);
    xtf_secondary_main(cpu)
}

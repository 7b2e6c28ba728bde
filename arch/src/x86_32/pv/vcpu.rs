//! The registers with which a secondary CPU of a 32-bit PV guest begins.

use super::super::first_stack;
use super::{KERNEL_CS, KERNEL_SS};
use crate::start;

/// `struct cpu_user_regs` (xen/include/public/arch-x86/xen-x86_32.h). Selectors have padding up to 4
/// bytes, which is zero; that of `cs` holds the event mask.
#[repr(C)]
#[derive(Default)]
pub struct UserRegs {
    _ebx_to_eax: [u32; 7],
    _error_and_vector: u32,
    eip: u32,
    cs: u32,
    eflags: u32,
    esp: u32,
    ss: u32,
    es: u32,
    ds: u32,
    fs: u32,
    gs: u32,
}

const _: () = assert!(core::mem::offset_of!(UserRegs, eip) == 32);

impl UserRegs {
    pub fn stack_pointer(&self) -> u64 {
        self.esp.into()
    }
}

/// How `struct vcpu_guest_context` ends: two callbacks with their segments, and a mask of assists.
pub type Tail = [u32; 5];

/// Those of CPU number `cpu`, on the stack that ends at `stack`.
pub fn first_registers(cpu: usize, stack: u64) -> UserRegs {
    /// The event mask in the padding of `cs`: no upcall, nobody has registered one.
    const EVENTS_MASKED: u32 = 1 << 16;
    let data = KERNEL_SS.into();
    UserRegs {
        eip: secondary as extern "C" fn(usize) -> ! as usize as u32,
        cs: u32::from(KERNEL_CS) | EVENTS_MASKED,
        esp: first_stack::pointer(stack, cpu),
        ss: data,
        es: data,
        ds: data,
        fs: data,
        gs: data,
        ..UserRegs::default()
    }
}

extern "C" fn secondary(cpu: usize) -> ! {
    start::secondary(cpu)
}

//! The registers with which a secondary CPU of a 64-bit PV guest begins.

use super::{KERNEL_CS, KERNEL_SS};
use crate::start;

/// `struct cpu_user_regs` (xen/include/public/arch-x86/xen-x86_64.h). Selectors have padding up
/// to 8 bytes, which is zero; that of `cs` holds the event mask.
#[repr(C)]
#[derive(Default)]
pub struct UserRegs {
    _r15_to_rbx: [u64; 6],
    _r11_to_rax: [u64; 5],
    _rcx_rdx_rsi: [u64; 3],
    rdi: u64,
    _error_and_vector: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
    _es_ds_fs_gs: [u64; 4],
}

const _: () = assert!(core::mem::offset_of!(UserRegs, rip) == 128);

impl UserRegs {
    pub fn stack_pointer(&self) -> u64 {
        self.rsp
    }
}

/// How `struct vcpu_guest_context` ends: three callbacks, a mask of assists and three bases of
/// segments.
pub type Tail = [u64; 7];

/// Those of CPU number `cpu`, on the stack that ends at `stack`.
pub fn first_registers(cpu: usize, stack: u64) -> UserRegs {
    /// The event mask in the padding of `cs`: no upcall, nobody has registered one.
    const EVENTS_MASKED: u64 = 1 << 32;
    UserRegs {
        rdi: cpu as u64,
        rip: secondary as extern "C" fn(usize) -> ! as usize as u64,
        cs: u64::from(KERNEL_CS) | EVENTS_MASKED,
        // A function expects its return address on an otherwise aligned stack.
        rsp: stack - 8,
        ss: KERNEL_SS.into(),
        ..UserRegs::default()
    }
}

extern "C" fn secondary(cpu: usize) -> ! {
    start::secondary(cpu)
}

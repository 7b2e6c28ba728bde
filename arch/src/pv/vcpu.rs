//! How a PV guest describes a CPU that is to come up.

use super::memory;
use super::traps::{TrapInfo, trap_table};
use crate::hypercall::GuestWord;
use crate::vcpu;
use crate::width::pv::KERNEL_SS;
use crate::width::pv::vcpu::{Tail, UserRegs, first_registers};

/// The CPU begins in the guest's kernel, not in its user mode.
const VGCF_IN_KERNEL: u64 = 1 << 2;
const TRAPS: usize = 256;

/// `struct vcpu_guest_context` (xen/include/public/arch-x86/xen.h). Nobody has registered a callback:
/// the tail, in which they are, is zero.
#[repr(C, align(16))]
struct VcpuContext {
    _fpu: [u8; 512],
    flags: GuestWord,
    user_regs: UserRegs,
    traps: [TrapInfo; TRAPS],
    _ldt: [GuestWord; 2],
    _gdt: [GuestWord; 17],
    kernel_ss: GuestWord,
    kernel_sp: GuestWord,
    control: [GuestWord; 8],
    _debug: [GuestWord; 8],
    _tail: Tail,
}

/// Offsets in a guest of 64 bits, and in one of 32.
const _: () = {
    use core::mem::offset_of;
    const fn at(wide: usize, narrow: usize) -> usize {
        if size_of::<GuestWord>() == 8 { wide } else { narrow }
    }
    assert!(size_of::<UserRegs>() == at(200, 68));
    assert!(offset_of!(VcpuContext, traps) == at(720, 584));
    assert!(offset_of!(VcpuContext, control) == at(4984, 2716));
    assert!(size_of::<VcpuContext>() == at(5168, 2800));
};

/// See [`crate::boot::Platform::initialise_cpu`].
pub fn initialise(cpu: usize, stack: u64) -> Result<(), i64> {
    let context = context(first_registers(cpu, stack));
    // SAFETY: the context is alive, and its stack and code are that CPU's.
    unsafe { vcpu::initialise(cpu, (&raw const context) as u64) }
}

fn context(user_regs: UserRegs) -> VcpuContext {
    let zero = GuestWord::default();
    let mut control = [zero; 8];
    control[3] = GuestWord::new(memory::root_frame());
    VcpuContext {
        _fpu: [0; 512],
        flags: GuestWord::new(VGCF_IN_KERNEL),
        traps: trap_table(),
        _ldt: [zero; 2],
        _gdt: [zero; 17],
        kernel_ss: GuestWord::new(KERNEL_SS.into()),
        kernel_sp: GuestWord::new(user_regs.stack_pointer()),
        control,
        _debug: [zero; 8],
        _tail: Tail::default(),
        user_regs,
    }
}

//! How a PV guest describes a CPU that is to come up.

use super::memory;
use super::traps::{KERNEL_CS, TrapInfo, trap_table};
use crate::{start, vcpu};

/// `FLAT_KERNEL_SS64`: the stack segment that Xen provides for the guest's kernel.
const KERNEL_SS: u64 = 0xe02b;
/// The CPU begins in the guest's kernel, not in its user mode.
const VGCF_IN_KERNEL: u64 = 1 << 2;
const TRAPS: usize = 256;

/// `struct cpu_user_regs` (xen/include/public/arch-x86/xen-x86_64.h). Selectors have padding up
/// to 8 bytes, which is zero; that of `cs` holds the event mask.
#[repr(C)]
#[derive(Default)]
struct UserRegs {
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

/// `struct vcpu_guest_context` (xen/include/public/arch-x86/xen.h).
#[repr(C, align(16))]
struct VcpuContext {
    _fpu: [u8; 512],
    flags: u64,
    user_regs: UserRegs,
    traps: [TrapInfo; TRAPS],
    _ldt: [u64; 2],
    _gdt: [u64; 17],
    kernel_ss: u64,
    kernel_sp: u64,
    control: [u64; 8],
    _debug: [u64; 8],
    _callbacks: [u64; 3],
    _vm_assist: u64,
    _segment_bases: [u64; 3],
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<UserRegs>() == 200);
    assert!(offset_of!(UserRegs, rip) == 128);
    assert!(offset_of!(VcpuContext, traps) == 720);
    assert!(offset_of!(VcpuContext, control) == 4984);
    assert!(size_of::<VcpuContext>() == 5168);
};

/// See [`crate::boot::Platform::initialise_cpu`].
pub fn initialise(cpu: usize, stack: u64) -> Result<(), i64> {
    let context = context(cpu, stack);
    // SAFETY: the context is alive, and its stack and code are that CPU's.
    unsafe { vcpu::initialise(cpu, (&raw const context) as u64) }
}

extern "C" fn secondary(cpu: usize) -> ! {
    start::secondary(cpu)
}

fn context(cpu: usize, stack: u64) -> VcpuContext {
    /// The event mask in the padding of `cs`: no upcall, nobody has registered one.
    const EVENTS_MASKED: u64 = 1 << 32;
    // A function expects its return address on an otherwise aligned stack.
    let rsp = stack - 8;
    let mut control = [0; 8];
    control[3] = memory::root_frame();
    VcpuContext {
        _fpu: [0; 512],
        flags: VGCF_IN_KERNEL,
        user_regs: UserRegs {
            rdi: cpu as u64,
            rip: secondary as extern "C" fn(usize) -> ! as usize as u64,
            cs: u64::from(KERNEL_CS) | EVENTS_MASKED,
            rsp,
            ss: KERNEL_SS,
            ..UserRegs::default()
        },
        traps: trap_table(),
        _ldt: [0; 2],
        _gdt: [0; 17],
        kernel_ss: KERNEL_SS,
        kernel_sp: rsp,
        control,
        _debug: [0; 8],
        _callbacks: [0; 3],
        _vm_assist: 0,
        _segment_bases: [0; 3],
    }
}

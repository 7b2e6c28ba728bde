//! The control registers of a PVH or HVM guest's CPUs, and how the guest describes one that is to
//! come up.

use super::{descriptors, memory};
use crate::{start, vcpu};

const VCPU_HVM_MODE_64B: u32 = 1;
/// PG, WP (a read-only page is read-only for us too) and PE.
pub const CR0: u64 = 1 << 31 | 1 << 16 | 1;
/// PAE.
pub const CR4: u64 = 1 << 5;
/// LMA and LME: as the entry code leaves it on the first CPU.
const EFER: u64 = 1 << 10 | 1 << 8;
/// Reserved, always set.
const RFLAGS: u64 = 1 << 1;

/// `struct vcpu_hvm_context` with `struct vcpu_hvm_x86_64` in its union
/// (xen/include/public/hvm/hvm_vcpu.h).
#[repr(C)]
struct VcpuContext {
    mode: u32,
    _pad: u32,
    _rax_rcx_rdx_rbx: [u64; 4],
    rsp: u64,
    _rbp_rsi: [u64; 2],
    rdi: u64,
    rip: u64,
    rflags: u64,
    cr0: u64,
    cr3: u64,
    cr4: u64,
    efer: u64,
    /// The union's other member is larger.
    _rest: [u64; 16],
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(VcpuContext, rsp) == 8 + 4 * 8);
    assert!(offset_of!(VcpuContext, rip) == 8 + 8 * 8);
    assert!(offset_of!(VcpuContext, efer) == 8 + 13 * 8);
};

/// See [`crate::boot::Platform::initialise_cpu`].
pub fn initialise(cpu: usize, stack: u64) -> Result<(), i64> {
    let context = context(cpu, stack);
    // SAFETY: the context is alive, and its stack and code are that CPU's.
    unsafe { vcpu::initialise(cpu, (&raw const context) as u64) }
}

extern "C" fn secondary(cpu: usize) -> ! {
    descriptors::install(cpu);
    start::secondary(cpu)
}

fn context(cpu: usize, stack: u64) -> VcpuContext {
    VcpuContext {
        mode: VCPU_HVM_MODE_64B,
        _pad: 0,
        _rax_rcx_rdx_rbx: [0; 4],
        // A function expects its return address on an otherwise aligned stack.
        rsp: stack - 8,
        _rbp_rsi: [0; 2],
        rdi: cpu as u64,
        rip: secondary as extern "C" fn(usize) -> ! as usize as u64,
        rflags: RFLAGS,
        cr0: CR0,
        cr3: memory::root(),
        cr4: CR4,
        efer: EFER,
        _rest: [0; 16],
    }
}

//! How a 32-bit PVH or HVM guest describes a CPU that is to come up.

use super::super::first_stack;
use super::{descriptors, paging};
use crate::{start, vcpu};

const VCPU_HVM_MODE_32B: u32 = 0;
/// Reserved, always set.
const EFLAGS: u32 = 1 << 1;
const LIMIT: u32 = !0;
/// Of a TSS that the CPU replaces before it uses it.
const TASK_LIMIT: u32 = 0x67;

/// `struct vcpu_hvm_context` with `struct vcpu_hvm_x86_32` in its union
/// (xen/include/public/hvm/hvm_vcpu.h).
#[repr(C, align(8))]
struct VcpuContext {
    mode: u32,
    _pad: u32,
    _eax_ecx_edx_ebx: [u32; 4],
    esp: u32,
    _ebp_esi_edi: [u32; 3],
    eip: u32,
    eflags: u32,
    cr0: u32,
    cr3: u32,
    cr4: u32,
    _pad1: u32,
    _efer: u64,
    /// Of CS, DS, SS, ES and TR.
    _bases: [u32; 5],
    limits: [u32; 5],
    attributes: [u16; 5],
    _pad2: [u16; 3],
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(VcpuContext, eip) == 8 + 8 * 4);
    assert!(offset_of!(VcpuContext, _efer) == 8 + 14 * 4);
    assert!(offset_of!(VcpuContext, attributes) == 8 + 64 + 40);
    assert!(size_of::<VcpuContext>() == 8 + 120);
};

/// See [`crate::boot::Platform::initialise_cpu`].
pub fn initialise(cpu: usize, stack: u64) -> Result<(), i64> {
    let context = context(first_stack::pointer(stack, cpu));
    // SAFETY: the context is alive, and its stack and code are that CPU's.
    unsafe { vcpu::initialise(cpu, (&raw const context) as u64) }
}

extern "C" fn secondary(cpu: usize) -> ! {
    descriptors::install(cpu);
    descriptors::set_root(cpu, paging::mode().root());
    start::secondary(cpu)
}

fn context(esp: u32) -> VcpuContext {
    let mode = paging::mode();
    let (code, data) = (descriptors::CODE_ATTRIBUTES, descriptors::DATA_ATTRIBUTES);
    VcpuContext {
        mode: VCPU_HVM_MODE_32B,
        _pad: 0,
        _eax_ecx_edx_ebx: [0; 4],
        esp,
        _ebp_esi_edi: [0; 3],
        eip: secondary as extern "C" fn(usize) -> ! as usize as u32,
        eflags: EFLAGS,
        cr0: mode.cr0(),
        cr3: mode.root(),
        cr4: mode.cr4(),
        _pad1: 0,
        _efer: 0,
        _bases: [0; 5],
        limits: [LIMIT, LIMIT, LIMIT, LIMIT, TASK_LIMIT],
        attributes: [code, data, data, data, descriptors::TASK_ATTRIBUTES],
        _pad2: [0; 3],
    }
}

//! Finding Xen from inside a PVH or HVM guest.

use crate::hypercall::{DOMID_SELF, GuestWord, hypercall, nr, page};
use crate::page::PAGE_SIZE;
use crate::{console, shared_info};

use crate::cpu::{cpuid, write_msr};

/// Where Xen's CPUID leaves may start: a viridian-enabled guest has them further up.
const LEAVES: core::ops::Range<u32> = 0x4000_0000..0x4001_0000;
const LEAF_STEP: usize = 0x100;
const SIGNATURE: &[u8; 12] = b"XenVMMXenVMM";

const XENMEM_ADD_TO_PHYSMAP: u64 = 7;
const XENMAPSPACE_SHARED_INFO: u32 = 0;
const HVMOP_GET_PARAM: u64 = 1;
const HVM_PARAM_CONSOLE_PFN: u32 = 17;
const HVM_PARAM_CONSOLE_EVTCHN: u32 = 18;

/// The first of Xen's CPUID leaves.
fn base_leaf() -> Option<u32> {
    LEAVES.step_by(LEAF_STEP).find(|&leaf| {
        let found = cpuid(leaf);
        let mut signature = [0; 12];
        for (word, register) in signature.chunks_exact_mut(4).zip([found.ebx, found.ecx, found.edx])
        {
            word.copy_from_slice(&register.to_le_bytes());
        }
        signature == *SIGNATURE && found.eax >= leaf + 2
    })
}

/// Has Xen fill the hypercall page.
///
/// # Panics
/// Not under Xen; there is no console to say so on, so the panic is for a debugger.
pub fn install_hypercall_page() {
    let base = base_leaf().expect("Xen's CPUID leaves");
    let msr = cpuid(base + 2).ebx;
    // SAFETY: the MSR that Xen names makes it write the page, which is reserved for that and
    // lies at its own physical address.
    unsafe { write_msr(msr, page()) };
}

/// `struct xen_add_to_physmap`, xen/include/public/memory.h.
#[repr(C)]
struct AddToPhysmap {
    domid: u16,
    size: u16,
    space: u32,
    idx: GuestWord,
    gpfn: GuestWord,
}

/// Puts Xen's shared page in place of a page of ours.
pub fn map_shared_info() {
    let request = AddToPhysmap {
        domid: DOMID_SELF as u16,
        size: 0,
        space: XENMAPSPACE_SHARED_INFO,
        idx: GuestWord::default(),
        gpfn: GuestWord::new(shared_info::window() / PAGE_SIZE),
    };
    // SAFETY: Xen reads `request`; the page that it replaces is reserved for this.
    let result = unsafe {
        hypercall(nr::MEMORY_OP, [XENMEM_ADD_TO_PHYSMAP, (&raw const request) as u64, 0, 0, 0])
    };
    assert!(result == 0, "XENMEM_add_to_physmap: {result}");
    shared_info::set_mapped();
}

/// `struct xen_hvm_param`, xen/include/public/hvm/hvm_op.h.
#[repr(C)]
struct HvmParam {
    domid: u16,
    index: u32,
    value: u64,
}

fn parameter(index: u32) -> Option<u64> {
    let mut request = HvmParam { domid: DOMID_SELF as u16, index, value: 0 };
    // SAFETY: Xen reads and writes `request`.
    let result =
        unsafe { hypercall(nr::HVM_OP, [HVMOP_GET_PARAM, (&raw mut request) as u64, 0, 0, 0]) };
    (result == 0 && request.value != 0).then_some(request.value)
}

/// Uses the console ring of an unprivileged guest, if it was given one.
pub fn attach_console() {
    let frame = parameter(HVM_PARAM_CONSOLE_PFN);
    let channel = parameter(HVM_PARAM_CONSOLE_EVTCHN);
    if let (Some(frame), Some(channel)) = (frame, channel) {
        console::attach_ring(frame * PAGE_SIZE, channel as u32);
    }
}

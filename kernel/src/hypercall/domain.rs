//! Another domain, made without a toolstack: `domctl` (xen/include/public/domctl.h), as far as
//! tests need it.

use alloc::vec;
use core::mem::offset_of;

use arch::hypercall::{GuestWord, POPULATE_PHYSMAP, Reservation, hypercall, nr};

use crate::{Answer, Errno};

const XEN_DOMCTL_CREATEDOMAIN: u32 = 1;
const XEN_DOMCTL_DESTROYDOMAIN: u32 = 2;
const XEN_DOMCTL_UNPAUSEDOMAIN: u32 = 4;
const XEN_DOMCTL_MAX_MEM: u32 = 11;
const XEN_DOMCTL_SETVCPUCONTEXT: u32 = 12;
const XEN_DOMCTL_MAX_VCPUS: u32 = 15;
const XEN_DOMCTL_VM_EVENT_OP: u32 = 56;
const XEN_DOMCTL_MONITOR_OP: u32 = 77;

const XEN_DOMCTL_MONITOR_OP_ENABLE: u32 = 0;
const XEN_DOMCTL_MONITOR_EVENT_DEBUG_EXCEPTION: u32 = 5;

const XEN_VM_EVENT_ENABLE: u32 = 0;
const XEN_DOMCTL_VM_EVENT_OP_MONITOR: u32 = 2;
const HVMOP_SET_PARAM: u64 = 0;
const HVM_PARAM_MONITOR_RING_PFN: u32 = 28;

/// `struct xen_domctl`: its head, and the operation's structure in words of 32 bits.
#[repr(C, align(8))]
struct Domctl {
    cmd: u32,
    interface_version: u32,
    domain: u16,
    pad: [u16; 3],
    words: [u32; 32],
}

const _: () = assert!(size_of::<Domctl>() == 144 && offset_of!(Domctl, words) == 16);

impl Domctl {
    fn new(cmd: u32, version: u32, domain: u16, words: &[u32]) -> Self {
        let mut call =
            Self { cmd, interface_version: version, domain, pad: [0; 3], words: [0; 32] };
        call.words[..words.len()].copy_from_slice(words);
        call
    }

    fn perform(&mut self) -> Result<(), Errno> {
        // SAFETY: Xen writes the 144 bytes of the structure and nothing else; the memory of this
        // domain is not concerned.
        Answer(unsafe { hypercall(nr::DOMCTL, [&raw mut *self as u64, 0, 0, 0, 0]) }).result()?;
        Ok(())
    }
}

/// Each interface version, and how many words `struct xen_domctl_createdomain` has between the limit
/// of maptrack frames and its architecture's part. With [`WITH_GRANT_VERSION`] the first of them is
/// the version of grant tables. Older ones, before Xen 4.13, are not known here.
const LAYOUTS: [(u32, usize); 7] =
    [(0x18, 4), (0x17, 4), (0x16, 3), (0x15, 3), (0x14, 2), (0x13, 1), (0x12, 0)];
const WITH_GRANT_VERSION: u32 = 0x14;

/// A domain that ends when this is dropped. It is paused at first.
pub struct Domain {
    version: u32,
    vcpus: u32,
}

/// Its number. Xen could choose one, but not in every release for the same question: since 4.22 the
/// number 0, of which the header says that it means that, is EEXIST.
const ID: u16 = 1000;

/// Where its memory is: the ring of its monitor, its code, and what that writes to.
const RING_FRAME: u64 = 1;
const CODE_FRAME: u64 = 2;
const DATA_FRAME: u64 = 3;
const PAGE_SHIFT: u32 = 12;

impl Domain {
    /// Makes one as PVH guests are: with hardware's nested paging, and local APICs.
    ///
    /// # Errors
    /// EPERM for all but the control domain; EEXIST if there is one of that number; EACCES if Xen's interface version is not known here;
    /// EINVAL where the machine does not virtualize; what else Xen says.
    pub fn create(vcpus: u32) -> Result<Self, Errno> {
        const HVM_AND_HAP: u32 = 0b11;
        const EVENT_CHANNELS: u32 = 1023;
        const DEFAULT: u32 = u32::MAX;
        const EMULATED_LAPIC: u32 = 1;
        for (version, between) in LAYOUTS {
            let mut words = [0; 17];
            words[5] = HVM_AND_HAP;
            words[7..11].copy_from_slice(&[vcpus, EVENT_CHANNELS, DEFAULT, DEFAULT]);
            words[11] = u32::from(version >= WITH_GRANT_VERSION);
            words[11 + between] = EMULATED_LAPIC;
            match Domctl::new(XEN_DOMCTL_CREATEDOMAIN, version, ID, &words).perform() {
                Err(Errno::EACCES) => {}
                answer => {
                    answer?;
                    let domain = Self { version, vcpus };
                    domain.control(XEN_DOMCTL_MAX_VCPUS, &[vcpus])?;
                    return Ok(domain);
                }
            }
        }
        Err(Errno::EACCES)
    }

    fn control(&self, cmd: u32, words: &[u32]) -> Result<(), Errno> {
        Domctl::new(cmd, self.version, ID, words).perform()
    }

    /// Gives it a page, and makes that the ring of its monitor: events of its vCPUs would go there.
    ///
    /// # Errors
    /// What Xen says.
    pub fn enable_monitor(&self) -> Result<(), Errno> {
        const KIB: u32 = 64;
        self.control(XEN_DOMCTL_MAX_MEM, &[KIB, 0])?;
        self.populate(RING_FRAME)?;
        self.set_param(HVM_PARAM_MONITOR_RING_PFN, RING_FRAME)?;
        let enable = [XEN_VM_EVENT_ENABLE, XEN_DOMCTL_VM_EVENT_OP_MONITOR];
        self.control(XEN_DOMCTL_VM_EVENT_OP, &enable)
    }

    /// Has each vCPU execute one instruction. The step is an event for the monitor, for whose answer
    /// the vCPU waits. Nobody answers.
    ///
    /// # Errors
    /// What Xen says.
    pub fn fill_monitor(&self) -> Result<(), Errno> {
        let wait_for_answer = 1;
        let enable = [
            XEN_DOMCTL_MONITOR_OP_ENABLE,
            XEN_DOMCTL_MONITOR_EVENT_DEBUG_EXCEPTION,
            wait_for_answer,
        ];
        self.control(XEN_DOMCTL_MONITOR_OP, &enable)?;
        self.populate(CODE_FRAME)?;
        self.populate(DATA_FRAME)?;
        for vcpu in 0..self.vcpus {
            self.prepare_a_step(vcpu)?;
        }
        self.control(XEN_DOMCTL_UNPAUSEDOMAIN, &[])
    }

    /// Has a vCPU start in protected mode without paging, in memory that Xen has scrubbed: with zeros,
    /// which are `add [eax], al`, or in a debug build with 0xc2, which is `ret 0xc2c2`.
    fn prepare_a_step(&self, vcpu: u32) -> Result<(), Errno> {
        /// `struct vcpu_guest_context` of a 64-bit guest (xen/include/public/arch-x86/xen.h), in words
        /// of 64 bits, and places in it. It is that of all HVM guests.
        const WORDS: usize = 5168 / 8;
        const FLAGS: usize = 64;
        const RAX: usize = 75;
        const RIP: usize = 81;
        const RFLAGS: usize = 83;
        const RSP: usize = 84;
        const VGCF_ONLINE: u64 = 1 << 5;
        /// TF, and the bit that is always set.
        const SINGLE_STEP: u64 = 1 << 8 | 1 << 1;
        let mut context = vec![0_u64; WORDS];
        context[FLAGS] = VGCF_ONLINE;
        context[RAX] = DATA_FRAME << PAGE_SHIFT;
        context[RSP] = DATA_FRAME << PAGE_SHIFT;
        context[RIP] = CODE_FRAME << PAGE_SHIFT;
        context[RFLAGS] = SINGLE_STEP;
        let place = context.as_ptr().expose_provenance() as u64;
        let words = [vcpu, 0, place as u32, (place >> 32) as u32];
        self.control(XEN_DOMCTL_SETVCPUCONTEXT, &words)
    }

    /// Has Xen give it a page of memory.
    fn populate(&self, frame: u64) -> Result<(), Errno> {
        let frame = GuestWord::new(frame);
        let reservation = Reservation::of(&frame, ID);
        // SAFETY: Xen reads the structure and the frame's number; for an HVM domain it writes neither.
        // The page is not one of this domain.
        let done =
            unsafe { hypercall(nr::MEMORY_OP, [POPULATE_PHYSMAP, reservation.address(), 0, 0, 0]) };
        // The number of pages.
        if Answer(done).result()? == 1 { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    fn set_param(&self, index: u32, value: u64) -> Result<(), Errno> {
        /// `struct xen_hvm_param` (xen/include/public/hvm/hvm_op.h).
        #[repr(C)]
        struct Param {
            domain: u16,
            pad: u16,
            index: u32,
            value: u64,
        }
        let param = Param { domain: ID, pad: 0, index, value };
        let place = (&raw const param).expose_provenance() as u64;
        // SAFETY: Xen reads the 16 bytes of the structure, and writes nothing.
        Answer(unsafe { hypercall(nr::HVM_OP, [HVMOP_SET_PARAM, place, 0, 0, 0]) }).result()?;
        Ok(())
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        // Xen has no reason to refuse, and nobody could do anything about it.
        let _ = self.control(XEN_DOMCTL_DESTROYDOMAIN, &[]);
    }
}

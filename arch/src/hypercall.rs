//! The hypercall page and the one way through it.
//!
//! PV: the domain builder finds the page by its ELF note and fills it before the first
//! instruction. PVH and HVM: [`crate::hvm`] writes its address to the MSR that Xen's CPUID
//! leaves name. Each hypercall's stub is 32 bytes; which registers hold arguments depends on the
//! guest's width alone.

use core::arch::global_asm;
use core::marker::PhantomData;
use core::ptr;

use crate::width;

global_asm!(
    ".pushsection .text.hypercall_page, \"ax\", @progbits",
    ".balign 4096",
    ".global hypercall_page",
    "hypercall_page:",
    ".skip 4096, 0xcc",
    ".popsection",
);

unsafe extern "C" {
    static hypercall_page: u8;
}

/// Hypercall numbers (xen/include/public/xen.h, the same since 3.0).
#[expect(missing_docs, reason = "the names are Xen's own, __HYPERVISOR_* in lower case")]
pub mod nr {
    pub const SET_TRAP_TABLE: u32 = 0;
    pub const MMU_UPDATE: u32 = 1;
    pub const SET_CALLBACKS: u32 = 4;
    pub const PLATFORM_OP: u32 = 7;
    pub const MEMORY_OP: u32 = 12;
    pub const UPDATE_VA_MAPPING: u32 = 14;
    pub const XEN_VERSION: u32 = 17;
    pub const CONSOLE_IO: u32 = 18;
    pub const IRET: u32 = 23;
    pub const VCPU_OP: u32 = 24;
    pub const SCHED_OP: u32 = 29;
    pub const EVENT_CHANNEL_OP: u32 = 32;
    pub const PHYSDEV_OP: u32 = 33;
    pub const HVM_OP: u32 = 34;
    pub const SYSCTL: u32 = 35;
    pub const DOMCTL: u32 = 36;
}

/// A word in one of Xen's structures, as wide as those of the guest that calls.
///
/// That is an `unsigned long`, a frame number or a handle (`XEN_GUEST_HANDLE`). A handle that is 64
/// bits wide for every guest (`XEN_GUEST_HANDLE_64`), as sysctls have them, is a `u64`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(transparent)]
pub struct GuestWord(usize);

impl GuestWord {
    /// The value, in as many bits as a guest of this width has.
    ///
    /// # Panics
    /// If they are too few.
    pub fn new(value: u64) -> Self {
        Self(usize::try_from(value).expect("a value that fits the guest's words"))
    }

    /// The value.
    pub const fn get(self) -> u64 {
        self.0 as u64
    }
}

/// `memory_op` that gives a domain memory (`XENMEM_populate_physmap`).
pub const POPULATE_PHYSMAP: u64 = 6;

/// `struct xen_memory_reservation` (xen/include/public/memory.h), of one page.
#[derive(Debug)]
#[repr(C)]
pub struct Reservation<'f> {
    extents: GuestWord,
    count: GuestWord,
    order: u32,
    flags: u32,
    domain: u16,
    frame: PhantomData<&'f GuestWord>,
}

impl<'f> Reservation<'f> {
    /// The page with this frame number of a domain.
    pub fn of(frame: &'f GuestWord, domain: u16) -> Self {
        Self {
            extents: GuestWord::new(ptr::from_ref(frame).expose_provenance() as u64),
            count: GuestWord::new(1),
            order: 0,
            flags: 0,
            domain,
            frame: PhantomData,
        }
    }

    /// Where Xen finds it.
    pub fn address(&self) -> u64 {
        ptr::from_ref(self).expose_provenance() as u64
    }
}

/// The caller's own domain (`DOMID_SELF`).
pub const DOMID_SELF: u64 = 0x7ff0;

/// Issues hypercall `nr` and returns Xen's raw result: negative errno or a value.
///
/// A 32-bit guest's registers hold the lower halves of the arguments; Xen sees no more of them.
///
/// # Safety
/// The number and the arguments together must not make Xen break this guest's memory safety:
/// every buffer that the hypercall writes is valid for it and not otherwise in use, and no
/// mapping is changed under a live reference.
pub unsafe fn hypercall(nr: u32, args: [u64; 5]) -> i64 {
    debug_assert!(nr < 128, "the page has 128 stubs");
    // SAFETY: a stub of the page; the rest is the caller's promise.
    unsafe { width::hypercall::call(page() + u64::from(nr) * 32, args) }
}

/// The address of the hypercall page.
pub(crate) fn page() -> u64 {
    (&raw const hypercall_page) as u64
}

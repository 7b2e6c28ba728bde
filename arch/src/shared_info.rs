//! The page that Xen shares with this domain (`struct shared_info`, xen/include/public/xen.h).

use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering, fence};

use crate::page::Page;
use crate::stacks;

/// `struct vcpu_time_info`: how to turn the TSC into nanoseconds since Xen booted.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct VcpuTimeInfo {
    version: u32,
    _pad0: u32,
    pub tsc_timestamp: u64,
    pub system_time: u64,
    pub tsc_to_system_mul: u32,
    pub tsc_shift: i8,
    _flags: u8,
    _pad1: [u8; 2],
}

/// Bytes that fill `struct vcpu_info` up to its time record, whatever the width of a word.
const ARCH_PAD: usize = 32 - 3 * size_of::<usize>();

/// `struct vcpu_info`, 64 bytes; one per legacy vCPU at the start of the page.
#[repr(C)]
struct VcpuInfo {
    evtchn_upcall_pending: u8,
    evtchn_upcall_mask: u8,
    _evtchn_pending_sel: usize,
    cr2: usize,
    _arch_pad: [u8; ARCH_PAD],
    time: VcpuTimeInfo,
}

const _: () = {
    assert!(size_of::<VcpuInfo>() == 64);
    assert!(core::mem::offset_of!(VcpuInfo, cr2) == 2 * size_of::<usize>());
    assert!(core::mem::offset_of!(VcpuInfo, time) == 32);
};

/// Where the page appears: its frame is replaced by Xen's (PV: in the page table, HVM: in the
/// physical map) at boot.
static WINDOW: Page = Page::zeroed();
static MAPPED: AtomicBool = AtomicBool::new(false);

/// The virtual (= pseudo-physical) address at which the page is to be mapped.
pub(crate) fn window() -> u64 {
    WINDOW.address()
}

/// Says that Xen's page is in place.
pub(crate) fn set_mapped() {
    MAPPED.store(true, Ordering::Release);
}

/// The record of the CPU that asks.
fn vcpu_info() -> Option<*const VcpuInfo> {
    let place = window() as usize + stacks::current() * size_of::<VcpuInfo>();
    MAPPED.load(Ordering::Acquire).then(|| ptr::with_exposed_provenance(place))
}

/// The faulting address that Xen reports to a PV guest; 0 before the page is mapped.
pub(crate) fn pv_cr2() -> u64 {
    // SAFETY: the page is mapped for good; Xen changes the field under us, hence volatile.
    vcpu_info().map_or(0, |info| unsafe { (&raw const (*info).cr2).read_volatile() as u64 })
}

/// Says whether an event waits for this CPU, and whether a PV guest's CPU is to be told of it.
pub(crate) fn set_event(pending: bool, masked: bool) {
    if let Some(info) = vcpu_info() {
        let info = info.cast_mut();
        // SAFETY: the page is mapped for good, and both bytes are the guest's to write.
        unsafe { (&raw mut (*info).evtchn_upcall_pending).write_volatile(pending.into()) };
        // SAFETY: as above.
        unsafe { (&raw mut (*info).evtchn_upcall_mask).write_volatile(masked.into()) };
    }
}

/// A consistent copy of the time record; `None` before the page is mapped.
pub(crate) fn time() -> Option<VcpuTimeInfo> {
    let info = vcpu_info()?;
    // SAFETY: the page is mapped for good; Xen changes the record under us, hence volatile.
    let version = || unsafe { (&raw const (*info).time.version).read_volatile() };
    loop {
        let before = version();
        fence(Ordering::Acquire);
        // SAFETY: as above; a copy that Xen changed half way is discarded by the test below.
        let copy = unsafe { (&raw const (*info).time).read_volatile() };
        fence(Ordering::Acquire);
        if before & 1 == 0 && version() == before {
            return Some(copy);
        }
        core::hint::spin_loop();
    }
}

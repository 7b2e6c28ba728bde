//! `struct start_info` (xen/include/public/xen.h): what the domain builder tells a PV guest.

use protocol::cmdline::CMDLINE_MAX;

use crate::hypercall::GuestWord;
use crate::page::Region;

/// The domain may use privileged hypercalls (`SIF_PRIVILEGED`).
pub const SIF_PRIVILEGED: u32 = 1 << 0;

/// The words have the width of the guest.
#[repr(C)]
pub struct StartInfo {
    _magic: [u8; 32],
    /// Pages of the domain.
    pub nr_pages: GuestWord,
    /// Machine address of the shared page.
    pub shared_info: GuestWord,
    pub flags: u32,
    _store_mfn: GuestWord,
    _store_evtchn: u32,
    /// Machine frame of the console ring; for dom0 a union with something else.
    pub console_mfn: GuestWord,
    pub console_evtchn: u32,
    /// Virtual address of the top-level page table.
    pub pt_base: GuestWord,
    pub nr_pt_frames: GuestWord,
    /// Virtual address of the pseudo-physical to machine list.
    pub mfn_list: GuestWord,
    /// Virtual address of the first module, which the builder has mapped: the image has no note
    /// that asks for a page frame number instead (`XEN_ELFNOTE_MOD_START_PFN`).
    mod_start: GuestWord,
    /// Bytes of it; 0 if there is none.
    mod_len: GuestWord,
    pub cmd_line: [u8; CMDLINE_MAX],
}

/// Offsets in a guest of 64 bits, and in one of 32.
const _: () = {
    use core::mem::offset_of;
    const fn at(wide: usize, narrow: usize) -> usize {
        if size_of::<GuestWord>() == 8 { wide } else { narrow }
    }
    assert!(offset_of!(StartInfo, shared_info) == at(40, 36));
    assert!(offset_of!(StartInfo, console_mfn) == at(72, 52));
    assert!(offset_of!(StartInfo, pt_base) == at(88, 60));
    assert!(offset_of!(StartInfo, mod_start) == at(112, 72));
    assert!(offset_of!(StartInfo, cmd_line) == at(128, 80));
};

impl StartInfo {
    /// The first module, if there is one.
    pub fn module(&self) -> Option<Region> {
        let (start, len) = (self.mod_start.get(), self.mod_len.get());
        (len > 0).then_some(Region { start, len })
    }
}

//! `struct start_info` (xen/include/public/xen.h): what the domain builder tells a PV guest.

use protocol::cmdline::CMDLINE_MAX;

/// The domain may use privileged hypercalls (`SIF_PRIVILEGED`).
pub const SIF_PRIVILEGED: u32 = 1 << 0;

#[repr(C)]
pub struct StartInfo {
    _magic: [u8; 32],
    /// Pages of the domain.
    pub nr_pages: u64,
    /// Machine address of the shared page.
    pub shared_info: u64,
    pub flags: u32,
    _store_mfn: u64,
    _store_evtchn: u32,
    /// Machine frame of the console ring; for dom0 a union with something else.
    pub console_mfn: u64,
    pub console_evtchn: u32,
    /// Virtual address of the top-level page table.
    pub pt_base: u64,
    pub nr_pt_frames: u64,
    /// Virtual address of the pseudo-physical to machine list.
    pub mfn_list: u64,
    /// Virtual address of the first module, which the builder has mapped: the image has no note
    /// that asks for a page frame number instead (`XEN_ELFNOTE_MOD_START_PFN`).
    pub mod_start: u64,
    /// Bytes of it; 0 if there is none.
    pub mod_len: u64,
    pub cmd_line: [u8; CMDLINE_MAX],
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(StartInfo, shared_info) == 40);
    assert!(offset_of!(StartInfo, console_mfn) == 72);
    assert!(offset_of!(StartInfo, pt_base) == 88);
    assert!(offset_of!(StartInfo, mod_start) == 112);
    assert!(offset_of!(StartInfo, cmd_line) == 128);
};

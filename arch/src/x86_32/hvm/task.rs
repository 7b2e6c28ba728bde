//! What the CPU keeps of a task while another one runs.

use core::mem::offset_of;

/// A 32-bit task state segment (Intel SDM volume 3, 8.2.1).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Tss {
    _back_link: u32,
    _inner_stacks: [u32; 6],
    pub cr3: u32,
    pub eip: u32,
    pub eflags: u32,
    pub eax: u32,
    pub ecx: u32,
    pub edx: u32,
    pub ebx: u32,
    pub esp: u32,
    pub ebp: u32,
    pub esi: u32,
    pub edi: u32,
    pub es: u32,
    pub cs: u32,
    pub ss: u32,
    pub ds: u32,
    _fs_gs: [u32; 2],
    _ldt: u32,
    _trap: u16,
    io_map: u16,
}

const _: () = assert!(size_of::<Tss>() == 104 && offset_of!(Tss, cs) == 76);

impl Tss {
    /// A task that has not run yet.
    pub const EMPTY: Self = Self {
        _back_link: 0,
        _inner_stacks: [0; 6],
        cr3: 0,
        eip: 0,
        eflags: 0,
        eax: 0,
        ecx: 0,
        edx: 0,
        ebx: 0,
        esp: 0,
        ebp: 0,
        esi: 0,
        edi: 0,
        es: 0,
        cs: 0,
        ss: 0,
        ds: 0,
        _fs_gs: [0; 2],
        _ldt: 0,
        _trap: 0,
        // Behind the segment: there is none.
        io_map: size_of::<Tss>() as u16,
    };
}

//! Which devices Xen emulates for this guest: what tells an HVM guest from a PVH one.
//!
//! `type="hvm"` with `firmware_override` enters the image as PVH does, in the same state, with the
//! same start_info and no firmware having run. What differs is that Xen emulates a PC's devices
//! for an HVM guest and only a local APIC for a PVH domU; it creates no domain with anything in
//! between (`emulation_flags_ok`, xen/arch/x86/domain.c).

use crate::cpu::{read_port, write_port};

/// Whether there is an interrupt controller of a PC: HVM. For a control domain the question is
/// void: it is never HVM, and the machine's own controller may answer.
///
/// The controller's mask keeps what is written to it; where nothing answers, all bits read as 1.
pub fn has_interrupt_controller() -> bool {
    /// Neither what a reset leaves nor what an empty bus returns, and each bit in both values.
    const PATTERNS: [u8; 2] = [0x5a, 0xa5];
    PATTERNS.iter().all(|&pattern| interrupt_mask(pattern) == pattern)
}

/// The mask of a PC's first interrupt controller.
const INTERRUPT_MASK: u16 = 0x21;

/// What the interrupt controller's mask reads as after `mask` was written to it. It is put back.
/// PVH and HVM only.
fn interrupt_mask(mask: u8) -> u8 {
    // SAFETY: this guest takes no interrupts: which of them are masked has no effect.
    unsafe {
        let before = read_port(INTERRUPT_MASK);
        write_port(INTERRUPT_MASK, mask);
        let after = read_port(INTERRUPT_MASK);
        write_port(INTERRUPT_MASK, before);
        after
    }
}

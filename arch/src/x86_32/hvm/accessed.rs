//! The accessed bit in the top level of PAE's page tables, which no CPU has there.
//!
//! QEMU's emulation sets it in each entry that it uses. To Xen the bit is a reserved one: it then finds
//! no way from an address to memory, neither to what a hypercall is told of nor to the instruction that
//! it has to skip, and the guest repeats the instruction for ever. So the bits are cleared in the
//! instructions right before one that Xen emulates. Nothing comes in between there: the emulator looks
//! for interrupts between blocks of instructions only, as long as it does not count them (`-icount`).

use core::ptr;

use super::paging::{self, Paging, top_entry};
use crate::hypercall::page;

/// An immediate byte that clears the bit.
pub const CLEAR: i8 = !(1 << 5);

/// `asm!` of an instruction that Xen may emulate, with the instruction in front of it that clears the
/// bit for the first gigabyte, in which the code is. Without PAE that writes to a table of nobody's.
macro_rules! emulated {
    ($instruction:literal $(, $($operands:tt)+)?) => {
        core::arch::asm!(
            "and dword ptr [{entry}], {clear}",
            $instruction,
            entry = in(reg) $crate::width::hvm::paging::top_entry(0) as u32,
            clear = const $crate::width::hvm::accessed::CLEAR,
            $($($operands)+,)?
            options(nostack),
        )
    };
}
pub(crate) use emulated;

/// Bytes of a hypercall's stub, and how many there are.
const STUB: usize = 32;
const STUBS: usize = 4096 / STUB;
/// Bytes of Xen's: `mov eax, NUMBER`, VMCALL or VMMCALL, and RET.
const USED: usize = 9;

/// Puts an instruction in front of each hypercall that clears the bit for the first gigabyte, in which
/// the page itself is. A stub in a form that is not known is left alone.
pub fn keep_from_hypercalls() {
    let place: *mut [[u8; STUB]; STUBS] = ptr::with_exposed_provenance_mut(page() as usize);
    // SAFETY: the page is this image's; Xen has filled it, and nobody executes it at the moment.
    let stubs = unsafe { &mut *place };
    for stub in stubs {
        let [0xb8, _, _, _, _, 0x0f, 0x01, 0xc1 | 0xd9, 0xc3, ..] = *stub else { continue };
        // AND of a byte that is extended to 32 bits, at an address.
        let [a, b, c, d] = (top_entry(0) as u32).to_le_bytes();
        let and = [0x83, 0x25, a, b, c, d, CLEAR as u8];
        stub.copy_within(..USED, and.len());
        stub[..and.len()].copy_from_slice(&and);
    }
}

/// Clears the bits of the other gigabytes, which no instruction between here and Xen uses.
pub fn forget() {
    if paging::mode() != Paging::Pae {
        return;
    }
    for index in 1..4 {
        let entry: *mut u32 = ptr::with_exposed_provenance_mut(top_entry(index) as usize);
        // SAFETY: the lower half of an entry of ours.
        unsafe { entry.write_volatile(entry.read_volatile() & !(1 << 5)) };
    }
}

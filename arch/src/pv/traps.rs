//! The virtual IDT: which handlers Xen calls for a PV guest's traps. Their entry stubs are in
//! `width::pv::traps`.

use crate::hypercall::{GuestWord, hypercall, nr};
use crate::trap::VECTORS;
use crate::width::pv::KERNEL_CS;
use crate::width::pv::traps::trap_addresses_pv;

/// The interrupt flag, in which Xen keeps the guest's event mask (inverted) while it is in a trap.
pub const FLAG_IF: i32 = 1 << 9;

/// One line of the virtual IDT (`struct trap_info`, xen/include/public/arch-x86/xen.h).
#[derive(Clone, Copy)]
#[repr(C)]
pub struct TrapInfo {
    vector: u8,
    flags: u8,
    cs: u16,
    address: GuestWord,
}

fn set_trap_table(table: &[TrapInfo]) {
    // SAFETY: Xen reads the table up to the entry with address 0, which both callers end it
    // with; the handlers it names keep to the frame layout of `trap`.
    let result = unsafe { hypercall(nr::SET_TRAP_TABLE, [table.as_ptr() as u64, 0, 0, 0, 0]) };
    assert!(result == 0, "set_trap_table: {result}");
}

/// A handler for every exception, and an end mark behind them.
pub fn trap_table<const N: usize>() -> [TrapInfo; N] {
    const { assert!(N > VECTORS) };
    let end = TrapInfo { vector: 0, flags: 0, cs: 0, address: GuestWord::default() };
    let mut table = [end; N];
    for (vector, line) in table.iter_mut().take(VECTORS).enumerate() {
        let address = GuestWord::new(trap_addresses_pv[vector] as u64);
        *line = TrapInfo { vector: vector as u8, flags: 0, cs: KERNEL_CS, address };
    }
    table
}

/// Has Xen call our handlers.
pub fn install() {
    set_trap_table(&trap_table::<{ VECTORS + 1 }>());
}

/// Takes the handlers away again: the next fault is the domain's last.
pub fn forget() {
    // SAFETY: a null table resets the virtual IDT; that the guest then dies is the point.
    unsafe { hypercall(nr::SET_TRAP_TABLE, [0; 5]) };
}

//! Paravirtualised guests: entry from the domain builder, Xen-checked page tables.

mod entry;
pub mod event;
pub(crate) mod memory;
mod start_info;
mod vcpu;

pub(crate) use vcpu::vcpu_context;

use crate::hypercall::{hypercall, nr};
use crate::trap::{VECTORS, trap_addresses_pv};

/// `FLAT_KERNEL_CS64`: the code segment that Xen provides for the guest's kernel.
const KERNEL_CS: u16 = 0xe033;

/// One line of the virtual IDT (`struct trap_info`, xen/include/public/arch-x86/xen.h).
#[derive(Clone, Copy)]
#[repr(C)]
struct TrapInfo {
    vector: u8,
    flags: u8,
    cs: u16,
    address: u64,
}

/// Lets this domain's kernel use I/O ports, or not. A control domain's only.
pub(crate) fn allow_ports(allow: bool) {
    const PHYSDEVOP_SET_IOPL: u64 = 6;
    let level = u32::from(allow);
    // SAFETY: Xen reads four bytes of `level`. What ports do to memory is the affair of whoever
    // uses them.
    unsafe { hypercall(nr::PHYSDEV_OP, [PHYSDEVOP_SET_IOPL, (&raw const level) as u64, 0, 0, 0]) };
}

fn set_trap_table(table: &[TrapInfo]) {
    // SAFETY: Xen reads the table up to the entry with address 0, which both callers end it
    // with; the handlers it names keep to the frame layout of `trap`.
    let result = unsafe { hypercall(nr::SET_TRAP_TABLE, [table.as_ptr() as u64, 0, 0, 0, 0]) };
    assert!(result == 0, "set_trap_table: {result}");
}

/// A handler for every exception, and an end mark behind them.
fn trap_table<const N: usize>() -> [TrapInfo; N] {
    const END: TrapInfo = TrapInfo { vector: 0, flags: 0, cs: 0, address: 0 };
    const { assert!(N > VECTORS) };
    let mut table = [END; N];
    for (vector, line) in table.iter_mut().take(VECTORS).enumerate() {
        let address = trap_addresses_pv[vector];
        *line = TrapInfo { vector: vector as u8, flags: 0, cs: KERNEL_CS, address };
    }
    table
}

fn install_traps() {
    set_trap_table(&trap_table::<{ VECTORS + 1 }>());
}

/// Takes the handlers away again: the next fault is the domain's last.
pub(crate) fn forget_trap_table() {
    // SAFETY: a null table resets the virtual IDT; that the guest then dies is the point.
    unsafe { hypercall(nr::SET_TRAP_TABLE, [0; 5]) };
}

//! Traps of a PV guest, which come from Xen: the virtual IDT and its entry stubs.

use crate::hypercall::{hypercall, nr};
use crate::trap::{TrapFrame, VECTORS, dispatch};
use crate::width::trap_stubs;

// Xen pushes rcx and r11 on top, which hold the interrupted values. Ring 3 returns through Xen,
// which expects a word of flags below the frame: the error code's slot, zeroed.
trap_stubs! {
    mode: "pv", dispatch: pv_dispatch,
    entry: ["    pop rcx", "    pop r11"],
    exit: [
        "    add rsp, 8",
        "    mov qword ptr [rsp], 0",
        "    jmp hypercall_page + {iret} * 32"
    ],
    further: [
        ".global trap_pv_event",
        "trap_pv_event:",
        "    pop rcx",
        "    pop r11",
        "    push 0",
        "    push {event}",
        "    jmp trap_common_pv"
    ],
    iret = const nr::IRET,
    event = const EVENT,
}

/// In place of a vector: Xen's upcall to a guest that has an event pending.
const EVENT: u64 = 0x100;

unsafe extern "C" {
    static trap_pv_event: u8;
    safe static trap_addresses_pv: [u64; VECTORS];
}

/// The interrupt flag, in which Xen keeps the guest's event mask (inverted) while it is in a trap.
const RFLAGS_IF: u64 = 1 << 9;

/// Where Xen shall call when an event is pending.
pub fn event_callback() -> u64 {
    (&raw const trap_pv_event) as u64
}

extern "C" fn pv_dispatch(frame: &mut TrapFrame) {
    if frame.vector == EVENT {
        // Nobody waits for events; the interrupted code goes on with them masked.
        frame.rflags &= !RFLAGS_IF;
        return;
    }
    dispatch(frame);
}

/// `FLAT_KERNEL_CS64`: the code segment that Xen provides for the guest's kernel.
pub const KERNEL_CS: u16 = 0xe033;

/// One line of the virtual IDT (`struct trap_info`, xen/include/public/arch-x86/xen.h).
#[derive(Clone, Copy)]
#[repr(C)]
pub struct TrapInfo {
    vector: u8,
    flags: u8,
    cs: u16,
    address: u64,
}

fn set_trap_table(table: &[TrapInfo]) {
    // SAFETY: Xen reads the table up to the entry with address 0, which both callers end it
    // with; the handlers it names keep to the frame layout of `trap`.
    let result = unsafe { hypercall(nr::SET_TRAP_TABLE, [table.as_ptr() as u64, 0, 0, 0, 0]) };
    assert!(result == 0, "set_trap_table: {result}");
}

/// A handler for every exception, and an end mark behind them.
pub fn trap_table<const N: usize>() -> [TrapInfo; N] {
    const END: TrapInfo = TrapInfo { vector: 0, flags: 0, cs: 0, address: 0 };
    const { assert!(N > VECTORS) };
    let mut table = [END; N];
    for (vector, line) in table.iter_mut().take(VECTORS).enumerate() {
        let address = trap_addresses_pv[vector];
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

//! Entry stubs for traps that come from Xen.

use super::super::trap_stubs;
use super::KERNEL_CS;
use crate::hypercall::nr;
use crate::pv::traps::FLAG_IF;
use crate::trap::{VECTORS, dispatch};

// Xen leaves what the CPU would have: the guest's kernel is interrupted in its own ring. It returns
// through Xen, which puts the event mask back. Nobody waits for events: after one, the interrupted
// code goes on with them masked.
trap_stubs! {
    mode: "pv", dispatch: dispatch,
    exit: ["    jmp hypercall_page + {iret} * 32"],
    further: [
        ".global pv_event",
        "pv_event:",
        "    and dword ptr [esp + 2 * 4], {masked}",
        "    jmp hypercall_page + {iret} * 32"
    ],
    iret = const nr::IRET,
    masked = const !FLAG_IF,
}

unsafe extern "C" {
    static pv_event: u8;
    pub safe static trap_addresses_pv: [usize; VECTORS];
}

/// The arguments of `set_callbacks`: where Xen shall call when an event is pending, and when it cannot
/// go back to the guest, which never happens.
pub fn callbacks() -> [u64; 5] {
    [KERNEL_CS.into(), (&raw const pv_event) as u64, KERNEL_CS.into(), 0, 0]
}

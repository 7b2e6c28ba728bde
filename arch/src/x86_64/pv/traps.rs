//! Entry stubs for traps that come from Xen.

use crate::hypercall::nr;
use crate::pv::traps::FLAG_IF;
use crate::trap::{VECTORS, dispatch};
use crate::width::trap_stubs;

// Xen pushes rcx and r11 on top, which hold the interrupted values. Ring 3 returns through Xen,
// which expects a word of flags below the frame: the error code's slot, zeroed. Nobody waits for
// events: after one, the interrupted code goes on with them masked.
trap_stubs! {
    mode: "pv", dispatch: dispatch,
    entry: ["    pop rcx", "    pop r11"],
    exit: [
        "    add rsp, 8",
        "    mov qword ptr [rsp], 0",
        "    jmp hypercall_page + {iret} * 32"
    ],
    further: [
        ".global pv_event",
        "pv_event:",
        "    pop rcx",
        "    pop r11",
        "    and qword ptr [rsp + 2 * 8], {masked}",
        "    push 0",
        "    jmp hypercall_page + {iret} * 32"
    ],
    iret = const nr::IRET,
    masked = const !FLAG_IF,
}

unsafe extern "C" {
    static pv_event: u8;
    pub safe static trap_addresses_pv: [usize; VECTORS];
}

/// The arguments of `set_callbacks`: where Xen shall call when an event is pending. The other two
/// callbacks are never needed.
pub fn callbacks() -> [u64; 5] {
    [(&raw const pv_event) as u64, 0, 0, 0, 0]
}

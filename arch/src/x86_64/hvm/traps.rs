//! Entry stubs for traps that come from the CPU.

use crate::trap::{VECTORS, dispatch};
use crate::width::trap_stubs;

trap_stubs! {
    mode: "hvm", dispatch: dispatch,
    entry: [],
    exit: ["    add rsp, 16", "    iretq"],
    further: [],
}

unsafe extern "C" {
    pub safe static trap_addresses_hvm: [u64; VECTORS];
}

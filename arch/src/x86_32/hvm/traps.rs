//! Entry stubs for traps that come from the CPU.

use super::super::{TrapFrame, trap_stubs};
use super::accessed::emulated;
use crate::trap::{VECTORS, dispatch};

trap_stubs! {
    mode: "hvm", dispatch: hvm_dispatch,
    exit: ["    iretd"],
    further: [],
}

unsafe extern "C" {
    pub safe static trap_addresses_hvm: [u32; VECTORS];
}

/// "Device not available": the FPU is used for the first time since a task switch.
const NO_DEVICE: u32 = 7;

extern "C" fn hvm_dispatch(frame: &mut TrapFrame) {
    if frame.vector == NO_DEVICE {
        // A double fault switches tasks, and nobody but this task uses the FPU.
        // SAFETY: the instruction that was interrupted is executed again, and works.
        unsafe { emulated!("clts") };
        return;
    }
    dispatch(frame);
}

//! From the entry code to the image's main functions.

use crate::boot::{Boot, record};
use crate::trap;

unsafe extern "Rust" {
    /// The image's main function, called once, on the boot stack, when all of this crate works.
    safe fn xtf_main() -> !;

    /// The main function of a secondary CPU.
    safe fn xtf_secondary_main(cpu: usize) -> !;
}

/// Records what was found and runs the image.
pub fn start(boot: Boot) -> ! {
    record(boot);
    trap::probe_fault_addresses();
    xtf_main()
}

/// Runs what the image has for a secondary CPU.
pub fn secondary(cpu: usize) -> ! {
    xtf_secondary_main(cpu)
}

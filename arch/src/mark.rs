//! Marks for a host that runs this guest in an emulator with the project's plugin.
//!
//! Which comes first, a mark or a hypercall, is the order in which they stand in the source: to the
//! compiler both are instructions with side effects.

use core::arch::asm;

use protocol::letterbox::NOP;
use protocol::mark::{ALIGNMENT, Mark};

/// One NOP.
#[inline(always)]
fn mark<const CARRIED: u32>() {
    // SAFETY: a NOP, whose bytes the host looks at. The alignment keeps it in one page.
    unsafe {
        asm!(
            ".balign {alignment}",
            ".byte {n0}, {n1}, {n2}, {n3}",
            ".long {carried}",
            alignment = const ALIGNMENT,
            n0 = const NOP[0],
            n1 = const NOP[1],
            n2 = const NOP[2],
            n3 = const NOP[3],
            carried = const CARRIED,
            options(nostack, preserves_flags),
        );
    }
}

/// [`Mark::Boot`].
pub fn boot() {
    mark::<{ Mark::Boot.carried() }>();
}

/// [`Mark::Prelude`].
pub fn prelude() {
    mark::<{ Mark::Prelude.carried() }>();
}

/// [`Mark::Case`].
pub fn case() {
    mark::<{ Mark::Case.carried() }>();
}

/// [`Mark::Test`].
pub fn test() {
    mark::<{ Mark::Test.carried() }>();
}

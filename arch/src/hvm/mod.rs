//! PVH and HVM guests: entry in 32-bit protected mode, hardware descriptor and page tables. What
//! depends on the width of the guest is in `width::hvm`.

pub mod event;
pub(crate) mod platform;
pub(crate) mod ram;
pub(crate) mod start_info;
pub(crate) mod xen;

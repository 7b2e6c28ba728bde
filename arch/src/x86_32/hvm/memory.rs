//! The protection of pages, in the paging mode that is in use.

use super::paging::{self, Paging};
use super::physmap;
use crate::page::{ProtectError, Protection};

/// See [`crate::memory::protect`].
pub fn protect(address: u64, protection: Protection) -> Result<(), ProtectError> {
    match paging::mode() {
        Paging::None => physmap::protect(address, protection),
        Paging::Pse | Paging::Pae => paging::protect(address, protection),
    }
}

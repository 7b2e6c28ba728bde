//! What a test is given to work on: bytes that are stamped into the image after linking, and files.
//!
//! The bytes reach the guest in every environment and through every loader, as the image itself
//! does. The files are for a control domain, whose loader passes an archive as its initrd.

use protocol::archive::{self, Files};
use protocol::image::INPUT_HEADER;

/// Bytes of the section.
const SIZE: usize = 64 << 10;

#[used]
#[unsafe(link_section = ".xtf.input")]
static INPUT: [u8; SIZE] = [0; SIZE];

/// What was written into the image; nothing if nobody did.
pub fn input() -> &'static [u8] {
    // As the file has them, not as the compiler saw them.
    let bytes: &'static [u8; SIZE] = core::hint::black_box(&INPUT);
    let (size, bytes) = bytes.split_at(INPUT_HEADER);
    let size = size.try_into().map_or(0, u32::from_le_bytes) as usize;
    bytes.get(..size).unwrap_or_default()
}

/// The files that the loader passed, if it did. There may be an oddity among them.
pub fn files() -> Option<Files<'static>> {
    arch::boot().module().map(archive::files)
}

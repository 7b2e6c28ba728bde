//! Bytes that are written into the image after it was linked, for a test that wants some.
//!
//! They reach the guest in every environment and through every loader, as the image itself does.

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

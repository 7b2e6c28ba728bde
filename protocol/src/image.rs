//! The image as a file: where it is linked, and its sections for tools.
//!
//! `linker.ld` lays the sections out by the same names.

/// Address at which the image is linked. In the guest's memory nothing of the image lies below.
pub const BASE: u64 = 1 << 20;

/// Section with the [metadata](crate::metadata), one JSON object in a line for each test.
pub const META: &str = ".xtf.meta";
/// Section for a [command line](crate::cmdline), padded with NULs.
pub const CMDLINE: &str = ".xtf.cmdline";
/// Section for bytes that a test wants: their number in the first [`INPUT_HEADER`] bytes,
/// little-endian, then they themselves.
pub const INPUT: &str = ".xtf.input";
/// Bytes of [`INPUT`] that hold the number of those that follow.
pub const INPUT_HEADER: usize = size_of::<u32>();

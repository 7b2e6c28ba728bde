//! Writes a command line into the image, for loaders that cannot pass one.
//!
//! The image has a section of a fixed size for it. The guest reads its words before those of the
//! loader, so that a loader that does pass some has the last word.

use object::{Object, ObjectSection};

use crate::exit::{Error, Result};

/// Section that holds the command line, padded with NULs.
const SECTION: &str = ".xtf.cmdline";

/// A copy of `image` with `text` in place of what was stamped into it before.
pub fn stamp(image: &[u8], text: &str) -> Result<Vec<u8>> {
    let (start, size) = place(image).map_err(Error::Data)?;
    if let Some(bad) = text.chars().find(|c| !(' '..='~').contains(c)) {
        let why = format!("a stamped command line is printable ASCII, not {bad:?}: `{text}`");
        return Err(Error::Usage(why));
    }
    if text.len() > size {
        return Err(Error::Usage(format!(
            "a stamped command line has {size} bytes at most, not {}; name fewer tests",
            text.len()
        )));
    }
    let mut stamped = image.to_vec();
    let (written, padding) = stamped[start..start + size].split_at_mut(text.len());
    written.copy_from_slice(text.as_bytes());
    padding.fill(0);
    Ok(stamped)
}

/// Where in the file the section is, and its size.
fn place(image: &[u8]) -> std::result::Result<(usize, usize), String> {
    let elf = object::File::parse(image).map_err(|e| format!("the image is no ELF file: {e}"))?;
    let section = elf.section_by_name(SECTION).ok_or_else(|| {
        format!("the image has no section {SECTION} for a command line; is it an xtf-rs image?")
    })?;
    section
        .file_range()
        .and_then(|(start, size)| Some((usize::try_from(start).ok()?, usize::try_from(size).ok()?)))
        .filter(|(start, size)| start.checked_add(*size).is_some_and(|end| end <= image.len()))
        .ok_or_else(|| format!("the image's section {SECTION} is not in the file"))
}

#[cfg(test)]
mod tests {
    use object::write::{Object as Writer, StandardSegment};
    use object::{Architecture, BinaryFormat, Endianness, SectionKind};

    use super::*;
    use crate::exit::Exit;

    const SIZE: usize = 64;

    fn image(section: &str) -> Vec<u8> {
        let mut elf = Writer::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let segment = elf.segment_name(StandardSegment::Data).to_vec();
        for (name, byte) in [(".before", 0xaa), (section, 0), (".after", 0xbb)] {
            let id = elf.add_section(segment.clone(), name.into(), SectionKind::ReadOnlyData);
            elf.set_section_data(id, vec![byte; SIZE], 1);
        }
        elf.write().unwrap()
    }

    /// What another reader of ELF files finds in the section.
    fn read(image: &[u8], section: &str) -> Vec<u8> {
        let elf = object::File::parse(image).unwrap();
        elf.section_by_name(section).unwrap().data().unwrap().to_vec()
    }

    #[test]
    fn the_text_is_found_where_the_guest_looks() {
        let stamped = stamp(&image(SECTION), "tests=example linger=500").unwrap();
        let mut expected = b"tests=example linger=500".to_vec();
        expected.resize(SIZE, 0);
        assert_eq!(read(&stamped, SECTION), expected);
        assert_eq!(read(&stamped, ".before"), [0xaa; SIZE]);
        assert_eq!(read(&stamped, ".after"), [0xbb; SIZE]);
    }

    #[test]
    fn nothing_else_changes_and_a_stamp_can_be_replaced() {
        let plain = image(SECTION);
        let long = stamp(&plain, &"x".repeat(SIZE)).unwrap();
        assert_eq!(read(&long, SECTION), [b'x'; SIZE]);
        let short = stamp(&long, "tests=a").unwrap();
        assert_eq!(short, stamp(&plain, "tests=a").unwrap());
        assert_eq!(stamp(&short, "").unwrap(), plain);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let error = |image: &[u8], text: &str| stamp(image, text).unwrap_err();
        let long = error(&image(SECTION), &"x".repeat(SIZE + 1));
        assert_eq!((long.exit(), long.to_string().contains("64 bytes")), (Exit::Usage, true));
        for text in ["tests=\u{e4}", "a\nb", "a\0b"] {
            assert_eq!(error(&image(SECTION), text).exit(), Exit::Usage, "{text:?}");
        }
        let bare = error(&image(".other"), "");
        assert_eq!((bare.exit(), bare.to_string().contains(SECTION)), (Exit::Data, true));
        assert_eq!(error(b"#!/bin/sh", "").exit(), Exit::Data);
    }

    #[test]
    fn a_truncated_image_is_an_error() {
        let image = image(SECTION);
        for end in [0, 10, 64, image.len() / 2] {
            assert_eq!(stamp(&image[..end], "").unwrap_err().exit(), Exit::Data, "{end}");
        }
    }
}

//! Writes into the image after it was linked: a command line, for loaders that cannot pass one, and
//! bytes for a test that wants some.
//!
//! The image has a section of a fixed size for each. The guest reads its words before those of the
//! loader, so that a loader that does pass some has the last word.

use object::{Object, ObjectSection};
use protocol::image::{CMDLINE, INPUT, INPUT_HEADER};

use crate::base::exit::{Error, Result};

/// A copy of `image` with `text` in place of what was stamped into it before.
pub fn stamp(image: &[u8], text: &str) -> Result<Vec<u8>> {
    let (start, size) = place(image, CMDLINE).map_err(Error::Data)?;
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

/// A copy of `image` with `input` for its tests.
pub fn stamp_input(image: &[u8], input: &[u8]) -> Result<Vec<u8>> {
    let (start, size) = place(image, INPUT).map_err(Error::Data)?;
    let room = size.saturating_sub(INPUT_HEADER);
    let Some(length) = u32::try_from(input.len()).ok().filter(|_| input.len() <= room) else {
        return Err(Error::Usage(format!(
            "the image has room for {room} bytes of input, not {}; leave out some steps",
            input.len()
        )));
    };
    let mut stamped = image.to_vec();
    let section = &mut stamped[start..start + size];
    section.fill(0);
    let (head, body) = section.split_at_mut(INPUT_HEADER);
    head.copy_from_slice(&length.to_le_bytes());
    body[..input.len()].copy_from_slice(input);
    Ok(stamped)
}

/// Where in the file a section is, and its size.
fn place(image: &[u8], name: &str) -> std::result::Result<(usize, usize), String> {
    let elf = object::File::parse(image).map_err(|e| format!("the image is no ELF file: {e}"))?;
    let section = elf.section_by_name(name).ok_or_else(|| {
        format!("the image has no section {name}; is it an xtf-rs image of this version?")
    })?;
    section
        .file_range()
        .and_then(|(start, size)| Some((usize::try_from(start).ok()?, usize::try_from(size).ok()?)))
        .filter(|(start, size)| start.checked_add(*size).is_some_and(|end| end <= image.len()))
        .ok_or_else(|| format!("the image's section {name} is not in the file"))
}

#[cfg(test)]
mod tests {
    use object::write::{Object as Writer, StandardSegment};
    use object::{Architecture, BinaryFormat, Endianness, SectionKind};

    use super::*;
    use crate::base::exit::Exit;

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
        let stamped = stamp(&image(CMDLINE), "tests=example linger=500").unwrap();
        let mut expected = b"tests=example linger=500".to_vec();
        expected.resize(SIZE, 0);
        assert_eq!(read(&stamped, CMDLINE), expected);
        assert_eq!(read(&stamped, ".before"), [0xaa; SIZE]);
        assert_eq!(read(&stamped, ".after"), [0xbb; SIZE]);
    }

    #[test]
    fn nothing_else_changes_and_a_stamp_can_be_replaced() {
        let plain = image(CMDLINE);
        let long = stamp(&plain, &"x".repeat(SIZE)).unwrap();
        assert_eq!(read(&long, CMDLINE), [b'x'; SIZE]);
        let short = stamp(&long, "tests=a").unwrap();
        assert_eq!(short, stamp(&plain, "tests=a").unwrap());
        assert_eq!(stamp(&short, "").unwrap(), plain);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let error = |image: &[u8], text: &str| stamp(image, text).unwrap_err();
        let long = error(&image(CMDLINE), &"x".repeat(SIZE + 1));
        assert_eq!((long.exit(), long.to_string().contains("64 bytes")), (Exit::Usage, true));
        for text in ["tests=\u{e4}", "a\nb", "a\0b"] {
            assert_eq!(error(&image(CMDLINE), text).exit(), Exit::Usage, "{text:?}");
        }
        let bare = error(&image(".other"), "");
        assert_eq!((bare.exit(), bare.to_string().contains(CMDLINE)), (Exit::Data, true));
        assert_eq!(error(b"#!/bin/sh", "").exit(), Exit::Data);
    }

    #[test]
    fn input_has_its_length_in_front() {
        let stamped = stamp_input(&image(INPUT), b"abc").unwrap();
        let mut expected = b"\x03\0\0\0abc".to_vec();
        expected.resize(SIZE, 0);
        assert_eq!(read(&stamped, INPUT), expected);
        let again = stamp_input(&stamped, b"").unwrap();
        assert_eq!(again, image(INPUT).as_slice());
        let most = vec![1; SIZE - 4];
        assert!(stamp_input(&stamped, &most).is_ok());
        let error = stamp_input(&stamped, &[1; SIZE - 3]).unwrap_err();
        assert!(error.to_string().contains("60 bytes"), "{error}");
    }

    #[test]
    fn a_truncated_image_is_an_error() {
        let image = image(CMDLINE);
        for end in [0, 10, 64, image.len() / 2] {
            assert_eq!(stamp(&image[..end], "").unwrap_err().exit(), Exit::Data, "{end}");
        }
    }
}

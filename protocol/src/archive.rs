//! Files that the runner hands to the guest besides the image: a cpio archive of the kind "newc",
//! which is also that of Linux's initramfs.
//!
//! Each entry is [`MAGIC`], [`FIELDS`] numbers of eight hexadecimal digits, the name with a NUL, and
//! the content; name and content are padded to multiples of [`ALIGNMENT`] bytes, counted from the
//! beginning of the archive. The last entry is called [`TRAILER`]. What follows it is padding.

use core::fmt;

/// What each entry begins with.
pub const MAGIC: &[u8] = b"070701";
/// Numbers of an entry.
pub const FIELDS: usize = 13;
/// Which of them is the type and the permissions.
pub const MODE: usize = 1;
/// Which of them is the size of the content in bytes.
pub const SIZE: usize = 6;
/// Which of them is the size of the name, with its NUL.
pub const NAME_SIZE: usize = 11;
/// See the module.
pub const ALIGNMENT: usize = 4;
/// The name of the last entry.
pub const TRAILER: &str = "TRAILER!!!";
/// The part of the mode that tells the type.
pub const TYPE: u32 = 0o170_000;
/// The type of a file.
pub const REGULAR: u32 = 0o100_000;

const DIGITS: usize = 8;

/// A file of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File<'a> {
    /// Its name.
    pub name: &'a str,
    /// What is in it.
    pub content: &'a [u8],
}

/// Why an archive cannot be read, and where: bytes from its beginning to the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Odd {
    /// Where.
    pub at: usize,
    /// Why.
    pub why: &'static str,
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the archive's entry at byte {} {}", self.at, self.why)
    }
}

/// The files of an archive, in its order; the first oddity ends it.
#[derive(Clone, Debug)]
pub struct Files<'a> {
    archive: &'a [u8],
    /// Where the next entry is; `None` behind the last one.
    at: Option<usize>,
}

/// The files of `archive`.
pub fn files(archive: &[u8]) -> Files<'_> {
    Files { archive, at: Some(0) }
}

impl<'a> Iterator for Files<'a> {
    type Item = Result<File<'a>, Odd>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at.take()?;
        match self.entry(at) {
            Ok(None) => None,
            Ok(Some((file, next))) => {
                self.at = Some(next);
                Some(Ok(file))
            }
            Err(why) => Some(Err(Odd { at, why })),
        }
    }
}

impl<'a> Files<'a> {
    /// The entry at `at` and where the next one is; `None` for the last one.
    fn entry(&self, at: usize) -> Result<Option<(File<'a>, usize)>, &'static str> {
        const CUT: &str = "is cut short";
        let part = |from: usize, size: usize| {
            from.checked_add(size).and_then(|end| self.archive.get(from..end))
        };
        let numbers_at = at + MAGIC.len();
        let name_at = numbers_at + FIELDS * DIGITS;
        let head = part(at, name_at - at).ok_or(CUT)?;
        if !head.starts_with(MAGIC) {
            return Err("does not begin as one of the kind newc");
        }
        let number = |field: usize| {
            let digits = part(numbers_at + field * DIGITS, DIGITS).ok_or(CUT)?;
            number(digits).ok_or("has a number that is not hexadecimal")
        };
        let (mode, size, name_size) = (number(MODE)?, number(SIZE)?, number(NAME_SIZE)?);
        let name = part(name_at, name_size as usize).ok_or(CUT)?;
        let name = name.split_last().filter(|(last, name)| **last == 0 && !name.contains(&0));
        let (_, name) = name.ok_or("has a name that does not end in its only NUL")?;
        let name = core::str::from_utf8(name).map_err(|_| "has a name that is not UTF-8")?;
        if name == TRAILER {
            return Ok(None);
        }
        if mode & TYPE != REGULAR {
            return Err("is not a file");
        }
        let content_at = (name_at + name_size as usize).next_multiple_of(ALIGNMENT);
        let content = part(content_at, size as usize).ok_or(CUT)?;
        let next = (content_at + size as usize).next_multiple_of(ALIGNMENT);
        Ok(Some((File { name, content }, next)))
    }
}

/// The number that `digits` are.
fn number(digits: &[u8]) -> Option<u32> {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::ToString;
    use std::vec::Vec;

    use super::*;

    /// An archive by the format's description.
    fn archive(entries: &[(&str, usize, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, mode, content) in entries.iter().chain(&[(TRAILER, 0_usize, &[][..])]) {
            let mut fields = [0; FIELDS];
            fields[MODE] = *mode;
            fields[SIZE] = content.len();
            fields[NAME_SIZE] = name.len() + 1;
            bytes.extend(MAGIC);
            for field in fields.map(|field| format!("{field:08x}")) {
                bytes.extend(field.as_bytes());
            }
            bytes.extend(name.as_bytes());
            bytes.push(0);
            bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
            bytes.extend(*content);
            bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<File<'_>>, Odd> {
        files(bytes).collect()
    }

    fn why(bytes: &[u8]) -> &'static str {
        read(bytes).unwrap_err().why
    }

    const MODE_OF_FILE: usize = REGULAR as usize | 0o644;

    #[test]
    fn files_in_their_order() {
        let entries: [(&str, usize, &[u8]); 3] = [
            ("b", MODE_OF_FILE, b"12345"),
            ("empty", MODE_OF_FILE, b""),
            ("a", MODE_OF_FILE, b"\0\0"),
        ];
        let mut bytes = archive(&entries);
        let of = |(name, _, content): &(&'static str, usize, &'static [u8])| File { name, content };
        let expected: Vec<File<'_>> = entries.iter().map(of).collect();
        assert_eq!(read(&bytes).unwrap(), expected);
        // A loader may hand over whole pages.
        bytes.resize(4096, 0);
        assert_eq!(read(&bytes).unwrap(), expected);
        assert_eq!(read(&archive(&[])), Ok(Vec::new()));
    }

    #[test]
    fn wherever_it_is_cut() {
        let bytes = archive(&[("file", MODE_OF_FILE, b"1234")]);
        // The padding behind the trailer's name says nothing.
        let padding = bytes.len() - (bytes.iter().rposition(|&byte| byte != 0).unwrap() + 2);
        for len in 0..bytes.len() - padding {
            assert_eq!(why(&bytes[..len]), "is cut short", "{len} of {}", bytes.len());
        }
        assert!(read(&bytes[..bytes.len() - padding]).is_ok());
    }

    #[test]
    fn what_is_odd() {
        let bytes = archive(&[("file", MODE_OF_FILE, b"1234")]);
        let with = |at: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            bytes
        };
        let name_at = MAGIC.len() + FIELDS * DIGITS;
        assert_eq!(why(&with(0, b'1')), "does not begin as one of the kind newc");
        assert_eq!(
            why(&with(MAGIC.len() + SIZE * DIGITS, b'+')),
            "has a number that is not hexadecimal"
        );
        // Far beyond the end, and beyond what an address can be.
        assert_eq!(why(&with(MAGIC.len() + SIZE * DIGITS, b'f')), "is cut short");
        assert_eq!(why(&with(MAGIC.len() + NAME_SIZE * DIGITS, b'F')), "is cut short");
        assert_eq!(
            why(&with(MAGIC.len() + NAME_SIZE * DIGITS + DIGITS - 1, b'0')),
            "has a name that does not end in its only NUL"
        );
        assert_eq!(why(&with(name_at + 4, b'x')), "has a name that does not end in its only NUL");
        assert_eq!(why(&with(name_at + 1, 0)), "has a name that does not end in its only NUL");
        assert_eq!(why(&with(name_at, 0xff)), "has a name that is not UTF-8");
        assert_eq!(why(&archive(&[("folder", 0o040_755, b"")])), "is not a file");
        let second = archive(&[("a", MODE_OF_FILE, b""), ("b", 0o120_777, b"a")]);
        let odd = read(&second).unwrap_err();
        assert_eq!(odd.to_string(), "the archive's entry at byte 112 is not a file");
    }

    #[test]
    fn an_oddity_is_the_end() {
        let mut files = files(b"junk");
        assert!(files.next().unwrap().is_err());
        assert_eq!(files.next(), None);
    }
}

//! The archive format of Linux's initramfs, and of files for a guest: cpio, "newc"
//! ([`protocol::archive`]).

use protocol::archive::{ALIGNMENT, FIELDS, MAGIC, MODE, NAME_SIZE, REGULAR, SIZE, TRAILER};

/// An archive under construction.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    files: u32,
}

/// Numbers of an entry besides those that a reader of files needs.
const INODE: usize = 0;
const LINKS: usize = 4;
/// File types of `st_mode` besides that of a file.
const DIRECTORY: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;

impl Archive {
    /// Adds a folder; the one above it has to be there already.
    pub fn folder(&mut self, path: &str, mode: u32) {
        self.entry(path, DIRECTORY | mode, &[]);
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entry(path, REGULAR | mode, content);
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) {
        self.entry(path, SYMLINK | 0o777, target.as_bytes());
    }

    /// The whole archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry(TRAILER, 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.files += 1;
        let links = if mode & DIRECTORY == DIRECTORY { 2 } else { 1 };
        // Everything that would make two builds differ is 0: owner, times, devices.
        let mut fields = [0; FIELDS];
        fields[INODE] = self.files;
        fields[MODE] = mode;
        fields[LINKS] = links;
        fields[SIZE] = u32::try_from(content.len()).unwrap_or(u32::MAX);
        fields[NAME_SIZE] = u32::try_from(path.len() + 1).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(MAGIC);
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads it back by the format's own description.
    fn read(bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        let mut at = 0;
        loop {
            assert_eq!(&bytes[at..at + 6], b"070701");
            let field = |index: usize| {
                let start = at + 6 + 8 * index;
                let digits = std::str::from_utf8(&bytes[start..start + 8]).unwrap();
                usize::from_str_radix(digits, 16).unwrap()
            };
            let (mode, size, name_size) = (field(1), field(6), field(11));
            let name = &bytes[at + 110..at + 110 + name_size - 1];
            assert_eq!(bytes[at + 110 + name_size - 1], 0);
            let data = (at + 110 + name_size).next_multiple_of(4);
            let name = String::from_utf8(name.to_vec()).unwrap();
            let end = name == "TRAILER!!!";
            entries.push((name, u32::try_from(mode).unwrap(), bytes[data..data + size].to_vec()));
            at = (data + size).next_multiple_of(4);
            if end {
                assert_eq!(at, bytes.len());
                entries.pop();
                return entries;
            }
        }
    }

    #[test]
    fn a_guest_reads_the_files() {
        let mut archive = Archive::default();
        archive.file("lp", 0o644, b"12345");
        archive.file("empty", 0o644, b"");
        let bytes = archive.finish();
        let files: Result<Vec<_>, _> = protocol::archive::files(&bytes).collect();
        let files: Vec<_> = files.unwrap().iter().map(|file| (file.name, file.content)).collect();
        assert_eq!(files, [("lp", &b"12345"[..]), ("empty", b"")]);
    }

    #[test]
    fn what_goes_in_comes_out() {
        let mut archive = Archive::default();
        archive.folder("a", 0o755);
        archive.file("a/file", 0o644, b"12345");
        archive.file("empty", 0o600, b"");
        archive.link("a/link", "file");
        assert_eq!(
            read(&archive.finish()),
            [
                ("a".to_owned(), 0o040_755, Vec::new()),
                ("a/file".to_owned(), 0o100_644, b"12345".to_vec()),
                ("empty".to_owned(), 0o100_600, Vec::new()),
                ("a/link".to_owned(), 0o120_777, b"file".to_vec()),
            ]
        );
    }
}

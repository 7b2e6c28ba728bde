//! ELF notes: how a payload and Xen say who they are.

use alloc::vec::Vec;

/// Note type of a build-id.
pub const NT_GNU_BUILD_ID: u32 = 3;

/// One ELF note. The sizes are fields of their own so that they can be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Stated bytes of the name with its NUL.
    pub namesz: u32,
    /// Stated bytes of the contents.
    pub descsz: u32,
    /// Type of the note.
    pub kind: u32,
    /// Owner, with its NUL.
    pub name: Vec<u8>,
    /// Contents; a build-id here.
    pub desc: Vec<u8>,
}

impl Note {
    /// A build-id. Xen takes any that has at least one byte; linkers make 20.
    pub fn build_id(id: &[u8]) -> Self {
        let name = Vec::from(*b"GNU\0");
        Self {
            namesz: name.len() as u32,
            descsz: id.len() as u32,
            kind: NT_GNU_BUILD_ID,
            name,
            desc: id.to_vec(),
        }
    }

    /// The note as it lies in the file: name and contents each padded to 4 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [self.namesz, self.descsz, self.kind] {
            bytes.extend(word.to_le_bytes());
        }
        for part in [&self.name, &self.desc] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_id_is_padded_but_counted_exactly() {
        assert_eq!(
            Note::build_id(&[0xA1, 0xA2, 0xA3]).to_bytes(),
            [4, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, b'G', b'N', b'U', 0, 0xA1, 0xA2, 0xA3, 0]
        );
    }

    #[test]
    fn sizes_are_written_as_stated() {
        let note = Note { namesz: 0x0102, descsz: 0xFFFF_FFFF, kind: 9, ..Note::build_id(&[1]) };
        assert_eq!(note.to_bytes()[..12], [2, 1, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 9, 0, 0, 0]);
    }
}

//! Bytes that refer to other things.

use alloc::string::String;
use alloc::vec::Vec;

use super::wire::R_X86_64_64;

/// A place in a [`Chunk`] that Xen fills in when it links the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloc {
    /// Where in the chunk.
    pub offset: u64,
    /// How to fill it in, `R_X86_64_*`.
    pub kind: u32,
    /// A label of the same payload; otherwise a symbol of Xen or of another loaded payload. A
    /// static of Xen is spelled `file.c#name`.
    pub symbol: String,
    /// Added to the symbol's address.
    pub addend: i64,
}

/// Machine code or data, and where it refers to symbols.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The bytes, with zeroes where relocations go.
    pub bytes: Vec<u8>,
    /// What goes there.
    pub relocs: Vec<Reloc>,
}

impl Chunk {
    /// Bytes without references.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), relocs: Vec::new() }
    }

    /// Eight bytes that hold the address of `symbol`.
    pub fn address_of(symbol: &str) -> Self {
        Self::new([0; 8]).reloc(0, R_X86_64_64, symbol, 0)
    }

    /// Adds a reference.
    #[must_use]
    pub fn reloc(mut self, offset: u64, kind: u32, symbol: &str, addend: i64) -> Self {
        self.relocs.push(Reloc { offset, kind, symbol: symbol.into(), addend });
        self
    }

    /// This, and `next` right behind it.
    #[must_use]
    pub fn then(mut self, next: Self) -> Self {
        let base = self.bytes.len() as u64;
        self.bytes.extend(next.bytes);
        self.relocs.extend(
            next.relocs.into_iter().map(|reloc| Reloc { offset: reloc.offset + base, ..reloc }),
        );
        self
    }
}

impl From<&[u8]> for Chunk {
    fn from(bytes: &[u8]) -> Self {
        Self::new(bytes)
    }
}

impl From<Vec<u8>> for Chunk {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

impl<const N: usize> From<[u8; N]> for Chunk {
    fn from(bytes: [u8; N]) -> Self {
        Self::new(bytes)
    }
}

impl<const N: usize> From<&[u8; N]> for Chunk {
    fn from(bytes: &[u8; N]) -> Self {
        Self::new(*bytes)
    }
}

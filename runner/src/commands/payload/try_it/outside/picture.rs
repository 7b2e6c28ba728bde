//! How a part of Xen was at some time, and how two such states differ.

use crate::base::plural::count;
use crate::xen::symbols::KnownSymbols;

/// How it was at some time.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    start: u64,
    bytes: Vec<u8>,
}

impl Picture {
    /// These bytes, the first of which is at `start`.
    pub fn new(start: u64, bytes: Vec<u8>) -> Picture {
        Picture { start, bytes }
    }

    /// Bytes of it.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The `size` bytes at `address`, if it shows them.
    pub fn at(&self, address: u64, size: u64) -> Option<&[u8]> {
        let from = usize::try_from(address.checked_sub(self.start)?).ok()?;
        self.bytes.get(from..from.checked_add(usize::try_from(size).ok()?)?)
    }

    /// The byte at an address, as people write it.
    fn byte(&self, address: u64) -> String {
        self.at(address, 1).map_or_else(|| "nothing".into(), |byte| format!("{:02x}", byte[0]))
    }

    /// The addresses of bytes that are others in `now`.
    pub fn differences<'p>(&'p self, now: &'p Picture) -> impl Iterator<Item = u64> + 'p {
        /// Most of it is the same.
        const STRIDE: usize = 4096;
        let pages = self.bytes.chunks(STRIDE).zip(now.bytes.chunks(STRIDE)).enumerate();
        pages.filter(|(_, (old, new))| old != new).flat_map(|(page, (old, new))| {
            let start = self.start + (page * STRIDE) as u64;
            let bytes = (start..).zip(old.iter().zip(new));
            bytes.filter(|(_, (old, new))| old != new).map(|(address, _)| address)
        })
    }
}

/// Tells of differences, of which there is at least one: how many, and of the first of them where it
/// is and what was there.
pub fn told(all: &[u64], before: &Picture, now: &Picture, symbols: &KnownSymbols) -> String {
    let first = all.first().copied().unwrap_or_default();
    format!(
        "in {}: {} was {} and is {}",
        count(all.len(), "byte"),
        place(first, symbols),
        before.byte(first),
        now.byte(first)
    )
}

/// An address for people.
pub fn place(address: u64, symbols: &KnownSymbols) -> String {
    match symbols.describe(address) {
        Some(name) => format!("{name} ({address:#x})"),
        None => format!("{address:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_addresses() {
        let mut bytes = vec![7; 10_000];
        let before = Picture::new(0x1000, bytes.clone());
        for at in [0, 4095, 4096, 9999] {
            bytes[at] = 8;
        }
        let now = Picture::new(0x1000, bytes.clone());
        let found: Vec<u64> = before.differences(&now).collect();
        assert_eq!(found, [0, 4095, 4096, 9999].map(|at| 0x1000 + at));
        assert_eq!(before.differences(&before).count(), 0);
        assert_eq!(now.at(0x1fff, 2), Some(&[8, 8][..]));
        assert_eq!((now.at(0xfff, 1), now.at(0x1000 + 9999, 2)), (None, None));
    }
}

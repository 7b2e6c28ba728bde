//! What is compressed: by gzip, xz or zstd, as the first bytes tell.

use std::io::{self, Read};

use flate2::read::{GzDecoder, MultiGzDecoder};
use lzma_rust2::XzReader;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

const GZIP: &[u8] = b"\x1f\x8b";
const XZ: &[u8] = b"\xfd7zXZ\0";
/// What may be kept of an .xz to unpack the rest: several times as much as `xz -9` makes necessary.
/// (zstd's own limit is 128 MiB.)
const XZ_MEMORY_KIB: u32 = 256 << 10;
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
/// Formats that are known, but not read here.
const OTHERS: [(&[u8], &str); 4] =
    [(b"BZh", "bzip2"), (b"\x5d\0\0", "lzma"), (b"\x04\x22\x4d\x18", "lz4"), (b"\x89LZO", "lzop")];

/// What follows behind the first stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// Further streams, which belong to it.
    Streams,
    /// Something else.
    Anything,
}

/// What is in `bytes`; `None` where they are not compressed.
///
/// # Errors
/// The end of a sentence about the file: a format that is not read, or what is wrong at the start.
pub fn reader(bytes: &[u8], behind: Behind) -> Result<Option<Box<dyn Read + '_>>, String> {
    if let Some((_, name)) = OTHERS.iter().find(|(start, _)| bytes.starts_with(start)) {
        return Err(format!("is compressed with {name}: unpack it first"));
    }
    let whole = behind == Behind::Streams;
    Ok(Some(if bytes.starts_with(GZIP) && whole {
        Box::new(MultiGzDecoder::new(bytes))
    } else if bytes.starts_with(GZIP) {
        Box::new(GzDecoder::new(bytes))
    } else if bytes.starts_with(XZ) {
        Box::new(XzReader::new_mem_limit(bytes, whole, XZ_MEMORY_KIB))
    } else if bytes.starts_with(ZSTD) {
        let frame = StreamingDecoder::new(bytes).map_err(|e| damaged(&e))?;
        if whole { Box::new(Frames(frame)) } else { Box::new(frame) }
    } else {
        return Ok(None);
    }))
}

/// All frames of zstd's, which several processors may have written.
struct Frames<'a>(StreamingDecoder<&'a [u8], FrameDecoder>);

impl Read for Frames<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let size = self.0.read(buffer)?;
            let rest = *self.0.get_ref();
            if size > 0 || rest.is_empty() || buffer.is_empty() {
                return Ok(size);
            }
            self.0 = StreamingDecoder::new(rest).map_err(io::Error::other)?;
        }
    }
}

/// The same, whole. What has more than `limit` bytes is broken.
///
/// # Errors
/// The end of a sentence about the file.
pub fn unpacked(bytes: &[u8], behind: Behind, limit: u64) -> Result<Option<Vec<u8>>, String> {
    let Some(reader) = reader(bytes, behind)? else { return Ok(None) };
    let mut plain = Vec::new();
    reader.take(limit + 1).read_to_end(&mut plain).map_err(|e| damaged(&e))?;
    if plain.len() as u64 > limit {
        return Err(format!("has more than {} MiB when unpacked", limit >> 20));
    }
    Ok(Some(plain))
}

fn damaged(why: &dyn std::fmt::Display) -> String {
    format!("is compressed and damaged: {why}")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const PLAIN: &[u8] = b"some words, some words, some words";
    /// As `xz -1` packs it.
    const XZ_OF_PLAIN: &[u8] =
        b"\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x10\x00\x00\x00\
        \xa8\x70\x8e\x86\xe0\x00\x21\x00\x13\x5d\x00\x39\x9b\xc9\xf2\xe7\x50\xca\x83\xc7\
        \x6a\xe1\x46\x16\x42\x3b\x23\x2b\x80\x00\x00\x00\xf6\x68\x75\xb2\x0c\x14\x5f\xd0\
        \x00\x01\x2f\x22\xa2\xcc\xfa\xe7\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04\x59\x5a";

    fn each() -> [Vec<u8>; 3] {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(PLAIN).unwrap();
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        let zstd = ruzstd::encoding::compress_to_vec(PLAIN, level);
        [gzip.finish().unwrap(), XZ_OF_PLAIN.to_vec(), zstd]
    }

    #[test]
    fn each_format_is_told_by_its_start() {
        for packed in each() {
            for behind in [Behind::Streams, Behind::Anything] {
                assert_eq!(unpacked(&packed, behind, 100), Ok(Some(PLAIN.to_vec())));
            }
        }
        assert_eq!(unpacked(PLAIN, Behind::Streams, 100), Ok(None));
        let name = unpacked(b"BZh91AY", Behind::Streams, 100).unwrap_err();
        assert!(name.contains("bzip2"), "{name}");
    }

    #[test]
    fn what_is_behind_counts_or_not() {
        for packed in each() {
            let twice = [packed.clone(), packed].concat();
            let both = unpacked(&twice, Behind::Streams, 100).unwrap().unwrap();
            assert_eq!(both.len(), 2 * PLAIN.len());
        }
        let [gzip, ..] = each();
        let size = [gzip, vec![1, 2, 3, 4]].concat();
        assert_eq!(unpacked(&size, Behind::Anything, 100), Ok(Some(PLAIN.to_vec())));
    }

    #[test]
    fn a_damaged_or_endless_one_is_an_error() {
        for mut packed in each() {
            let why = unpacked(&packed, Behind::Streams, PLAIN.len() as u64 - 1).unwrap_err();
            assert!(why.contains("more than"), "{why}");
            packed.truncate(packed.len() - 6);
            let why = unpacked(&packed, Behind::Streams, 100).unwrap_err();
            assert!(why.contains("damaged"), "{why}");
        }
    }
}

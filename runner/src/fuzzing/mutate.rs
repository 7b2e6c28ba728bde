//! Mutants of bytes.

use livepatch::program::Rng;

/// Bytes at which something may begin or end.
const BYTES: [u8; 12] = [0, 1, 0x7f, 0x80, 0xff, b'\n', b' ', b'"', b'/', b'0', b'9', b'\\'];
/// Numbers at which something may overflow.
const NUMBERS: [u64; 12] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
    1 << 20,
    1000,
];

/// Changes `bytes` in some ways, with `words` of its language and parts of `other`.
pub fn mutate(bytes: &mut Vec<u8>, words: &[&str], other: &[u8], longest: usize, rng: &mut Rng) {
    for _ in 0..1 << rng.below(5) {
        once(bytes, words, other, longest, rng);
    }
    bytes.truncate(longest);
}

fn once(bytes: &mut Vec<u8>, words: &[&str], other: &[u8], longest: usize, rng: &mut Rng) {
    let at = below(bytes.len() + 1, rng);
    let part = range(bytes, rng);
    match rng.below(13) {
        0 | 1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << rng.below(8);
            }
        }
        2 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = rng.pick(&BYTES);
            }
        }
        3 => {
            let value = rng.pick(&NUMBERS).to_le_bytes();
            let value = &value[..1 << rng.below(4)];
            if let Some(place) = bytes.get_mut(at..at + value.len()) {
                place.copy_from_slice(value);
            }
        }
        4 => drop(bytes.splice(at..at, [rng.pick(&BYTES)])),
        5 => drop(bytes.drain(part)),
        6 => {
            let copy = bytes[part].to_vec();
            bytes.splice(at..at, copy);
        }
        7 => {
            let copy = bytes[part].to_vec();
            let times = 1 << rng.below(8);
            let times = times.min(longest / copy.len().max(1));
            bytes.splice(at..at, copy.repeat(times));
        }
        8 if !words.is_empty() => {
            bytes.splice(at..at, rng.pick(words).bytes());
        }
        9 if !words.is_empty() => {
            bytes.splice(part, rng.pick(words).bytes());
        }
        10 => {
            bytes.splice(number(bytes, at), rng.pick(&NUMBERS).to_string().bytes());
        }
        11 => {
            let (line, target) = (line(bytes, at), line(bytes, part.start).start);
            let text: Vec<u8> = bytes[line].to_vec();
            bytes.splice(target..target, text);
        }
        _ => {
            let copy = other[range(other, rng)].to_vec();
            bytes.splice(part, copy);
        }
    }
}

fn below(limit: usize, rng: &mut Rng) -> usize {
    rng.below(u32::try_from(limit).unwrap()) as usize
}

/// A part of `bytes`, short ones more often.
fn range(bytes: &[u8], rng: &mut Rng) -> std::ops::Range<usize> {
    let start = below(bytes.len() + 1, rng);
    let most = (bytes.len() - start).min(1 << rng.below(16));
    start..start + below(most + 1, rng)
}

/// The decimal number at or behind `at`.
fn number(bytes: &[u8], at: usize) -> std::ops::Range<usize> {
    let find = |from: usize, digit: bool| {
        let rest = bytes[from..].iter();
        rest.take_while(|byte| byte.is_ascii_digit() != digit).count() + from
    };
    let start = find(at, true);
    start..find(start, false)
}

/// The line around `at`, with its end.
fn line(bytes: &[u8], at: usize) -> std::ops::Range<usize> {
    let start = bytes[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let end = bytes[at..].iter().position(|&byte| byte == b'\n');
    start..end.map_or(bytes.len(), |end| at + end + 1)
}

//! Any file may be named as a Xen or a package of one.

use super::tests::{each, gzip, tar};
use super::*;
use crate::fuzzing::{Target, peak_of};
use crate::xen::hypervisor::form::Form;

const WORDS: &[&str] = &[
    "!<arch>\n",
    "debian-binary   ",
    "data.tar.gz     ",
    "data.tar/       ",
    "#1/20",
    "//              ",
    "4294967295",
    "070701",
    "TRAILER!!!\0",
    "./boot/xen-4.17.gz\0",
    "../../boot/xen-4.17.gz\0",
    "././@LongLink\0",
    "ustar",
    "00000000000\0",
    "77777777777\0",
    "\x1f\u{8b}\x08",
    "(XEN) ",
    "\x7fELF",
    "MZ",
];

/// Bytes that may be taken besides what the input unpacks to.
const ROOM: usize = 32 << 20;
/// No input unpacks to more times its size, whatever packs it: that is zstd's best.
const FACTOR: usize = 1 << 15;

#[test]
fn fuzz_package() {
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    let plain = tar(&[("./boot/xen-4.17.gz", "x"), ("boot/xen-4.18", "y")]);
    let mut seeds = each().to_vec();
    seeds.push(ruzstd::encoding::compress_to_vec(&plain[..], level));
    seeds.push(plain);
    seeds.push(gzip(b"\x7fELF\x01\x01\x01\0\x02\xb0\xad\x1b"));
    Target { name: "package", run: check, seeds, words: WORDS, longest: 1 << 12, mutants: 500 }
        .test();
}

fn check(bytes: &[u8]) {
    given(bytes);
    // What does not end at a sum.
    let tar = with_right_sums(bytes);
    given(&gzip(&tar));
}

/// As a tar archive whose headers have the right sums.
fn with_right_sums(bytes: &[u8]) -> Vec<u8> {
    const SUM: std::ops::Range<usize> = 148..156;
    let mut tar = bytes.to_vec();
    for block in tar.chunks_exact_mut(512).filter(|block| block[257..].starts_with(b"ustar")) {
        block[SUM].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[SUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    tar
}

fn given(bytes: &[u8]) {
    let ((), peak) = peak_of(|| {
        for loader in [Loader::Direct, Loader::Efi, Loader::Grub] {
            for inside in [None, Some("boot/xen-4.17.gz")] {
                if let Ok(member) = xen(bytes, loader, inside) {
                    assert!(inside.is_none_or(|inside| inside == member.path));
                    assert!(member.bytes.len() as u64 <= MAX_XEN);
                }
            }
            drop(Form::of(loader).unpack(bytes));
        }
        drop(symbols(bytes, Some("00ff")));
        is_package(bytes);
    });
    assert!(peak < ROOM + FACTOR * bytes.len(), "{peak} bytes for {}", bytes.len());
    for limit in [0, 1, 1000] {
        let (unpacked, peak) = peak_of(|| compressed::unpacked(bytes, Behind::Streams, limit));
        assert!(peak < ROOM, "{peak} bytes for {}", bytes.len());
        let size = unpacked.ok().flatten().map_or(0, |plain| plain.len());
        assert!(size as u64 <= limit);
    }
}

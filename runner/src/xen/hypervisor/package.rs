//! A distribution's package as a file: .deb, .rpm, .apk, or another compressed tar archive.
//!
//! What is of use in it is read; nothing is written to where the package says. Xen's ELF file is in
//! its /boot, an EFI application and the symbols may be anywhere.

use std::io::{self, Read};

use protocol::archive::{REGULAR, TYPE};

use super::build_id;
use super::form::MAX_XEN;
use crate::base::compressed::{self, Behind};
use crate::plan::loader::Loader;
use crate::plan::newest::{Choice, SYMBOLS, XEN, choose};

const DEB: &[u8] = b"!<arch>\n";
const RPM: &[u8] = b"\xed\xab\xee\xdb";
/// Bytes of the first block of a tar archive, and where the word is by which it is known.
const TAR_BLOCK: u64 = 512;
const TAR_WORD: (usize, &[u8]) = (257, b"ustar");
/// No package is larger when unpacked.
const MAX_PACKAGE: u64 = 8 << 30;

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its path, without a slash at the beginning.
    pub path: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Whether `bytes` are a package.
pub fn is_package(bytes: &[u8]) -> bool {
    let is_tar = || {
        let mut block = Vec::new();
        let reader = compressed::reader(bytes, Behind::Streams).ok()??;
        reader.take(TAR_BLOCK).read_to_end(&mut block).ok()?;
        let (at, word) = TAR_WORD;
        Some(block.get(at..)?.starts_with(word))
    };
    bytes.starts_with(DEB) || bytes.starts_with(RPM) || is_tar().unwrap_or(false)
}

/// The Xen for `loader` in `package`: the one at the path `inside`, or the newest.
///
/// # Errors
/// The end of a sentence about the package.
pub fn xen(package: &[u8], loader: Loader, inside: Option<&str>) -> Result<Member, String> {
    let members = members(package, &|path| match inside {
        Some(inside) => path == inside,
        None => is_xen(path, loader),
    })?;
    if let Some(inside) = inside {
        return members.into_iter().next().ok_or_else(|| format!("holds no {inside}"));
    }
    let names = members.iter().map(|member| name(&member.path));
    match choose(names, loader) {
        Choice::Newest(newest, _) => {
            let found = members.into_iter().find(|member| name(&member.path) == newest);
            found.ok_or_else(|| format!("holds no {newest}"))
        }
        Choice::Several(_) => {
            let paths: Vec<&str> = members.iter().map(|member| member.path.as_str()).collect();
            let (first, all) = (paths[0], paths.join(", "));
            Err(format!("holds several Xens: {all}; name one as PACKAGE/{first}"))
        }
        Choice::Nothing if loader.takes_efi() => Err("holds no xen*.efi".into()),
        Choice::Nothing => Err("holds no /boot/xen*.gz".into()),
    }
}

/// The symbols in `package`, if it holds any: those of the Xen with the build-id `wanted`, or the only
/// ones.
///
/// # Errors
/// The end of a sentence about the package.
pub fn symbols(package: &[u8], wanted: Option<&str>) -> Result<Option<Member>, String> {
    let is_symbols = |path: &str| name(path).starts_with(SYMBOLS) && !path.ends_with(".map");
    let mut members = members(package, &is_symbols)?;
    let fits = |member: &Member| build_id(&member.bytes).is_some_and(|id| Some(&*id) == wanted);
    if let Some(fitting) = members.iter().position(fits) {
        return Ok(Some(members.swap_remove(fitting)));
    }
    match members.len() {
        0 | 1 => Ok(members.pop()),
        _ => Err(format!("holds several {SYMBOLS}, and none of this build")),
    }
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn is_xen(path: &str, loader: Loader) -> bool {
    name(path).starts_with(XEN) && (loader.takes_efi() || path.starts_with("boot/"))
}

/// The files of `package` whose paths are `wanted`.
fn members(package: &[u8], wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Member>, String> {
    let mut chosen = Chosen { wanted, members: Vec::new() };
    let read = if package.starts_with(DEB) {
        chosen.of_deb(package)?
    } else if package.starts_with(RPM) {
        let payload = rpm_payload(package).ok_or("is a damaged .rpm")?;
        let reader = compressed::reader(payload, Behind::Streams)
            .map_err(|why| format!("is an .rpm whose content {why}"))?
            .ok_or("is an .rpm whose content is compressed in an unknown format")?;
        chosen.of_cpio(reader)
    } else {
        let reader = compressed::reader(package, Behind::Streams)?;
        chosen.of_tar(reader.ok_or("is no package")?)
    };
    read.map_err(|e| format!("is a damaged package: {e}"))?;
    Ok(chosen.members)
}

/// The files that somebody wants, as they are found.
struct Chosen<'a> {
    wanted: &'a dyn Fn(&str) -> bool,
    members: Vec<Member>,
}

impl Chosen<'_> {
    fn of_deb(&mut self, package: &[u8]) -> Result<io::Result<()>, String> {
        let mut outer = ar::Archive::new(package);
        while let Some(entry) = outer.next_entry() {
            let damaged = |e| format!("is a damaged .deb: {e}");
            let mut entry = entry.map_err(damaged)?;
            if !entry.header().identifier().starts_with(b"data.tar") {
                continue;
            }
            let mut data = Vec::new();
            entry.read_to_end(&mut data).map_err(damaged)?;
            return Ok(match compressed::reader(&data, Behind::Streams) {
                Ok(Some(reader)) => self.of_tar(reader),
                Ok(None) => self.of_tar(&data[..]),
                Err(why) => return Err(format!("is a .deb whose content {why}")),
            });
        }
        Err("is a .deb without content".into())
    }

    fn of_tar(&mut self, reader: impl Read) -> io::Result<()> {
        let mut archive = tar::Archive::new(reader.take(MAX_PACKAGE));
        // An .apk is several archives in a row.
        archive.set_ignore_zeros(true);
        for entry in archive.entries()? {
            let entry = entry?;
            if entry.header().entry_type().is_file() {
                let path = entry.path()?.to_string_lossy().into_owned();
                self.consider(&path, entry.size(), entry)?;
            }
        }
        Ok(())
    }

    fn of_cpio(&mut self, reader: impl Read) -> io::Result<()> {
        let mut reader = reader.take(MAX_PACKAGE);
        loop {
            let mut archive = cpio::NewcReader::new(reader)?;
            let entry = archive.entry().clone();
            if entry.is_trailer() {
                return Ok(());
            }
            // Of hard links, only the last one has the content.
            if entry.mode() & TYPE == REGULAR && entry.file_size() > 0 {
                self.consider(entry.name(), entry.file_size().into(), &mut archive)?;
            }
            reader = archive.finish()?;
        }
    }

    fn consider(&mut self, path: &str, size: u64, content: impl Read) -> io::Result<()> {
        let path = path.trim_start_matches("./").trim_start_matches('/');
        if size <= MAX_XEN && (self.wanted)(path) {
            let mut bytes = Vec::new();
            content.take(size).read_to_end(&mut bytes)?;
            self.members.push(Member { path: path.to_owned(), bytes });
        }
        Ok(())
    }
}

/// What is behind the headers of an .rpm: a lead of 96 bytes, the signatures, padded to 8 bytes,
/// and the header proper.
fn rpm_payload(rpm: &[u8]) -> Option<&[u8]> {
    const LEAD: usize = 96;
    const MAGIC: &[u8] = b"\x8e\xad\xe8\x01";
    const INDEX_ENTRY: usize = 16;
    let end_of_header = |at: usize| {
        let head = rpm.get(at..at + 16)?;
        let number = |from: usize| Some(u32::from_be_bytes(head[from..from + 4].try_into().ok()?));
        let (entries, bytes) = (number(8)? as usize, number(12)? as usize);
        head.starts_with(MAGIC).then_some(at + 16 + entries * INDEX_ENTRY + bytes)
    };
    let signatures = end_of_header(LEAD)?.next_multiple_of(8);
    rpm.get(end_of_header(signatures)?..)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const FILES: [(&str, &str); 7] = [
        ("./boot/xen-4.17.5-1.gz", "old"),
        ("./boot/xen-4.17.10-2.gz", "new"),
        ("./boot/xen-4.17.10-2-d.gz", "debug"),
        ("./usr/lib/debug/xen-syms-4.17.10-2", "symbols"),
        ("./usr/lib64/efi/xen-4.17.10-2.efi", "efi"),
        ("./usr/share/man/man1/xenstore.1.gz", "manual"),
        ("./usr/share/doc/xen-4.18.0.gz", "manual"),
    ];

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    }

    fn tar(files: &[(&str, &str)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn deb() -> Vec<u8> {
        let mut deb = ar::Builder::new(Vec::new());
        for (name, data) in [
            ("debian-binary", b"2.0\n".to_vec()),
            ("control.tar.gz", gzip(&tar(&[("./control", "Package: xen")]))),
            ("data.tar.gz", gzip(&tar(&FILES))),
        ] {
            let header = ar::Header::new(name.as_bytes().to_vec(), data.len() as u64);
            deb.append(&header, &data[..]).unwrap();
        }
        deb.into_inner().unwrap()
    }

    fn rpm() -> Vec<u8> {
        let header = |entries: u32, bytes: u32| {
            let mut header = b"\x8e\xad\xe8\x01\0\0\0\0".to_vec();
            header.extend(entries.to_be_bytes());
            header.extend(bytes.to_be_bytes());
            header.resize(header.len() + entries as usize * 16 + bytes as usize, 0xee);
            header
        };
        let mut rpm = RPM.to_vec();
        rpm.resize(96, 0);
        rpm.extend(header(1, 5));
        rpm.resize(rpm.len().next_multiple_of(8), 0);
        rpm.extend(header(2, 3));
        let mut payload = Vec::new();
        for (path, content) in FILES {
            let size = u32::try_from(content.len()).unwrap();
            let mut file = cpio::NewcBuilder::new(path).mode(0o100_644).write(&mut payload, size);
            file.write_all(content.as_bytes()).unwrap();
            file.finish().unwrap();
        }
        cpio::newc::trailer(&mut payload).unwrap();
        rpm.extend(gzip(&payload));
        rpm
    }

    /// Signature, control data and content, each a stream and an archive of its own.
    fn apk() -> Vec<u8> {
        let parts = [
            gzip(&tar(&[(".SIGN.RSA.key", "x")])),
            gzip(&tar(&[(".PKGINFO", "x")])),
            gzip(&tar(&FILES)),
        ];
        parts.concat()
    }

    fn each() -> [Vec<u8>; 3] {
        [deb(), rpm(), apk()]
    }

    #[test]
    fn the_newest_xen_is_found_in_each() {
        for package in each() {
            assert!(is_package(&package));
            let text = |loader, inside| {
                let member = xen(&package, loader, inside).unwrap();
                String::from_utf8(member.bytes).unwrap()
            };
            assert_eq!(text(Loader::Direct, None), "new");
            assert_eq!(text(Loader::Efi, None), "efi");
            assert_eq!(text(Loader::Direct, Some("boot/xen-4.17.10-2-d.gz")), "debug");
            assert_eq!(xen(&package, Loader::Grub, Some("boot/x")).unwrap_err(), "holds no boot/x");
            assert_eq!(symbols(&package, None).unwrap().unwrap().bytes, b"symbols");
        }
    }

    #[test]
    fn what_is_not_there_or_not_one_is_said() {
        let package = gzip(&tar(&[("boot/xen-4.17-a.gz", "x"), ("boot/xen-4.17-b.gz", "y")]));
        let why = xen(&package, Loader::Direct, None).unwrap_err();
        assert!(why.contains("several Xens: boot/xen-4.17-a.gz, boot/xen-4.17-b.gz"), "{why}");
        assert!(xen(&package, Loader::Efi, None).unwrap_err().contains("no xen*.efi"));
        assert_eq!(symbols(&package, None), Ok(None));
    }

    #[test]
    fn what_is_cut_is_damaged() {
        for mut package in each() {
            package.truncate(package.len() - 20);
            let why = xen(&package, Loader::Direct, None).unwrap_err();
            assert!(why.contains("damaged"), "{why}");
        }
        for short in [RPM, &rpm()[..100]] {
            assert!(xen(short, Loader::Direct, None).unwrap_err().contains("damaged .rpm"));
        }
    }

    #[test]
    fn a_xen_is_no_package() {
        for other in [b"\x7fELF".to_vec(), gzip(b"\x7fELF"), gzip(&[]), Vec::new()] {
            assert!(!is_package(&other));
        }
    }
}

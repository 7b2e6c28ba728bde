//! A distribution's package as a file: .deb, .rpm, .apk, or another compressed tar archive.
//!
//! What is of use in it is read; nothing is written to where the package says. Xen's ELF file is in
//! its /boot, an EFI application and the symbols may be anywhere.

use std::io::{self, Read};

use protocol::archive::{ALIGNMENT, FIELDS, MAGIC, MODE, NAME_SIZE, REGULAR, SIZE, TRAILER, TYPE};

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
/// No package is larger when unpacked,
const MAX_PACKAGE: u64 = 8 << 30;
/// what is read of it is smaller,
const MAX_READ: u64 = 2 * MAX_XEN;
/// and no name in it, with what else a tar archive says of a file, is longer.
const NAME_MAX: u64 = 64 << 10;
/// Bytes in front of a name in a cpio archive, and how those begin that have a sum behind it.
const CPIO_HEAD: usize = MAGIC.len() + FIELDS * 8;
const CPIO_CRC: &[u8] = b"070702";

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
    let mut chosen = Chosen { wanted, members: Vec::new(), room: MAX_READ };
    let read = if package.starts_with(DEB) {
        let content = deb_content(package)?;
        match compressed::reader(content, Behind::Streams) {
            Ok(Some(reader)) => chosen.of_tar(reader),
            Ok(None) => chosen.of_tar(content),
            Err(why) => return Err(format!("is a .deb whose content {why}")),
        }
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
    /// Bytes that may still be read.
    room: u64,
}

impl Chosen<'_> {
    fn of_tar(&mut self, reader: impl Read) -> io::Result<()> {
        let mut archive = tar::Archive::new(reader.take(MAX_PACKAGE));
        // An .apk is several archives in a row.
        archive.set_ignore_zeros(true);
        // The name that an entry of its own has for the next one. Whoever else reads it reads all of
        // it, however long.
        let mut long = None;
        for entry in archive.entries()?.raw(true) {
            let mut entry = entry?;
            let (kind, size) = (entry.header().entry_type(), entry.size());
            if kind.is_gnu_longname() {
                long = Some(name_of(entry, size)?);
            } else if kind.is_pax_local_extensions() {
                let text = bounded(&mut entry, size, NAME_MAX)?;
                let mut path = tar::PaxExtensions::new(&text)
                    .flatten()
                    .filter(|field| field.key_bytes() == b"path");
                long = path.next().map(|field| text_of(field.value_bytes())).or(long);
            } else if !kind.is_gnu_longlink() && !kind.is_pax_global_extensions() {
                let name = long.take();
                if kind.is_file() {
                    let name = name.unwrap_or_else(|| text_of(&entry.path_bytes()));
                    self.consider(&name, size, entry)?;
                }
            }
        }
        Ok(())
    }

    fn of_cpio(&mut self, reader: impl Read) -> io::Result<()> {
        let mut reader = reader.take(MAX_PACKAGE);
        loop {
            let mut head = [0; CPIO_HEAD];
            reader.read_exact(&mut head)?;
            let number = |field: usize| {
                let digits = head[MAGIC.len() + 8 * field..].first_chunk::<8>()?;
                u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
            };
            let numbers = number(MODE).zip(number(SIZE).zip(number(NAME_SIZE)));
            let numbers = numbers.filter(|_| head.starts_with(MAGIC) || head.starts_with(CPIO_CRC));
            let (mode, (size, name_size)) = numbers.ok_or_else(|| io::Error::other("odd entry"))?;
            let name = name_of(&mut reader, name_size)?;
            skip(&mut reader, padding(CPIO_HEAD as u64 + name_size))?;
            if name == TRAILER {
                return Ok(());
            }
            let mut content = reader.by_ref().take(size);
            // Of hard links, only the last one has the content.
            if mode & u64::from(TYPE) == u64::from(REGULAR) && size > 0 {
                self.consider(&name, size, &mut content)?;
            }
            let left = content.limit();
            skip(&mut reader, left + padding(size))?;
        }
    }

    fn consider(&mut self, path: &str, size: u64, content: impl Read) -> io::Result<()> {
        let path = path.trim_start_matches("./").trim_start_matches('/');
        // A path is shown to people.
        if size > MAX_XEN || path.contains(char::is_control) || !(self.wanted)(path) {
            return Ok(());
        }
        self.room = self
            .room
            .checked_sub(size)
            .ok_or_else(|| io::Error::other("it holds far more than the files of a Xen"))?;
        let bytes = bounded(content, size, MAX_XEN)?;
        self.members.push(Member { path: path.to_owned(), bytes });
        Ok(())
    }
}

/// The content of the .deb, a member of an ar archive.
fn deb_content(deb: &[u8]) -> Result<&[u8], &'static str> {
    const HEAD: usize = 60;
    const SIZE: std::ops::Range<usize> = 48..58;
    const DAMAGED: &str = "is a damaged .deb";
    let mut rest = &deb[DEB.len()..];
    while let Some((head, behind)) = rest.split_at_checked(HEAD) {
        let size =
            str::from_utf8(&head[SIZE]).ok().and_then(|digits| digits.trim_end().parse().ok());
        let content = size.and_then(|size| behind.get(..size)).ok_or(DAMAGED)?;
        if head.starts_with(b"data.tar") {
            return Ok(content);
        }
        rest = behind.get(content.len().next_multiple_of(2)..).unwrap_or_default();
    }
    Err(if rest.is_empty() { "is a .deb without content" } else { DAMAGED })
}

/// The `size` bytes that come next, which may be `most`.
fn bounded(reader: impl Read, size: u64, most: u64) -> io::Result<Vec<u8>> {
    if size > most {
        return Err(io::Error::other("something in it is too long"));
    }
    let mut bytes = Vec::new();
    reader.take(size).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == size { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// The name of so many bytes that comes next.
fn name_of(reader: impl Read, size: u64) -> io::Result<String> {
    Ok(text_of(&bounded(reader, size, NAME_MAX)?))
}

/// A name, which may end in a NUL.
fn text_of(name: &[u8]) -> String {
    String::from_utf8_lossy(name).trim_end_matches('\0').to_owned()
}

fn skip(reader: &mut impl Read, bytes: u64) -> io::Result<()> {
    io::copy(&mut reader.take(bytes), &mut io::sink()).map(drop)
}

/// Bytes from `size` to the next part of a cpio archive.
fn padding(size: u64) -> u64 {
    size.next_multiple_of(ALIGNMENT as u64) - size
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
mod fuzz;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::fuzzing::peak_of;

    const FILES: [(&str, &str); 7] = [
        ("./boot/xen-4.17.5-1.gz", "old"),
        ("./boot/xen-4.17.10-2.gz", "new"),
        ("./boot/xen-4.17.10-2-d.gz", "debug"),
        ("./usr/lib/debug/xen-syms-4.17.10-2", "symbols"),
        ("./usr/lib64/efi/xen-4.17.10-2.efi", "efi"),
        ("./usr/share/man/man1/xenstore.1.gz", "manual"),
        ("./usr/share/doc/xen-4.18.0.gz", "manual"),
    ];

    pub fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    }

    pub fn tar(files: &[(&str, &str)]) -> Vec<u8> {
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

    pub fn each() -> [Vec<u8>; 3] {
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

    /// An entry that a tar archive has for the name of the next one.
    fn long_name(kind: tar::EntryType, text: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_entry_type(kind);
        header.set_cksum();
        let mut tar = tar::Builder::new(Vec::new());
        tar.append(&header, text).unwrap();
        let mut bytes = tar.into_inner().unwrap();
        bytes.truncate(bytes.len() - 1024);
        bytes
    }

    #[test]
    fn long_names_are_read_and_endless_ones_are_not() {
        let path = format!("boot/{}xen-4.17.gz", "folder/".repeat(20));
        let pax = format!("{} path={path}\n", path.len() + 10);
        let kinds =
            [(tar::EntryType::GNULongName, format!("{path}\0")), (tar::EntryType::XHeader, pax)];
        for (kind, text) in kinds {
            let file = tar(&[("short", "content")]);
            let link = long_name(tar::EntryType::GNULongLink, b"elsewhere");
            let package = gzip(&[long_name(kind, text.as_bytes()), link, file.clone()].concat());
            let found = xen(&package, Loader::Direct, None).unwrap();
            assert_eq!((found.path, found.bytes), (path.clone(), b"content".to_vec()));
            let endless = gzip(&[long_name(kind, &vec![b'x'; 8 << 20]), file].concat());
            let (found, peak) = peak_of(|| xen(&endless, Loader::Direct, None));
            assert!(found.unwrap_err().contains("too long") && peak < 1 << 20, "{peak}");
        }
        let mut cpio = Vec::new();
        let name = "x".repeat(8 << 20);
        cpio::NewcBuilder::new(&name).mode(0o100_644).write(&mut cpio, 0).finish().unwrap();
        let endless = gzip(&cpio);
        let (read, peak) = peak_of(|| {
            let reader = compressed::reader(&endless, Behind::Streams).unwrap().unwrap();
            Chosen { wanted: &|_| true, members: Vec::new(), room: 0 }.of_cpio(reader)
        });
        assert!(read.is_err() && peak < 1 << 20, "{peak}");
    }

    /// What claims to have more than it has makes nobody take memory for it, or lose his way.
    #[test]
    fn what_a_deb_claims_is_not_believed() {
        let member = |name: &str, size: &str| format!("!<arch>\n{name:<48}{size:<10}`\n");
        for (deb, why) in [
            (member("//", "9999999999"), "damaged .deb"),
            (member("/5", "0"), "without content"),
            (member("#1/9999999", "9999999999"), "damaged .deb"),
            (member("data.tar", "9999999999"), "damaged .deb"),
            (member("data.tar", "-1"), "damaged .deb"),
            (member("x", "0") + "y", "damaged .deb"),
        ] {
            let (found, peak) = peak_of(|| xen(deb.as_bytes(), Loader::Direct, None));
            let said = found.unwrap_err();
            assert!(said.contains(why) && peak < 10_000, "{said}, {peak}");
        }
    }

    #[test]
    fn many_files_of_the_wanted_name_are_too_many() {
        let many = tar(&[("boot/xen-4.17.gz", "12345"); 3]);
        for (room, whole) in [(15, true), (14, false)] {
            let mut chosen = Chosen { wanted: &|_| true, members: Vec::new(), room };
            assert_eq!(chosen.of_tar(&many[..]).is_ok(), whole);
        }
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

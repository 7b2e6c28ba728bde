//! Obtains the Xen that the user names, as a plain ELF that QEMU boots.

mod cache;
pub mod debian;
pub mod fresh;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use object::Object;

pub use cache::{Cache, Look};
pub use debian::can_fetch;

use debian::Package;
use fresh::{Found, Product};

use crate::base::exit::{Error, IoContext, Result};
use crate::base::hash::{hex, sha256};
use crate::plan::config::{DebianPackage, Hypervisor, Origin};
use crate::plan::xens;
use crate::xen::abilities::Abilities;

/// No Xen is larger when unpacked; a gzip that claims more is broken.
const MAX_XEN: u64 = 256 * 1024 * 1024;

/// How a .deb begins.
const DEB: &[u8] = b"!<arch>\n";

/// A Xen to run on, as far as it is at hand.
#[derive(Clone, Debug)]
pub struct XenUnderTest {
    /// What the configuration says of it.
    pub hypervisor: Hypervisor,
    /// Its file; none of a Xen that runs elsewhere already.
    pub file: Option<XenFile>,
    /// Its xen-syms, where somebody is to see its source lines.
    pub symbols: Option<PathBuf>,
    /// What it can do, as far as its file tells.
    pub abilities: Abilities,
    /// The build-id of its file in hexadecimal, if there is one.
    pub build_id: Option<String>,
}

impl XenUnderTest {
    /// A Xen of which there is this much.
    pub fn new(hypervisor: &Hypervisor, file: Option<XenFile>) -> XenUnderTest {
        let bytes = file.as_ref().and_then(|file| fs::read(&file.elf).ok());
        let build_id = bytes.as_deref().and_then(build_id);
        let abilities = bytes.map(|bytes| Abilities::of(&bytes)).unwrap_or_default();
        XenUnderTest { hypervisor: hypervisor.clone(), file, symbols: None, abilities, build_id }
    }

    /// As the user calls it.
    pub fn name(&self) -> &str {
        &self.hypervisor.name
    }

    /// Its ELF file, if that is here.
    pub fn elf(&self) -> Option<&Path> {
        Some(&self.file.as_ref()?.elf)
    }

    /// Whether `syms` are the symbols of the very same build.
    pub fn is_same_build(&self, syms: &Path) -> bool {
        self.build_id.is_some() && fs::read(syms).is_ok_and(|syms| build_id(&syms) == self.build_id)
    }

    /// Its file, for who boots it.
    pub fn bootable(&self) -> Result<&XenFile> {
        let running = || Error::Usage(format!("Xen {} runs already: cannot boot it", self.name()));
        self.file.as_ref().ok_or_else(running)
    }
}

/// A Xen's file that is ready to boot, or that of its symbols.
#[derive(Clone, Debug)]
pub struct XenFile {
    /// Absolute path of the ELF file.
    pub elf: PathBuf,
    /// Where it came from, for people.
    pub provenance: String,
    /// The version of the package that it came from, if it did.
    pub version: Option<String>,
}

impl XenFile {
    /// A file that is no package of Debian's.
    pub fn file(elf: PathBuf, provenance: String) -> XenFile {
        XenFile { elf, provenance, version: None }
    }
}

/// Gets `xen` ready, from the cache where possible. `note` hears what takes time, and what may not
/// be current.
pub fn obtain(xen: &Hypervisor, cache: &Cache, note: &mut dyn FnMut(&str)) -> Result<XenFile> {
    for module in &xen.modules {
        let whose = format!("cannot read {}, of `modules` of {}", module.display(), xen.name);
        File::open(module).map_err(|source| Error::Io { what: whose, source })?;
    }
    let package = match &xen.origin {
        Origin::Debian(package) => package,
        Origin::Path(path) => return from_path(path, cache, note),
    };
    let product = Product {
        title: format!("Xen {}", xen.name),
        suite: &package.suite,
        key: debian::cache_key(package)?,
        packages: &|archive| archive.current(&[&package.package]),
    };
    let found = fresh::get(&product, [cache::ELF], cache, note, |archive, packages, dir| {
        Ok([debian::unpack(&archive.download(&packages[0], dir)?, dir)?])
    })?;
    let Found { paths: [elf], provenance, packages } = found;
    Ok(XenFile { elf, provenance, version: Some(packages[0].version.clone()) })
}

/// Gets a xen-syms that goes with `xen`, from the cache where possible. `note` hears what takes
/// time.
pub fn obtain_symbols(
    origin: &Origin,
    xen: &XenFile,
    cache: &Cache,
    note: &mut dyn FnMut(&str),
) -> Result<XenFile> {
    match (origin, &xen.version) {
        (Origin::Debian(package), Some(version)) => {
            // Symbols of another version are of no use, be they newer.
            let DebianPackage { suite, package: name } = package;
            let wanted = Package { name: name.clone(), version: version.clone() };
            let key = debian::cache_key(package)?;
            let (elf, provenance) =
                fresh::get_version(&wanted, suite, &key, cache, note, debian::unpack_symbols)?;
            Ok(XenFile { elf, provenance, version: Some(wanted.version) })
        }
        (Origin::Debian(package), None) => Err(Error::Usage(format!(
            "the package {} has symbols for a Xen of Debian's, not for {}",
            package.package,
            xen.elf.display()
        ))),
        (Origin::Path(path), _) => {
            let path = path.canonicalize().io("find the symbols", path)?;
            let provenance = path.display().to_string();
            let bytes = fs::read(&path).io("read", &path)?;
            if !bytes.starts_with(DEB) {
                return Ok(XenFile::file(path, provenance));
            }
            let key = format!("symbols-{}", sha256(&bytes));
            cache.get_or_make(&key, note, |dir, _| {
                Ok((debian::unpack_symbols(&path, dir)?, provenance.clone()))
            })
        }
    }
}

/// Whether `xen` can be booted without the network.
pub fn is_at_hand(xen: &Hypervisor, cache: &Cache) -> Result<bool> {
    match &xen.origin {
        Origin::Debian(_) => Ok(describe_cached(xen, cache)?.is_some()),
        Origin::Path(path) => from_path(path, cache, &mut |_| ()).map(|_| true),
    }
}

/// What the cache knows of `xen`, for people, without looking; nothing if it is no package of
/// Debian's, or not cached.
pub fn describe_cached(xen: &Hypervisor, cache: &Cache) -> Result<Option<String>> {
    match &xen.origin {
        Origin::Debian(package) => {
            Ok(fresh::describe(&debian::cache_key(package)?, &package.suite, cache))
        }
        Origin::Path(_) => Ok(None),
    }
}

/// The build-id of the Xen or symbols in `elf` in hexadecimal, if there is one.
fn build_id(elf: &[u8]) -> Option<String> {
    let file = object::File::parse(elf).ok()?;
    let id = file.build_id().ok()??;
    Some(hex(id))
}

/// Where [`obtain`] would put or find `xen`, without doing it; `None` if the file has to be read.
pub fn would_be(xen: &Hypervisor, cache: &Cache) -> Result<Option<PathBuf>> {
    match &xen.origin {
        Origin::Debian(package) => {
            let key = debian::cache_key(package)?;
            let known = fresh::path_of(&key, cache::ELF, cache);
            Ok(Some(known.unwrap_or_else(|| cache.root().join(key).join(cache::ELF))))
        }
        Origin::Path(_) => Ok(None),
    }
}

fn from_path(path: &Path, cache: &Cache, note: &mut dyn FnMut(&str)) -> Result<XenFile> {
    let path = find_in(path)?;
    let path = path.canonicalize().io("resolve", &path)?;
    let provenance = path.display().to_string();
    let bytes = fs::read(&path).io("read", &path)?;
    if bytes.starts_with(b"\x7fELF") {
        check_bootable(&bytes).map_err(|why| bad_file(&path, &why))?;
        return Ok(XenFile::file(path, provenance));
    }
    let key = format!("file-{}", sha256(&bytes));
    cache.get_or_make(&key, note, |dir, _| {
        let xen = if bytes.starts_with(DEB) {
            debian::unpack(&path, dir)?
        } else {
            plain_elf(&bytes).map_err(|why| bad_file(&path, &why))?
        };
        Ok((xen, provenance.clone()))
    })
}

fn bad_file(path: &Path, why: &str) -> Error {
    Error::Data(format!("{} {why}", path.display()))
}

/// A folder stands for the xen in it.
fn find_in(path: &Path) -> Result<PathBuf> {
    if !path.exists() {
        return Err(Error::Data(format!("{} does not exist", path.display())));
    }
    xens::file_in(path).ok_or_else(|| {
        Error::Data(format!(
            "the folder {} holds neither xen nor xen.gz, nor folders with them",
            path.display()
        ))
    })
}

/// The plain ELF in `bytes`, which may be gzipped.
fn plain_elf(bytes: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let bytes = if bytes.starts_with(b"\x1f\x8b") {
        let mut plain = Vec::new();
        MultiGzDecoder::new(bytes)
            .take(MAX_XEN)
            .read_to_end(&mut plain)
            .map_err(|e| format!("is a damaged gzip file: {e}"))?;
        plain
    } else {
        bytes.to_vec()
    };
    check_bootable(&bytes)?;
    Ok(bytes)
}

/// QEMU's `-kernel` boots a 32-bit ELF with a multiboot header in its first 8 KiB.
fn check_bootable(bytes: &[u8]) -> std::result::Result<(), String> {
    const MULTIBOOT: [u8; 4] = 0x1bad_b002_u32.to_le_bytes();
    if bytes.starts_with(b"MZ") {
        return Err("is an EFI or Linux image; name the xen or xen.gz instead".into());
    }
    if !bytes.starts_with(b"\x7fELF") {
        return Err("is neither an ELF file, nor gzip, nor a .deb".into());
    }
    if bytes.get(4) != Some(&1) {
        return Err(
            "is a 64-bit ELF file, which QEMU cannot boot (is it xen-syms?); name the xen or xen.gz"
                .into(),
        );
    }
    let head = &bytes[..bytes.len().min(8192)];
    if !head.chunks_exact(4).any(|word| word == MULTIBOOT) {
        return Err("is an ELF file without a multiboot header, so it is not Xen".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// The least that passes for a Xen.
    fn fake_xen() -> Vec<u8> {
        let mut elf = b"\x7fELF\x01\x01\x01\0".to_vec();
        elf.extend(0x1bad_b002_u32.to_le_bytes());
        elf
    }

    #[test]
    fn gzip_is_unpacked() {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&fake_xen()).unwrap();
        let mut gz = gz.finish().unwrap();
        assert_eq!(plain_elf(&gz), Ok(fake_xen()));
        gz.truncate(gz.len() - 9);
        assert!(plain_elf(&gz).unwrap_err().contains("damaged gzip"));
    }

    #[test]
    fn what_is_no_xen_is_named() {
        let mut elf64 = fake_xen();
        elf64[4] = 2;
        for (bytes, why) in [
            (b"MZ..".to_vec(), "EFI"),
            (b"hello".to_vec(), "neither"),
            (Vec::new(), "neither"),
            (elf64, "xen-syms"),
            (fake_xen()[..8].to_vec(), "multiboot"),
        ] {
            assert!(plain_elf(&bytes).unwrap_err().contains(why), "{why}");
        }
    }
}

//! Obtains the Xen that the user names, as a file that its loader takes.

mod cache;
pub mod debian;
mod form;
pub mod fresh;
mod package;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use object::{BinaryFormat, Object};

pub use cache::{Cache, Look};
pub use debian::can_fetch;

use debian::Package;
use form::Form;
use fresh::{Found, Product};
use package::Member;

use crate::base::exit::{Error, IoContext, Result};
use crate::base::hash::{hex, sha256};
use crate::plan::config::{DebianPackage, Hypervisor, Origin};
use crate::plan::loader::Loader;
use crate::plan::newest::Choice;
use crate::plan::xens;
use crate::xen::abilities::Abilities;

/// What is said of a package without symbols.
const NO_SYMBOLS: &str = "holds no xen-syms";

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
        let bytes = file.as_ref().and_then(|file| fs::read(&file.path).ok());
        let build_id = bytes.as_deref().and_then(build_id);
        let abilities = bytes.map(|bytes| Abilities::of(&bytes)).unwrap_or_default();
        XenUnderTest { hypervisor: hypervisor.clone(), file, symbols: None, abilities, build_id }
    }

    /// As the user calls it.
    pub fn name(&self) -> &str {
        &self.hypervisor.name
    }

    /// Its file, if that is here.
    pub fn path(&self) -> Option<&Path> {
        Some(&self.file.as_ref()?.path)
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
    /// Absolute path of the file: for a Xen, what its loader takes.
    pub path: PathBuf,
    /// Where it came from, for people.
    pub provenance: String,
    /// The version of the package that it came from, if it did.
    pub version: Option<String>,
}

impl XenFile {
    /// A file that is no package of Debian's.
    pub fn file(path: PathBuf, provenance: String) -> XenFile {
        XenFile { path, provenance, version: None }
    }
}

/// Gets `xen` ready, from the cache where possible. `note` hears what takes time, and what may not
/// be current.
pub fn obtain(xen: &Hypervisor, cache: &Cache, note: &mut dyn FnMut(&str)) -> Result<XenFile> {
    for module in &xen.modules {
        let whose = format!("cannot read {}, of `modules` of {}", module.display(), xen.name);
        File::open(module).map_err(|source| Error::Io { what: whose, source })?;
    }
    if xen.loader_is_implied {
        let (name, loader) = (&xen.name, xen.loader.name());
        note(&format!("Xen {name} is an EFI application: it is booted as with --loader {loader}"));
    }
    let form = Form::of(xen.loader);
    let package = match &xen.origin {
        Origin::Debian(package) => package,
        Origin::Path(path) => return from_path(path, xen.loader, cache, note),
    };
    let product = Product {
        title: format!("Xen {}", xen.name),
        suite: &package.suite,
        key: form.key(&debian::cache_key(package)?),
        packages: &|archive| archive.current(&[&package.package]),
    };
    let found = fresh::get(&product, [cache::FILE], cache, note, |archive, packages, dir| {
        let deb = archive.download(&packages[0], dir)?;
        let bytes = fs::read(&deb).io("read", &deb)?;
        let found = from_package(&deb, &bytes, xen.loader, None);
        Ok([found
            .map_err(|why| Error::Tool(format!("what apt downloaded is of no use: {why}")))?
            .0])
    })?;
    let Found { paths: [path], provenance, packages } = found;
    Ok(XenFile { path, provenance, version: Some(packages[0].version.clone()) })
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
            let unpack = |deb: &Path| {
                let bytes = fs::read(deb).io("read", deb)?;
                let found = package::symbols(&bytes, build_id_of(xen)?.as_deref());
                let found = found.map_err(|why| bad_file(deb, &why))?;
                Ok(found.ok_or_else(|| bad_file(deb, NO_SYMBOLS))?.bytes)
            };
            let (path, provenance) = fresh::get_version(&wanted, suite, &key, cache, note, unpack)?;
            Ok(XenFile { path, provenance, version: Some(wanted.version) })
        }
        (Origin::Debian(package), None) => Err(Error::Usage(format!(
            "the package {} has symbols for a Xen of Debian's, not for {}",
            package.package,
            xen.path.display()
        ))),
        (Origin::Path(path), _) => {
            let path = path.canonicalize().io("find the symbols", path)?;
            let provenance = path.display().to_string();
            let bytes = fs::read(&path).io("read", &path)?;
            if !package::is_package(&bytes) {
                return Ok(XenFile::file(path, provenance));
            }
            let id = build_id_of(xen)?;
            let id_known = id.as_deref().unwrap_or_default();
            let key = format!("unpacked-symbols-{}-{id_known}", sha256(&bytes));
            let found = unpacked(cache, &key, &path, note, || {
                let found = package::symbols(&bytes, id.as_deref());
                // Nothing, so that the package is not unpacked again for it.
                let found = found.map_err(|why| bad_file(&path, &why))?;
                Ok(found.map_or_else(Default::default, |found| (found.bytes, found.path)))
            })?;
            match fs::metadata(&found.path).io("look at", &found.path)?.len() {
                0 => Err(bad_file(&path, NO_SYMBOLS)),
                _ => Ok(found),
            }
        }
    }
}

/// The build-id in the file of `xen`.
fn build_id_of(xen: &XenFile) -> Result<Option<String>> {
    Ok(build_id(&fs::read(&xen.path).io("read", &xen.path)?))
}

/// Whether `xen` can be booted without the network.
pub fn is_at_hand(xen: &Hypervisor, cache: &Cache) -> Result<bool> {
    match &xen.origin {
        Origin::Debian(_) => Ok(describe_cached(xen, cache)?.is_some()),
        Origin::Path(path) => from_path(path, xen.loader, cache, &mut |_| ()).map(|_| true),
    }
}

/// What the cache knows of `xen`, for people, without looking; nothing if it is no package of
/// Debian's, or not cached.
pub fn describe_cached(xen: &Hypervisor, cache: &Cache) -> Result<Option<String>> {
    match &xen.origin {
        Origin::Debian(package) => {
            let key = Form::of(xen.loader).key(&debian::cache_key(package)?);
            Ok(fresh::describe(&key, &package.suite, cache))
        }
        Origin::Path(_) => Ok(None),
    }
}

/// The build-id of the Xen or symbols in `bytes` in hexadecimal, if there is one. An EFI application
/// has it in a CodeView record, where Xen looks for it, too (xen/common/version.c).
pub fn build_id(bytes: &[u8]) -> Option<String> {
    let file = object::File::parse(bytes).ok()?;
    if file.format() == BinaryFormat::Pe {
        return Some(hex(&file.pdb_info().ok()??.guid()));
    }
    let id = file.build_id().ok()??;
    Some(hex(id))
}

/// Where [`obtain`] would put or find `xen`, without doing it; `None` if the file has to be read.
pub fn would_be(xen: &Hypervisor, cache: &Cache) -> Result<Option<PathBuf>> {
    match &xen.origin {
        Origin::Debian(package) => {
            let key = Form::of(xen.loader).key(&debian::cache_key(package)?);
            let known = fresh::path_of(&key, cache::FILE, cache);
            Ok(Some(known.unwrap_or_else(|| cache.root().join(key).join(cache::FILE))))
        }
        Origin::Path(_) => Ok(None),
    }
}

fn from_path(
    path: &Path,
    loader: Loader,
    cache: &Cache,
    note: &mut dyn FnMut(&str),
) -> Result<XenFile> {
    let (path, inside) = match xens::through_file(path) {
        Some((package, inside)) => (package, Some(inside)),
        None => (find_in(path, loader, note)?, None),
    };
    let form = Form::of(loader);
    let path = path.canonicalize().io("resolve", &path)?;
    let bytes = fs::read(&path).io("read", &path)?;
    let is_package = package::is_package(&bytes);
    if let (false, Some(inside)) = (is_package, &inside) {
        return Err(bad_file(&path, &format!("is no package, so it does not hold {inside}")));
    }
    if !is_package && form.is_plain(&bytes) {
        form.check(&bytes).map_err(|why| bad_file(&path, &why))?;
        let provenance = path.display().to_string();
        return Ok(XenFile::file(path, provenance));
    }
    let mut key = form.key(&format!("unpacked-{}", sha256(&bytes)));
    if let Some(inside) = &inside {
        key = format!("{key}-{}", &sha256(inside.as_bytes())[..16]);
    }
    unpacked(cache, &key, &path, note, || {
        if is_package {
            return from_package(&path, &bytes, loader, inside.as_deref());
        }
        let xen = form.unpack(&bytes).map_err(|why| bad_file(&path, &why))?;
        Ok((xen, String::new()))
    })
}

/// What `unpack` finds in the file `path`, and where in there, from the cache where possible. The
/// cache knows the content alone: the same may lie at another path today.
fn unpacked(
    cache: &Cache,
    key: &str,
    path: &Path,
    note: &mut dyn FnMut(&str),
    unpack: impl FnOnce() -> Result<(Vec<u8>, String)>,
) -> Result<XenFile> {
    let mut found = cache.get_or_make(key, note, |_, _| unpack())?;
    found.provenance = match found.provenance.as_str() {
        "" => path.display().to_string(),
        inside => format!("{} ({inside})", path.display()),
    };
    Ok(found)
}

/// The Xen for `loader` in a package, ready to boot, and its path in there.
fn from_package(
    path: &Path,
    bytes: &[u8],
    loader: Loader,
    inside: Option<&str>,
) -> Result<(Vec<u8>, String)> {
    let Member { path: inside, bytes } =
        package::xen(bytes, loader, inside).map_err(|why| bad_file(path, &why))?;
    let xen = Form::of(loader).unpack(&bytes);
    Ok((xen.map_err(|why| bad_file(&path.join(&inside), &why))?, inside))
}

fn bad_file(path: &Path, why: &str) -> Error {
    Error::Data(format!("{} {why}", path.display()))
}

/// A folder stands for the Xen in it.
fn find_in(path: &Path, loader: Loader, note: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    if !path.exists() {
        return Err(Error::Data(format!("{} does not exist", path.display())));
    }
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let folder = path.display();
    match xens::choice_in(path, loader) {
        Choice::Newest(name, of) => {
            if of > 1 {
                note(&format!("{folder}: {name} is the newest of {of} Xens there"));
            }
            Ok(path.join(name))
        }
        Choice::Several(names) => Err(Error::Data(format!(
            "the folder {folder} holds several Xens: {}; name one of these files",
            names.join(", ")
        ))),
        Choice::Nothing => Err(Error::Data(match Form::of(loader) {
            Form::Elf => {
                format!("the folder {folder} holds neither xen nor xen*.gz, nor folders with them")
            }
            Form::Efi => format!("the folder {folder} holds no xen*.efi, nor folders with one"),
        })),
    }
}

//! A Linux dom0 with the real xl, made of Debian's packages.

mod kernel;
pub mod machine;
mod tree;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::base::exit::{Error, IoContext, Result};
use crate::base::hash::sha256;
use crate::base::suggest::did_you_mean;
use crate::plan::config::DebianPackage;
use crate::xen::hypervisor::Cache;
use crate::xen::hypervisor::debian::{self, Archive, Package};
use crate::xen::hypervisor::fresh::{self, Found, Product};

/// The kernel's package only refers to the one of the day.
const KERNEL: &str = "linux-image-amd64";
/// What is needed beside the toolstack; each has to be there.
const PACKAGES: [&str; 4] = ["busybox-static", "dropbear-bin", "libgcc-s1", "seabios"];
/// The device model's package: older releases have one for everything.
const DEVICE_MODELS: [&str; 2] = ["qemu-system-xen", "qemu-system-x86"];

/// The memory of a dom0 whose initramfs has at most this size.
const MEMORY_MIB: u64 = 512;
const USUAL_MIB: u64 = 64;
/// Names that begin with so many of the same letters are offered for a wrong one.
const ALIKE: usize = 2;

/// Ready to boot.
#[derive(Clone, Debug)]
pub struct Dom0 {
    /// The kernel, a plain ELF file.
    pub kernel: PathBuf,
    /// Its initramfs.
    pub initramfs: PathBuf,
    /// How much memory it needs.
    pub memory_mib: u64,
    /// What it was made of, for people.
    pub provenance: String,
}

/// The dom0 for a toolstack's package, with the packages `extra` and what they depend on, from the
/// cache where possible. `note` hears what takes time, and what may not be current.
pub fn obtain(
    toolstack: &DebianPackage,
    extra: &[String],
    cache: &Cache,
    note: &mut dyn FnMut(&str),
) -> Result<Dom0> {
    // The same ones in another order are the same.
    let extra: BTreeSet<&str> = extra.iter().map(String::as_str).collect();
    let extra = Vec::from_iter(extra);
    let product = Product {
        title: format!("the dom0 with {}", [&[&*toolstack.package], &*extra].concat().join(", ")),
        suite: &toolstack.suite,
        key: key(toolstack, &extra)?,
        packages: &|archive| packages(&toolstack.package, &extra, archive),
    };
    let names = ["vmlinux", "initramfs"];
    let make = |archive: &Archive, packages: &[Package], dir: &Path| {
        let (extra, packages) = packages.split_at(extra.len());
        make(archive, packages, extra, dir)
    };
    let Found { paths: [kernel, initramfs], provenance, .. } =
        fresh::get(&product, names, cache, note, make)?;
    let size = fs::metadata(&initramfs).io("read", &initramfs)?.len();
    Ok(Dom0 { memory_mib: memory_mib(size), kernel, initramfs, provenance })
}

/// The memory for a dom0 with an initramfs of `size` bytes: twice the size for the files, since Linux
/// lets them fill a half, and once for the archive that they come from.
fn memory_mib(size: u64) -> u64 {
    MEMORY_MIB + 3 * (size >> 20).saturating_sub(USUAL_MIB)
}

/// Under what name the cache knows it.
fn key(toolstack: &DebianPackage, extra: &[&str]) -> Result<String> {
    if let Some(name) = extra.iter().find(|name| !debian::is_name(name)) {
        return Err(Error::Usage(format!("--with: `{name}` is not a valid name of a package")));
    }
    let recipe = format!("{}{PACKAGES:?}{DEVICE_MODELS:?}{extra:?}", tree::recipe());
    let recipe = sha256(recipe.as_bytes());
    Ok(format!("dom0-{}-{}", debian::cache_key(toolstack)?, &recipe[..16]))
}

/// The packages that are asked for: the extra ones first, and as the last one the kernel's. What
/// they depend on counts when one of them changes.
fn packages(toolstack: &str, extra: &[&str], archive: &Archive) -> Result<Vec<Package>> {
    for name in extra {
        if !archive.has(name) {
            let start: String = name.chars().take(ALIKE).collect();
            let near = archive.names(&start)?;
            let near = near.iter().map(String::as_str);
            return Err(Error::Usage(format!(
                "--with: Debian's {} has no package `{name}`; {}",
                archive.suite(),
                did_you_mean(name, near, "`apt-cache search WORD` finds names")
            )));
        }
    }
    let of_the_day = archive.dependencies(KERNEL)?;
    let of_the_day = of_the_day.first().map_or(KERNEL, String::as_str);
    let model = DEVICE_MODELS.into_iter().find(|name| archive.has(name));
    let mut wanted = extra.to_vec();
    wanted.push(toolstack);
    wanted.extend(PACKAGES);
    wanted.extend(model);
    wanted.push(of_the_day);
    archive.current(&wanted)
}

fn make(
    archive: &Archive,
    packages: &[Package],
    extra: &[Package],
    dir: &Path,
) -> Result<[Vec<u8>; 2]> {
    let folder = |name: &str| {
        let path = dir.join(name);
        fs::create_dir(&path).io("create", &path).map(|()| path)
    };
    let unpacked = |name: &str, packages: &[Package]| {
        let root = folder(name)?;
        for deb in archive.download_closure(packages, &folder(&format!("{name}-debs"))?)? {
            debian::unpack_files(&deb, &root)?;
        }
        Ok::<_, Error>(root)
    };
    let Some((kernel, others)) = packages.split_last() else { return Ok(Default::default()) };
    let root = unpacked("root", others)?;
    // Of these, everything is wanted.
    let extra = if extra.is_empty() { None } else { Some(unpacked("extra", extra)?) };
    // Not with all that it depends on: an initramfs of Debian's own is not needed.
    let kernel_root = folder("kernel")?;
    debian::unpack_files(&archive.download(kernel, dir)?, &kernel_root)?;
    let sources = tree::Sources { root: &root, extra: extra.as_deref(), kernel: &kernel_root };
    let (kernel, initramfs) = tree::build(&sources)?;
    Ok([kernel, initramfs])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_large_gets_memory() {
        assert_eq!((memory_mib(40 << 20), memory_mib(64 << 20)), (512, 512));
        assert_eq!(memory_mib(164 << 20), 812);
    }

    #[test]
    fn each_set_of_packages_has_a_name_of_its_own() {
        let toolstack =
            DebianPackage { suite: "bookworm".into(), package: "xen-utils-4.17".into() };
        let sets: [&[&str]; 5] =
            [&[], &["python3"], &["strace"], &["python3", "strace"], &["python3s", "trace"]];
        let keys: BTreeSet<String> = sets.iter().map(|set| key(&toolstack, set).unwrap()).collect();
        assert_eq!(keys.len(), sets.len());
        for word in ["", "-o", "a b", "a=1", "a/b"] {
            let error = key(&toolstack, &["python3", word]).unwrap_err().to_string();
            assert_eq!(error, format!("--with: `{word}` is not a valid name of a package"));
        }
    }
}

//! A Linux dom0 with the real xl, made of Debian's packages.

mod kernel;
pub mod machine;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::exit::{IoContext, Result};
use crate::base::hash::sha256;
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

/// Ready to boot.
#[derive(Clone, Debug)]
pub struct Dom0 {
    /// The kernel, a plain ELF file.
    pub kernel: PathBuf,
    /// Its initramfs.
    pub initramfs: PathBuf,
    /// What it was made of, for people.
    pub provenance: String,
}

/// The dom0 for a toolstack's package, from the cache where possible. `note` hears what takes time,
/// and what may not be current.
pub fn obtain(
    toolstack: &DebianPackage,
    cache: &Cache,
    note: &mut dyn FnMut(&str),
) -> Result<Dom0> {
    let recipe = sha256(format!("{}{PACKAGES:?}{DEVICE_MODELS:?}", tree::recipe()).as_bytes());
    let product = Product {
        title: format!("the dom0 with {}", toolstack.package),
        suite: &toolstack.suite,
        key: format!("dom0-{}-{}", debian::cache_key(toolstack)?, &recipe[..16]),
        packages: &|archive| packages(&toolstack.package, archive),
    };
    let names = ["vmlinux", "initramfs"];
    let Found { paths: [kernel, initramfs], provenance, .. } =
        fresh::get(&product, names, cache, note, make)?;
    Ok(Dom0 { kernel, initramfs, provenance })
}

/// The packages that are asked for, and as the last one the kernel's. What they depend on counts
/// when one of them changes.
fn packages(toolstack: &str, archive: &Archive) -> Result<Vec<Package>> {
    let of_the_day = archive.dependencies(KERNEL)?;
    let of_the_day = of_the_day.first().map_or(KERNEL, String::as_str);
    let model = DEVICE_MODELS.into_iter().find(|name| archive.has(name));
    let mut wanted = vec![toolstack];
    wanted.extend(PACKAGES);
    wanted.extend(model);
    wanted.push(of_the_day);
    archive.current(&wanted)
}

fn make(archive: &Archive, packages: &[Package], dir: &Path) -> Result<[Vec<u8>; 2]> {
    let folder = |name: &str| {
        let path = dir.join(name);
        fs::create_dir(&path).io("create", &path).map(|()| path)
    };
    let (root, kernel_root, debs) = (folder("root")?, folder("kernel")?, folder("debs")?);
    let Some((kernel, others)) = packages.split_last() else { return Ok(Default::default()) };
    for deb in archive.download_closure(others, &debs)? {
        debian::unpack_files(&deb, &root)?;
    }
    // Not with all that it depends on: an initramfs of Debian's own is not needed.
    debian::unpack_files(&archive.download(kernel, dir)?, &kernel_root)?;
    let (kernel, initramfs) = tree::build(&tree::Sources { root: &root, kernel: &kernel_root })?;
    Ok([kernel, initramfs])
}

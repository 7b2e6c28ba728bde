//! A Linux dom0 with the real xl, made of Debian's packages.

mod cpio;
mod kernel;
pub mod machine;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::exit::{IoContext, Result};
use crate::base::hash::sha256;
use crate::plan::config::DebianPackage;
use crate::xen::hypervisor::Cache;
use crate::xen::hypervisor::debian::{self, Archive};

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

/// The dom0 for a toolstack's package, from the cache where possible. Another version of the Xen
/// that it shall serve (`xen` says which that is) asks for another toolstack.
pub fn obtain(
    toolstack: &DebianPackage,
    xen: &str,
    cache: &Cache,
    note: &mut dyn FnMut(&str),
) -> Result<Dom0> {
    let recipe =
        sha256(format!("{xen}\n{}{PACKAGES:?}{DEVICE_MODELS:?}", tree::recipe()).as_bytes());
    let key = format!("dom0-{}-{}", debian::cache_key(toolstack)?, &recipe[..16]);
    let names = ["vmlinux", "initramfs"];
    let ([kernel, initramfs], provenance) =
        cache.get_or_make_files(&key, names, note, |dir, note| make(toolstack, dir, note))?;
    Ok(Dom0 { kernel, initramfs, provenance })
}

fn make(
    toolstack: &DebianPackage,
    dir: &Path,
    note: &mut dyn FnMut(&str),
) -> Result<([Vec<u8>; 2], String)> {
    let DebianPackage { suite, package } = toolstack;
    note(&format!("building a dom0 with {package} from {suite}"));
    let archive = Archive::open(suite, dir)?;
    let model = DEVICE_MODELS.into_iter().find(|name| archive.has(name));
    let mut wanted = vec![package.as_str()];
    wanted.extend(PACKAGES);
    wanted.extend(model);
    let debs = archive.download_closure(&wanted)?;
    let (root, kernel_root) = (dir.join("root"), dir.join("kernel"));
    for root in [&root, &kernel_root] {
        fs::create_dir(root).io("create", root)?;
    }
    for deb in &debs {
        debian::unpack_files(deb, &root)?;
    }
    // Not with all that it depends on: an initramfs of Debian's own is not needed.
    let of_the_day = archive.dependencies(KERNEL)?;
    let of_the_day = of_the_day.first().map_or(KERNEL, String::as_str);
    let kernel = archive.download(of_the_day)?;
    debian::unpack_files(&kernel, &kernel_root)?;

    let version = |name: &str| {
        let start = format!("{name}_");
        let deb = debs.iter().find(|deb| {
            deb.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&start))
        });
        deb.map_or(Ok(String::new()), |deb| debian::version(deb))
    };
    let mut parts = Vec::new();
    for name in wanted {
        parts.push(format!("{name} {}", version(name)?));
    }
    parts.push(format!("{of_the_day} {}", debian::version(&kernel)?));
    let (kernel, initramfs) = tree::build(&tree::Sources { root: &root, kernel: &kernel_root })?;
    Ok(([kernel, initramfs], format!("{} ({suite})", parts.join(", "))))
}

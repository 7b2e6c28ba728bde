//! The initramfs: programs from unpacked packages, with the libraries that they need.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSection};

use super::kernel;
use crate::base::exit::{Error, IoContext, Result};
use crate::machine::cpio::Archive;

/// A toolstack needs these, and somebody to come in by.
const PROGRAMS: [&str; 9] = [
    "xl",
    "xenstored",
    "xenconsoled",
    "xenconsole",
    "xen-init-dom0",
    "libxl-save-helper",
    "xen-livepatch",
    "xenctx",
    "xen-hvmctx",
];
/// Of them, those that people and scripts call by name.
const COMMANDS: [&str; 6] =
    ["xl", "xenstored", "xenconsoled", "xen-init-dom0", "xen-livepatch", "xenctx"];
/// Where they are: bullseye's dropbear looks in no sbin.
const COMMAND_FOLDER: &str = "usr/bin";
/// The device model of hvm domains, where a release's libxl looks for it.
const DEVICE_MODELS: [&str; 2] = ["usr/libexec/xen-qemu-system-i386", "usr/bin/qemu-system-i386"];
/// Files that the device model and hvmloader want; those of a release that has them.
const FIRMWARE: [&str; 5] = [
    "usr/share/seabios/bios-256k.bin",
    "usr/share/seabios/vgabios-stdvga.bin",
    "usr/share/qemu/keymaps/en-us",
    "usr/share/qemu/kvmvapic.bin",
    "usr/share/qemu/linuxboot_dma.bin",
];
/// Loaded by name at run time, when a thread ends.
const LIBGCC: &str = "libgcc_s.so.1";
/// Loaded by name when a user is looked up, by a libc before 2.34; a part of later ones.
const LIBNSS: &str = "libnss_files.so.2";
/// Modules of the kernel: Xen's devices, and QEMU's network card.
const MODULES: [&str; 6] =
    ["xen-evtchn", "xen-gntdev", "xen-gntalloc", "xen-privcmd", "xenfs", "e1000"];
/// Folders that are there before anything is put into them.
const FOLDERS: [&str; 12] = [
    "dev",
    "etc/dropbear",
    "etc/xen",
    "proc",
    "run/lock",
    "run/xen",
    "run/xenstored",
    "sys",
    "tmp",
    "var/lib/xen",
    "var/lib/xenstored",
    "var/log/xen",
];
/// Of whole packages, what takes memory and is for people to read.
const UNREAD: [&str; 4] =
    ["usr/share/doc/", "usr/share/lintian/", "usr/share/locale/", "usr/share/man/"];
/// The part of a file's mode that says who may do what.
const MODES: u32 = 0o7777;
/// Small files, so that there is a user who can come in, and xl does not miss its configuration.
const TEXTS: [(&str, &str); 5] = [
    ("etc/passwd", "root::0:0:root:/root:/bin/sh\n"),
    ("etc/group", "root:x:0:\n"),
    ("etc/shells", "/bin/sh\n"),
    ("etc/hosts", "127.0.0.1 localhost\n"),
    ("etc/xen/xl.conf", ""),
];
/// Links, so that busybox and this machine's folders are where programs and scripts look for them.
const LINKS: [(&str, &str); 4] = [
    ("bin/sh", "busybox"),
    ("usr/bin/env", "/bin/busybox"),
    ("var/run", "/run"),
    ("var/lock", "/run/lock"),
];
const INIT: &str = include_str!("init.sh");

/// What an initramfs is made of.
pub struct Sources<'a> {
    /// Packages, unpacked.
    pub root: &'a Path,
    /// Packages that are wanted as they are, unpacked.
    pub extra: Option<&'a Path>,
    /// The kernel's package, unpacked.
    pub kernel: &'a Path,
}

/// The text by which two recipes differ, for the cache.
pub fn recipe() -> String {
    format!(
        "{PROGRAMS:?}{COMMANDS:?}{COMMAND_FOLDER}{DEVICE_MODELS:?}{FIRMWARE:?}{MODULES:?}{FOLDERS:?}{TEXTS:?}{LINKS:?}{UNREAD:?}{LIBNSS}{INIT}"
    )
}

/// The kernel as an ELF file, and the initramfs.
pub fn build(sources: &Sources<'_>) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut tree = Tree::of(sources.root)?;
    for path in FOLDERS {
        tree.folder(path);
    }
    for (path, text) in TEXTS {
        tree.put(path, 0o644, text.as_bytes().to_vec());
    }
    for (path, target) in LINKS {
        tree.link(path, target);
    }
    tree.put("init", 0o755, INIT.as_bytes().to_vec());
    tree.program("bin/busybox", &["usr/bin/busybox", "bin/busybox"])?;
    tree.program("usr/sbin/dropbear", &["usr/sbin/dropbear"])?;
    tree.toolstack()?;
    for path in FIRMWARE {
        let file = tree.original(path);
        if file.is_file() {
            tree.put(path, 0o644, fs::read(&file).io("read", &file)?);
        }
    }
    tree.library(LIBGCC)?;
    if tree.libraries.contains_key(LIBNSS) {
        tree.library(LIBNSS)?;
    }
    tree.modules(sources.kernel)?;
    if let Some(extra) = sources.extra {
        tree.everything(extra)?;
    }

    let image = one_of(&sources.kernel.join("boot"), |name| name.starts_with("vmlinuz-"))?;
    let bytes = fs::read(&image).io("read", &image)?;
    let kernel = kernel::vmlinux(&bytes).map_err(|why| broken(&image, &why))?;
    Ok((kernel, tree.archive()))
}

/// Files by their path in the initramfs, and where they are taken from.
struct Tree<'a> {
    root: &'a Path,
    /// Every shared library of the packages, by its file name.
    libraries: BTreeMap<String, PathBuf>,
    files: BTreeMap<String, (u32, Vec<u8>)>,
    links: BTreeMap<String, String>,
    folders: BTreeSet<String>,
}

impl<'a> Tree<'a> {
    fn of(root: &'a Path) -> Result<Tree<'a>> {
        let mut libraries = BTreeMap::new();
        for folder in ["lib", "usr/lib", "lib64", "usr/lib64"] {
            walk(&root.join(folder), &mut |path, name| {
                if name.contains(".so") {
                    libraries.entry(name.to_owned()).or_insert_with(|| path.to_owned());
                }
            })?;
        }
        let empty = BTreeMap::new;
        Ok(Tree {
            root,
            libraries,
            files: empty(),
            links: BTreeMap::new(),
            folders: BTreeSet::new(),
        })
    }

    /// The file at `path` of the packages; links of theirs start at their root, not at ours.
    fn original(&self, path: impl AsRef<Path>) -> PathBuf {
        let mut file = self.root.join(path);
        while let Ok(target) = fs::read_link(&file) {
            file = match target.strip_prefix("/") {
                Ok(target) => self.root.join(target),
                Err(_) => file.parent().unwrap_or(self.root).join(target),
            };
        }
        file
    }

    fn folder(&mut self, path: &str) {
        let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
        self.folders.extend(parents.map(str::to_owned));
        self.folders.insert(path.to_owned());
    }

    fn put(&mut self, path: &str, mode: u32, content: Vec<u8>) {
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.folder(folder);
        }
        self.files.insert(path.to_owned(), (mode, content));
    }

    fn link(&mut self, path: &str, target: &str) {
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.folder(folder);
        }
        self.links.insert(path.to_owned(), target.to_owned());
    }

    /// Puts the first of `candidates` that there is at `path`, and the libraries that it needs.
    fn program(&mut self, path: &str, candidates: &[&str]) -> Result<()> {
        let files = candidates.iter().map(|candidate| self.original(candidate));
        let file = files.into_iter().find(|file| file.is_file()).ok_or_else(|| {
            Error::Data(format!("none of Debian's packages has {}", candidates.join(" or ")))
        })?;
        let bytes = fs::read(&file).io("read", &file)?;
        self.needs_of(&file, &bytes)?;
        self.put(path, 0o755, bytes);
        Ok(())
    }

    fn library(&mut self, name: &str) -> Result<()> {
        let path = format!("usr/lib/{name}");
        if self.files.contains_key(&path) {
            return Ok(());
        }
        let file = self
            .libraries
            .get(name)
            .ok_or_else(|| Error::Data(format!("none of Debian's packages has {name}")))?;
        let file = self.original(file);
        let bytes = fs::read(&file).io("read", &file)?;
        self.put(&path, 0o755, bytes.clone());
        self.needs_of(&file, &bytes)
    }

    fn needs_of(&mut self, file: &Path, bytes: &[u8]) -> Result<()> {
        let needs = needs(bytes).map_err(|why| broken(file, &why))?;
        if let Some(loader) = needs.loader {
            let name = loader.rsplit('/').next().unwrap_or(&loader);
            self.library(name)?;
            self.link(loader.trim_start_matches('/'), &format!("/usr/lib/{name}"));
        }
        needs.libraries.iter().try_for_each(|name| self.library(name))
    }

    /// xl and its kin, from the folder of their release.
    fn toolstack(&mut self) -> Result<()> {
        let release = one_of(&self.root.join("usr/lib"), |name| {
            name.strip_prefix("xen-")
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })?;
        let name = release.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for program in PROGRAMS {
            let path = format!("usr/lib/{name}/bin/{program}");
            self.program(&path, &[&path])?;
        }
        for command in COMMANDS {
            let path = format!("{COMMAND_FOLDER}/{command}");
            self.link(&path, &format!("../lib/{name}/bin/{command}"));
        }
        let loader = format!("usr/lib/{name}/boot/hvmloader");
        let file = self.original(&loader);
        self.put(&loader, 0o644, fs::read(&file).io("read", &file)?);
        let models: Vec<&str> =
            DEVICE_MODELS.into_iter().filter(|path| self.original(path).is_file()).collect();
        let model = models.first().copied().unwrap_or(DEVICE_MODELS[0]);
        self.program(model, &[model])
    }

    /// All that is in `folder`, where nothing else is, and nobody only reads it.
    fn everything(&mut self, folder: &Path) -> Result<()> {
        let mut found = Vec::new();
        walk(folder, &mut |path, _| found.push(path.to_owned()))?;
        for file in found {
            let path = file.strip_prefix(folder).unwrap_or(&file).to_string_lossy().into_owned();
            let there = self.files.contains_key(&path) || self.links.contains_key(&path);
            if there || self.folders.contains(&path) || UNREAD.iter().any(|un| path.starts_with(un))
            {
                continue;
            }
            match fs::read_link(&file) {
                Ok(target) => self.link(&path, &target.to_string_lossy()),
                Err(_) => {
                    let mode = fs::metadata(&file).io("read", &file)?.permissions().mode();
                    self.put(&path, mode & MODES, fs::read(&file).io("read", &file)?);
                }
            }
        }
        Ok(())
    }

    /// The kernel's modules, and the order in which they load.
    fn modules(&mut self, kernel: &Path) -> Result<()> {
        let mut found = BTreeMap::new();
        for folder in ["lib/modules", "usr/lib/modules"] {
            walk(&kernel.join(folder), &mut |path, name| {
                if let Some((stem, _)) = name.split_once(".ko") {
                    found.insert(stem.replace('-', "_"), path.to_owned());
                }
            })?;
        }
        let mut order = Vec::new();
        for module in MODULES {
            self.module(&module.replace('-', "_"), &found, &mut order)?;
        }
        self.put("modules/order", 0o644, (order.join("\n") + "\n").into_bytes());
        Ok(())
    }

    fn module(
        &mut self,
        name: &str,
        found: &BTreeMap<String, PathBuf>,
        order: &mut Vec<String>,
    ) -> Result<()> {
        if order.iter().any(|other| other == name) {
            return Ok(());
        }
        let file = found
            .get(name)
            .ok_or_else(|| Error::Data(format!("Debian's kernel has no module {name}")))?;
        let bytes = fs::read(file).io("read", file)?;
        let bytes = kernel::module(&bytes).map_err(|why| broken(file, &why))?;
        for other in kernel::module_needs(&bytes).map_err(|why| broken(file, &why))? {
            self.module(&other.replace('-', "_"), found, order)?;
        }
        self.put(&format!("modules/{name}.ko"), 0o644, bytes);
        order.push(name.to_owned());
        Ok(())
    }

    fn archive(self) -> Vec<u8> {
        let mut archive = Archive::default();
        for path in &self.folders {
            archive.folder(path, 0o755);
        }
        archive.folder("root", 0o700);
        archive.folder("root/.ssh", 0o700);
        for (path, (mode, content)) in &self.files {
            archive.file(path, *mode, content);
        }
        for (path, target) in &self.links {
            archive.link(path, target);
        }
        archive.finish()
    }
}

/// What an ELF file names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Needs {
    loader: Option<String>,
    libraries: Vec<String>,
}

fn needs(bytes: &[u8]) -> std::result::Result<Needs, String> {
    let fault = |e: object::Error| format!("is no whole ELF file: {e}");
    let elf = object::File::parse(bytes).map_err(fault)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
    let loader = match elf.section_by_name(".interp") {
        Some(section) => Some(text(section.data().map_err(fault)?)),
        None => None,
    };
    let mut libraries = Vec::new();
    for library in elf.import_libraries().map_err(fault)? {
        libraries.push(text(library.map_err(fault)?.name()));
    }
    Ok(Needs { loader, libraries })
}

/// Calls `each` with every file below `folder` (links included) and its name.
fn walk(folder: &Path, each: &mut dyn FnMut(&Path, &str)) -> Result<()> {
    if !folder.is_dir() || folder.is_symlink() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).io("read", folder)? {
        let path = entry.io("read", folder)?.path();
        if path.is_dir() && !path.is_symlink() {
            walk(&path, each)?;
        } else {
            each(&path, &path.file_name().unwrap_or_default().to_string_lossy());
        }
    }
    Ok(())
}

/// The one entry of `folder` whose name fits.
fn one_of(folder: &Path, fits: impl Fn(&str) -> bool) -> Result<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .io("read", folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| fits(&path.file_name().unwrap_or_default().to_string_lossy()))
        .collect();
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => Err(broken(folder, "has several entries where one was expected")),
        (None, _) => Err(broken(folder, "has no entry where one was expected")),
    }
}

fn broken(path: &Path, why: &str) -> Error {
    Error::Data(format!("{} {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_program_needs_the_c_library() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        let needs = needs(&own).unwrap();
        assert!(needs.libraries.iter().any(|name| name == "libc.so.6"), "{needs:?}");
        assert!(needs.loader.unwrap().starts_with("/lib64/ld-linux"));
        assert!(super::needs(&own[..100]).is_err());
        assert!(super::needs(b"#!/bin/sh").is_err());
    }

    #[test]
    fn links_of_packages_stay_in_the_packages() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        fs::write(root.join("usr/lib/libx.so.1.2"), "x").unwrap();
        std::os::unix::fs::symlink("libx.so.1.2", root.join("usr/lib/libx.so.1")).unwrap();
        std::os::unix::fs::symlink("/usr/lib/libx.so.1", root.join("usr/lib/liby.so")).unwrap();
        let tree = Tree::of(root).unwrap();
        assert_eq!(tree.original("usr/lib/liby.so"), root.join("usr/lib/libx.so.1.2"));
        assert!(tree.libraries.contains_key("libx.so.1"));
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        let dir = tempfile::tempdir().unwrap();
        let mut tree = Tree::of(dir.path()).unwrap();
        tree.put("a/b/c", 0o644, Vec::new());
        tree.link("d/e", "f");
        let text = String::from_utf8(tree.archive()).unwrap();
        let at = |name: &str| text.find(&format!("{name}\0")).unwrap();
        assert!(at("a") < at("a/b") && at("a/b") < at("a/b/c") && at("d") < at("d/e"));
    }
}

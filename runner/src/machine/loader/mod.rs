//! How Xen gets into the machine: what differs between the loaders, and nothing else.
//!
//! Each loader is a module that says, for one boot, which arguments QEMU needs and which files the
//! boot's folder must hold beside the links that every boot has (`xen`, `xtf`, `module-N`,
//! `initrd`). Files refer to those links, so that a loader needs no path of the user's.

mod direct;
mod efi;
pub mod firmware;
mod grub;

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::base::exit::Result;
use crate::base::shell::{quote, quote_path};
use crate::machine::grub as medium;
use crate::machine::grub::config::Protocol;
use crate::plan::loader::Loader;

/// What is to be loaded.
pub struct Cargo<'a> {
    /// Xen's file, if it is here.
    pub xen: Option<&'a Path>,
    /// Xen's command line.
    pub xen_cmdline: &'a str,
    /// How GRUB loads this Xen.
    pub protocol: Protocol,
    /// The guest's command line.
    pub guest_cmdline: &'a str,
    /// Whether the guest gets an initrd.
    pub initrd: bool,
    /// Xen's own modules.
    pub modules: &'a [PathBuf],
    /// The firmware that the user wants.
    pub firmware: Option<&'a Path>,
}

/// What a loader takes of QEMU and of the boot's folder.
#[derive(Debug, PartialEq, Eq)]
pub struct Loading {
    /// The chipset that it needs, if it needs one.
    pub chipset: Option<&'static str>,
    /// Memory that it needs besides what Xen and the guest do, in MiB.
    pub memory_mib: u32,
    /// Arguments for QEMU.
    pub args: Vec<String>,
    /// What must be in the boot's folder before QEMU starts, in this order.
    pub files: Vec<BootFile>,
}

/// How `loader` gets `cargo` into the machine, or why it can't.
pub fn loading(loader: Loader, cargo: &Cargo<'_>) -> Result<Loading> {
    match loader {
        Loader::Direct => Ok(direct::loading(cargo)),
        Loader::Efi => efi::loading(cargo, &firmware::find(cargo.firmware)?),
        Loader::Grub => grub::loading(cargo, None),
        Loader::GrubEfi => grub::loading(cargo, Some(&firmware::find(cargo.firmware)?)),
    }
}

/// Something in a boot's folder, by its path below that folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BootFile {
    /// A link, to an absolute path or to one that begins where the link is.
    Link {
        /// Its path.
        at: String,
        /// Where it leads.
        to: PathBuf,
    },
    /// A link to what was saved of another machine. It goes when the machine does.
    SavedLink {
        /// Its path.
        at: String,
        /// Where it leads.
        to: PathBuf,
    },
    /// A file of lines.
    Text {
        /// Its path.
        at: String,
        /// Its lines.
        lines: Vec<String>,
    },
    /// A medium that GRUB boots from. It is large, and goes when the machine does.
    Medium {
        /// Its path.
        at: String,
        /// What is on it.
        contents: medium::Contents,
    },
}

impl BootFile {
    fn at(&self) -> &str {
        match self {
            BootFile::Link { at, .. }
            | BootFile::SavedLink { at, .. }
            | BootFile::Text { at, .. }
            | BootFile::Medium { at, .. } => at,
        }
    }

    /// Makes it in the folder `dir`.
    pub fn make(&self, dir: &Path) -> io::Result<()> {
        let path = dir.join(self.at());
        fs::create_dir_all(path.parent().unwrap_or(dir))?;
        match self {
            BootFile::Link { to, .. } | BootFile::SavedLink { to, .. } => symlink(to, path),
            BootFile::Text { lines, .. } => fs::write(path, lines.join("\n") + "\n"),
            BootFile::Medium { at, contents } => medium::make_file(dir, at, contents),
        }
    }

    /// Whether it goes when the machine does.
    pub fn is_passing(&self) -> bool {
        matches!(self, BootFile::SavedLink { .. } | BootFile::Medium { .. })
    }

    /// Takes it away from the folder `dir`, if it is to go. It may be gone already.
    pub fn sweep(&self, dir: &Path) {
        if self.is_passing() {
            let _ = fs::remove_file(dir.join(self.at()));
        }
    }

    /// The same for a machine that goes on from one that was saved in the folder `saved`: it does not
    /// read again what it booted from, but its devices must be there.
    pub fn of_saved(self, saved: &Path) -> BootFile {
        match self {
            BootFile::Medium { at, .. } => BootFile::SavedLink { to: saved.join(&at), at },
            other => other,
        }
    }

    /// The same as a command for a shell, once its folder is there.
    fn shell(&self) -> String {
        match self {
            BootFile::Link { at, to } | BootFile::SavedLink { at, to } => {
                format!("ln -s {} {at}", quote_path(to))
            }
            BootFile::Text { at, lines } => {
                let lines: Vec<_> = lines.iter().map(|line| quote(line)).collect();
                format!("printf '%s\\n' {} > {at}", lines.join(" "))
            }
            BootFile::Medium { at, contents } => medium::shell(at, contents),
        }
    }
}

/// The commands for a shell that make `files` and their folders.
pub fn shell(files: &[BootFile]) -> Vec<String> {
    let mut folders: Vec<&Path> =
        files.iter().filter_map(|file| Path::new(file.at()).parent()).collect();
    folders.sort_unstable();
    folders.dedup();
    let folders = folders.into_iter().filter(|folder| *folder != Path::new(""));
    let folders = folders.map(|folder| format!("mkdir -p {}", folder.display()));
    folders.chain(files.iter().map(BootFile::shell)).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What the runner makes and what a printed command makes are the same.
    #[test]
    fn files_by_the_runner_and_by_a_shell() {
        let files = [
            BootFile::Text { at: "a/b/c.cfg".into(), lines: vec!["[x y]".into(), "$z='\\".into()] },
            BootFile::Link { at: "plain".into(), to: "/a path".into() },
        ];
        let (ours, shells) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        files.iter().try_for_each(|file| file.make(ours.path())).unwrap();
        let commands = shell(&files).join(" && ");
        let done = Command::new("sh").arg("-c").arg(&commands).current_dir(&shells).status();
        assert!(done.unwrap().success(), "{commands}");
        for dir in [ours.path(), shells.path()] {
            let text = fs::read_to_string(dir.join("a/b/c.cfg")).unwrap();
            assert_eq!(text, "[x y]\n$z='\\\n");
            assert_eq!(fs::read_link(dir.join("plain")).unwrap(), Path::new("/a path"));
        }
    }
}

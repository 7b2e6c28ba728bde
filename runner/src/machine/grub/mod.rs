//! A medium that GRUB boots from: an ISO 9660 image that is a CD and a disk, for a BIOS and for UEFI.
//!
//! `grub-mkrescue` makes it of GRUB's own files, of a [configuration](config), and of what that
//! loads.

pub mod config;

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::exit::{Error, Result};
use crate::base::process::Tool;
use crate::base::shell;

/// Where GRUB looks for its configuration on the medium.
pub const CONFIGURATION: &str = "boot/grub/grub.cfg";
/// Where GRUB keeps variables on the medium.
pub const ENVIRONMENT: &str = "boot/grub/grubenv";
/// Bytes of that file, of which GRUB changes no more.
const ENVIRONMENT_SIZE: usize = 1024;
/// How that file begins.
const ENVIRONMENT_HEAD: &str = "# GRUB Environment Block\n";

/// The program.
const MAKER: &str = "grub-mkrescue";
/// The packages of Debian's that it takes, with a file of each: a program, or a path.
const PACKAGES: [(&str, &str); 5] = [
    ("grub-common", MAKER),
    ("grub-pc-bin", "/usr/lib/grub/i386-pc/moddep.lst"),
    ("grub-efi-amd64-bin", "/usr/lib/grub/x86_64-efi/moddep.lst"),
    ("xorriso", "xorriso"),
    ("mtools", "mformat"),
];

/// What is on a medium besides GRUB: the path there, and the path of the file in the folder in which
/// the medium is made, which may be a link. Neither holds `=`.
pub type Contents = Vec<(String, String)>;

/// The arguments of [`MAKER`] for a medium with `contents` in the file `at`.
fn arguments(at: &str, contents: &Contents) -> Vec<String> {
    // GRUB's fonts are for screens that show graphics: half of the medium. Links are followed.
    let fixed = ["--fonts=", "--locales=", "--themes=", "-o", at, "-f", "-graft-points"];
    let files = contents.iter().map(|(on_medium, file)| format!("{on_medium}={file}"));
    fixed.into_iter().map(str::to_owned).chain(files).collect()
}

/// The command for a shell that makes the medium.
pub fn shell(at: &str, contents: &Contents) -> String {
    let words = [MAKER.to_owned()].into_iter().chain(arguments(at, contents));
    shell::line(words) + " 2>mkrescue.log"
}

/// Makes the medium `at` in the folder `dir`.
pub fn make(dir: &Path, at: &str, contents: &Contents) -> Result<()> {
    check_tools()?;
    Tool::new(MAKER).args(arguments(at, contents)).cwd(dir).run().map(drop)
}

/// Whether media can be made here.
pub fn check_tools() -> Result<()> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let missing = missing(&|file| match file.starts_with('/') {
        true => Path::new(file).is_file(),
        false => folders.iter().any(|folder| folder.join(file).is_file()),
    });
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::Tool(format!(
        "a medium that GRUB boots from is made with {MAKER} and what belongs to it; of that, {} \
         missing here: install the packages {}",
        match missing.as_slice() {
            [(_, file)] => format!("{file} is"),
            many =>
                format!("{} are", many.iter().map(|(_, file)| *file).collect::<Vec<_>>().join(", ")),
        },
        missing.iter().map(|(package, _)| *package).collect::<Vec<_>>().join(", "),
    )))
}

/// The packages of which this host has no file.
fn missing(is_here: &dyn Fn(&str) -> bool) -> Vec<(&'static str, &'static str)> {
    PACKAGES.into_iter().filter(|(_, file)| !is_here(file)).collect()
}

/// A file for GRUB's variables, with none in it.
pub fn empty_environment() -> Vec<u8> {
    let mut bytes = ENVIRONMENT_HEAD.as_bytes().to_vec();
    bytes.resize(ENVIRONMENT_SIZE, b'#');
    bytes
}

/// The same for who deals in the errors of files.
pub fn make_file(dir: &Path, at: &str, contents: &Contents) -> io::Result<()> {
    make(dir, at, contents).map_err(|error| io::Error::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_the_tools_is_told_which_packages_to_install() {
        assert_eq!(missing(&|_| true), []);
        let some = missing(&|file| file != "xorriso" && !file.contains("x86_64-efi"));
        let packages: Vec<&str> = some.iter().map(|(package, _)| *package).collect();
        assert_eq!(packages, ["grub-efi-amd64-bin", "xorriso"]);
    }

    #[test]
    fn an_empty_environment_has_the_size_that_grub_wants() {
        let bytes = empty_environment();
        assert_eq!(bytes.len(), 1024);
        assert!(bytes.starts_with(b"# GRUB Environment Block\n#####"));
    }

    #[test]
    fn the_command() {
        let contents = vec![("boot/xen".to_owned(), "xen".to_owned())];
        assert_eq!(
            shell("stick.iso", &contents),
            "grub-mkrescue '--fonts=' '--locales=' '--themes=' -o stick.iso -f -graft-points \
             'boot/xen=xen' 2>mkrescue.log"
        );
    }
}

//! What the guest gets: an archive of the payloads, each by the name that it is to have in Xen, and of
//! what is expected of them ([`protocol::payloads`]).

use std::fs;
use std::path::{Path, PathBuf};

use livepatch::abi::NAME_SIZE_MAX;
use protocol::payloads::{EXTRA_VERSION, FORETOLD, PAYLOADS};

use super::Payloads;
use super::foretold::Foretold;
use crate::base::exit::{Error, IoContext, Result};
use crate::machine::cpio::Archive;
use crate::machine::qemu::Initrd;

/// The archive in the run's folder.
const FILE: &str = "payloads.cpio";
/// Eight payloads of the largest size: the machine's memory grows with it ([`Initrd`]).
const SIZE_MAX: usize = 16 << 20;

/// What each file is to be called in Xen: as it is on disk, without its ending.
pub fn names(paths: &[PathBuf]) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for path in paths {
        let name = name(path);
        if let Some(same) = names.iter().position(|other| *other == name) {
            return Err(Error::Usage(format!(
                "{} and {} would both be called {name} in Xen; rename one of them",
                paths[same].display(),
                path.display()
            )));
        }
        names.push(name);
    }
    Ok(names)
}

fn name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
    // It is printed on a console, one line for a step.
    let plain = |c: char| if c.is_ascii_graphic() { c } else { '_' };
    stem.chars().map(plain).take(NAME_SIZE_MAX - 1).collect()
}

/// Refuses more than fits.
pub fn check(payloads: &Payloads) -> Result<()> {
    let size: usize = payloads.files.iter().map(|(bytes, _)| bytes.len()).sum();
    if size > SIZE_MAX {
        return Err(Error::Data(format!(
            "the files have {size} bytes together, and {} MiB can be tried at a time; try fewer",
            SIZE_MAX >> 20
        )));
    }
    Ok(())
}

/// The archive, with the text that the payloads make of Xen's extra version, if that is stated.
pub fn parcel(payloads: &Payloads, foretold: &Foretold, extra_version: Option<&str>) -> Vec<u8> {
    const MODE: u32 = 0o644;
    let mut archive = Archive::default();
    for (name, (bytes, _)) in payloads.names.iter().zip(&payloads.files) {
        archive.file(&format!("{PAYLOADS}{name}"), MODE, bytes);
    }
    for (number, lines) in foretold.lines() {
        archive.file(&format!("{FORETOLD}{number}"), MODE, lines.as_bytes());
    }
    if let Some(text) = extra_version {
        archive.file(EXTRA_VERSION, MODE, text.as_bytes());
    }
    archive.finish()
}

/// Writes the archive into the folder `dir`.
pub fn write(parcel: &[u8], dir: &Path) -> Result<Initrd> {
    let path = dir.join(FILE);
    fs::write(&path, parcel).io("write", &path)?;
    Ok(Initrd { path, size: parcel.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_of(paths: &[&str]) -> Result<Vec<String>> {
        names(&paths.iter().map(PathBuf::from).collect::<Vec<_>>())
    }

    #[test]
    fn what_files_are_called_in_xen() {
        let long = format!("/a/{}.livepatch", "x".repeat(200));
        let names = names_of(&["/a/lp.livepatch", "xsa.1.livepatch", "b b\né", &long]).unwrap();
        assert_eq!(names, ["lp", "xsa.1", "b_b__", &"x".repeat(127)]);
        let why = names_of(&["a/lp.livepatch", "b/lp.o"]).unwrap_err();
        assert!(matches!(why, Error::Usage(_)));
        assert_eq!(
            why.to_string(),
            "a/lp.livepatch and b/lp.o would both be called lp in Xen; rename one of them"
        );
    }
}

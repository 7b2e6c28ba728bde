//! Where a report goes.
//!
//! A file is replaced in one step, behind all links that lead to it. What is open or is no file gets
//! its text in place: a rename would put a file where a device, a pipe or somebody's link was.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use tempfile::NamedTempFile;

use crate::base::exit::{Error, IoContext, Result};
use crate::base::output::write_out;

/// Instead of a path: standard output.
const STDOUT: &str = "-";
/// As many links as Linux follows.
const LINKS: usize = 40;
/// The device number of /dev/null.
const NULL: u64 = 0x103;

/// Where a report goes.
#[derive(Debug)]
pub(super) enum Target {
    /// Standard output, by whatever name.
    Out,
    /// A device, a pipe, or an open descriptor.
    InPlace(PathBuf),
    /// A file, which need not be there: no link, in a folder without links.
    File(PathBuf),
}

impl Target {
    /// What is at `path`, where a report can be written: better known now than after an hour.
    pub(super) fn at(path: &Path) -> Result<Target> {
        if path == Path::new(STDOUT) {
            return Ok(Target::Out);
        }
        let target = find(path)?;
        // There, live output would stand in the report.
        if target.identity().is_some_and(|found| Target::Out.identity() == Some(found)) {
            return Ok(Target::Out);
        }
        match &target {
            Target::Out => {}
            Target::InPlace(path) => {
                // Who opens a pipe waits for its reader.
                if !fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) {
                    OpenOptions::new().append(true).open(path).io("write", path)?;
                }
            }
            Target::File(path) => {
                check(path)?;
                NamedTempFile::new_in(target.folder()).io("write", path)?;
            }
        }
        Ok(target)
    }

    /// Whether what is written to one of them is lost or mixed with what is written to the other.
    pub(super) fn is_same(&self, other: &Target) -> bool {
        match (self, other) {
            (Target::Out, Target::Out) => true,
            (Target::File(one), Target::File(other)) if one == other => true,
            _ => self.identity().is_some_and(|one| other.identity() == Some(one)),
        }
    }

    /// Device and inode of what is there. What goes to /dev/null, nobody misses.
    fn identity(&self) -> Option<(u64, u64)> {
        let found = match self {
            Target::Out => stdout(),
            Target::InPlace(path) | Target::File(path) => fs::metadata(path),
        };
        let found = found.ok().filter(|found| found.rdev() != NULL)?;
        Some((found.dev(), found.ino()))
    }

    /// The folder from which links lead on; what is written in place may be read anywhere.
    pub(super) fn folder(&self) -> &Path {
        match self {
            Target::File(path) => path.parent().unwrap_or(path),
            Target::Out | Target::InPlace(_) => Path::new("/"),
        }
    }

    /// Writes the whole report.
    pub(super) fn write(&self, text: &str) -> Result<()> {
        match self {
            Target::Out => write_out(text),
            Target::InPlace(path) => {
                let mut file = OpenOptions::new().append(true).open(path).io("write", path)?;
                file.write_all(text.as_bytes()).io("write", path)
            }
            Target::File(path) => {
                let mut file = tempfile::Builder::new()
                    .permissions(fs::Permissions::from_mode(0o666))
                    .tempfile_in(self.folder())
                    .io("write", path)?;
                file.write_all(text.as_bytes()).io("write", path)?;
                file.persist(path).map_err(|e| e.error).io("write", path)?;
                Ok(())
            }
        }
    }
}

/// Follows the links at `given`; makes the folder of a file.
fn find(given: &Path) -> Result<Target> {
    let given = std::path::absolute(given).io("find", given)?;
    let mut path = given.clone();
    for _ in 0..LINKS {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            check(&path)?;
            break;
        };
        if !is_kernels(folder) {
            fs::create_dir_all(folder).io("create", folder)?;
        }
        let folder = folder.canonicalize().io("find", folder)?;
        if is_kernels(&folder) {
            return Ok(Target::InPlace(given));
        }
        path = folder.join(name);
        match fs::read_link(&path) {
            Ok(further) => path = folder.join(further),
            Err(_) => {
                let found = fs::metadata(&path).map(|found| found.file_type());
                let is_file = found.map_or(true, |found| found.is_file() || found.is_dir());
                return Ok(if is_file { Target::File(path) } else { Target::InPlace(path) });
            }
        }
    }
    Err(Errno::LOOP).io("find", &given)
}

/// Whether what is in a folder are devices and descriptors, and no files that can be replaced. What
/// looks like a file in /proc is open somewhere.
fn is_kernels(folder: &Path) -> bool {
    let shared_memory = folder.starts_with("/dev/shm");
    folder.starts_with("/proc") || (folder.starts_with("/dev") && !shared_memory)
}

fn stdout() -> io::Result<Metadata> {
    File::from(io::stdout().as_fd().try_clone_to_owned()?).metadata()
}

/// Refuses what nobody wants to be replaced by a report.
fn check(path: &Path) -> Result<()> {
    let mut start = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    let what = if path.is_dir() {
        "a folder"
    } else if read.is_ok() && start == *b"\x7fELF" {
        "an ELF file"
    } else {
        return Ok(());
    };
    let path = path.display();
    Err(Error::Usage(format!("a report would replace {path}, which is {what}; name another file")))
}

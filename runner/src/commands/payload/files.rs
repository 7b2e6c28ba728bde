//! Payloads as the user names them.

use std::fs;
use std::path::PathBuf;

use super::show::file::Contents;
use crate::base::exit::{Error, IoContext, Result};

/// No payload has more; what is larger is shown by its size.
const READ_MAX: u64 = 64 << 20;

/// Reads the files.
pub fn read(paths: &[PathBuf]) -> Result<Vec<(Vec<u8>, Contents)>> {
    let mut files: Vec<(Vec<u8>, Contents)> = Vec::new();
    for (number, path) in paths.iter().enumerate() {
        if paths[..number].contains(path) {
            return Err(Error::Usage(format!("{} is named twice", path.display())));
        }
        let found = fs::metadata(path).io("read", path)?;
        if !found.is_file() {
            return Err(Error::Data(format!(
                "{} is no file; name a .livepatch file",
                path.display()
            )));
        }
        let size = found.len();
        if size > READ_MAX {
            return Err(Error::Data(format!(
                "{} has {size} bytes, and a payload at most 2 MiB; is it the right file?",
                path.display()
            )));
        }
        let bytes = fs::read(path).io("read", path)?;
        if !bytes.starts_with(b"\x7fELF") {
            return Err(Error::Data(format!(
                "{} is no ELF file, so it is no payload: name the .livepatch file",
                path.display()
            )));
        }
        let contents = Contents::of(&bytes);
        files.push((bytes, contents));
    }
    Ok(files)
}

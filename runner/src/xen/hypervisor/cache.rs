//! The cache of unpacked hypervisors.
//!
//! An entry is a folder that appears whole, by one rename, so that an interrupted download leaves
//! nothing that looks finished, and that never changes. A lock on a file for each entry makes a
//! second runner wait for the first; the kernel drops the lock of a runner that dies. What is in
//! the cache is checked against its recorded hash before each use, so that one who may only read
//! can still use it.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::XenFile;
use crate::base::exit::{Error, IoContext, Result};
use crate::base::hash::sha256_of;

/// Names in an entry's folder.
pub const FILE: &str = "xen";
const RECORD: &str = "origin.json";

/// Overrides the cache's place.
const VARIABLE: &str = "XTF_CACHE";

/// When to look whether what is cached of Debian's is still current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Never: the network is not used at all.
    Never,
    /// When the last look is a day old.
    Daily,
    /// Now.
    Now,
}

/// The cache's folder.
#[derive(Debug)]
pub struct Cache {
    root: PathBuf,
    look: Look,
}

#[derive(Debug, Deserialize, Serialize)]
struct Record {
    provenance: String,
    sha256: String,
}

impl Cache {
    /// The cache in `folder`, unless the environment names another.
    pub fn at(folder: &Path) -> Result<Cache> {
        let root = match env::var_os(VARIABLE) {
            Some(dir) if !dir.is_empty() => PathBuf::from(dir),
            _ => folder.to_owned(),
        };
        let root = std::path::absolute(&root).io("resolve", &root)?;
        Ok(Cache { root, look: Look::Daily })
    }

    /// The same cache, looked after so.
    pub fn looking(self, look: Look) -> Cache {
        Cache { look, ..self }
    }

    /// When to look for what is newer.
    pub fn look(&self) -> Look {
        self.look
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The files `names` of an entry and its provenance, or what is wrong with it.
    pub fn find<const N: usize>(
        &self,
        key: &str,
        names: [&str; N],
    ) -> std::result::Result<([PathBuf; N], String), String> {
        let entry = self.root.join(key);
        let paths = names.map(|name| entry.join(name));
        let provenance = check(&entry, &paths)?;
        Ok((paths, provenance))
    }

    /// Removes an entry that nobody uses any more.
    pub fn remove(&self, key: &str) -> Result<()> {
        let entry = self.root.join(key);
        match remove(&entry) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e).io("remove", &entry),
            _ => {
                // Whoever waits at the lock has the file open.
                let _ = fs::remove_file(self.root.join(format!("{key}.lock")));
                Ok(())
            }
        }
    }

    /// Writes a file for others to read, by one rename.
    pub fn write_record(&self, path: &Path, record: &impl Serialize) -> Result<()> {
        let json = serde_json::to_vec_pretty(record).io("write", path)?;
        let mut file = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(path.parent().unwrap_or(&self.root))
            .io("write", path)?;
        file.write_all(&json).io("write", path)?;
        file.persist(path).map_err(|e| e.error).io("write", path)?;
        Ok(())
    }

    /// Why nothing can be put here.
    pub fn unwritable(&self, source: io::Error) -> Error {
        let root = self.root.display();
        let what = format!("cannot write to the cache {root} ({VARIABLE} names another)");
        Error::Io { what, source }
    }

    /// Waits until nobody else is at `key`.
    pub fn lock(&self, key: &str, note: &mut dyn FnMut(&str)) -> io::Result<File> {
        fs::create_dir_all(&self.root)?;
        let lock = File::create(self.root.join(format!("{key}.lock")))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                note(&format!("waiting for another runner that downloads {key}"));
                lock.lock()?;
            }
            Err(TryLockError::Error(e)) => return Err(e),
        }
        Ok(lock)
    }

    /// Removes what killed runners left of `key`, whose lock is held.
    fn sweep(&self, key: &str) -> Result<()> {
        let start = unfinished(key);
        for entry in fs::read_dir(&self.root).io("read", &self.root)? {
            let entry = entry.io("read", &self.root)?;
            if entry.file_name().to_string_lossy().starts_with(&start) {
                remove(&entry.path()).io("remove", &entry.path())?;
            }
        }
        Ok(())
    }

    /// The entry `key`; if it is missing or damaged, `make` gets a scratch folder and returns the
    /// file and its provenance.
    pub fn get_or_make(
        &self,
        key: &str,
        note: &mut dyn FnMut(&str),
        make: impl FnOnce(&Path, &mut dyn FnMut(&str)) -> Result<(Vec<u8>, String)>,
    ) -> Result<XenFile> {
        let ([path], provenance) = self.get_or_make_files(key, [FILE], note, |scratch, note| {
            let (bytes, provenance) = make(scratch, note)?;
            Ok(([bytes], provenance))
        })?;
        Ok(XenFile::file(path, provenance))
    }

    /// The same for an entry of several files; returns their paths.
    pub fn get_or_make_files<const N: usize>(
        &self,
        key: &str,
        names: [&str; N],
        note: &mut dyn FnMut(&str),
        make: impl FnOnce(&Path, &mut dyn FnMut(&str)) -> Result<([Vec<u8>; N], String)>,
    ) -> Result<([PathBuf; N], String)> {
        let entry = self.root.join(key);
        let paths = names.map(|name| entry.join(name));
        let _lock = match self.lock(key, note) {
            Ok(lock) => lock,
            Err(source) => {
                if let Ok(provenance) = check(&entry, &paths) {
                    return Ok((paths, provenance));
                }
                return Err(self.unwritable(source));
            }
        };
        self.sweep(key)?;
        if entry.exists() {
            match check(&entry, &paths) {
                Ok(provenance) => return Ok((paths, provenance)),
                Err(why) => {
                    note(&format!("the cached {} {why}; downloading it again", entry.display()));
                    remove(&entry).io("remove", &entry)?;
                }
            }
        }

        let fresh = tempfile::Builder::new()
            .prefix(&unfinished(key))
            .tempdir_in(&self.root)
            .io("create a folder in", &self.root)?;
        let scratch = fresh.path().join("scratch");
        fs::create_dir(&scratch).io("create", &scratch)?;
        let (files, provenance) = make(&scratch, note)?;
        fs::remove_dir_all(&scratch).io("remove", &scratch)?;

        let record = Record { provenance, sha256: sha256_of(&files) };
        let json = serde_json::to_string_pretty(&record).io("write", &entry)?;
        for (name, bytes) in names.iter().zip(&files) {
            write_durably(&fresh.path().join(name), bytes)?;
        }
        write_durably(&fresh.path().join(RECORD), json.as_bytes())?;
        fs::rename(fresh.path(), &entry).io("create", &entry)?;
        // Its content has moved: there is nothing left to clean up.
        let _moved = fresh.keep();
        Ok((paths, record.provenance))
    }
}

/// How the names of folders begin in which `key` is made. No key holds the last character, so none
/// is taken for the beginning of another.
fn unfinished(key: &str) -> String {
    format!(".new-{key}~")
}

/// Removes a folder, or what somebody put in its place.
fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

fn write_durably(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).io("write", path)?;
    File::open(path).and_then(|file| file.sync_all()).io("write", path)
}

fn check(entry: &Path, paths: &[PathBuf]) -> std::result::Result<String, String> {
    let json = fs::read(entry.join(RECORD)).map_err(|e| format!("has no {RECORD} ({e})"))?;
    let record: Record =
        serde_json::from_slice(&json).map_err(|e| format!("has a damaged {RECORD} ({e})"))?;
    let read = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        fs::read(path).map_err(|e| format!("has no {name} ({e})"))
    };
    let files: Vec<Vec<u8>> = paths.iter().map(read).collect::<std::result::Result<_, _>>()?;
    if sha256_of(&files) != record.sha256 {
        return Err("does not match its recorded sha256".into());
    }
    Ok(record.provenance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(cache: &Cache, content: &str) -> (String, Vec<String>) {
        let mut notes = Vec::new();
        let ready = cache
            .get_or_make("key", &mut |text| notes.push(text.to_owned()), |scratch, _| {
                assert!(scratch.is_dir());
                Ok((content.as_bytes().to_vec(), "from here".into()))
            })
            .unwrap();
        assert_eq!(ready.provenance, "from here");
        (fs::read_to_string(ready.path).unwrap(), notes)
    }

    #[test]
    fn made_once_checked_always() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache { root: dir.path().to_owned(), look: Look::Daily };
        assert_eq!(get(&cache, "one"), ("one".into(), vec![]));
        assert_eq!(get(&cache, "two"), ("one".into(), vec![]));

        fs::write(dir.path().join("key").join(FILE), "damage").unwrap();
        let (content, notes) = get(&cache, "three");
        assert_eq!(content, "three");
        assert!(notes[0].contains("does not match its recorded sha256"), "{notes:?}");

        fs::remove_file(dir.path().join("key").join(RECORD)).unwrap();
        assert_eq!(get(&cache, "four").0, "four");
    }

    #[test]
    fn a_failed_download_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache { root: dir.path().to_owned(), look: Look::Daily };
        let failed = cache.get_or_make("key", &mut |_| {}, |scratch, _| {
            fs::write(scratch.join("half"), "x").unwrap();
            Err(Error::Tool("no network".into()))
        });
        assert!(failed.is_err());
        let left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["key.lock"]);
    }
}

//! The folder that an export owns: what is written into it, and what an earlier one left.
//!
//! A list of everything that was written marks the folder as an export's. The next export of the
//! same folder takes away what it does not write itself, and touches nothing that is not listed:
//! upstream's runner may well lie beside it.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use crate::base::exit::{Error, IoContext, Result};

/// The list, with one path on each line.
const LIST: &str = ".xtf-export";

/// A folder that is being written.
#[derive(Debug)]
pub struct Tree {
    top: PathBuf,
    before: BTreeSet<String>,
    written: BTreeSet<String>,
}

impl Tree {
    /// Claims a folder that is new, empty, or an earlier export.
    pub fn claim(top: &Path) -> Result<Tree> {
        fs::create_dir_all(top).io("create the folder", top)?;
        let list = top.join(LIST);
        let before = match fs::read_to_string(&list) {
            Ok(text) => entries(&text).map_err(|bad| {
                Error::Data(format!(
                    "{} lists `{bad}`, which no export writes; export to another folder",
                    list.display()
                ))
            })?,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                if fs::read_dir(top).io("read the folder", top)?.next().is_some() {
                    return Err(Error::Usage(format!(
                        "{} is not empty and no earlier export (it has no {LIST}); export to \
                         another folder, or empty this one",
                        top.display()
                    )));
                }
                BTreeSet::new()
            }
            Err(e) => return Err(e).io("read", &list),
        };
        Ok(Tree { top: top.to_owned(), before, written: BTreeSet::new() })
    }

    /// Writes a file.
    pub fn write(&mut self, path: &str, contents: &[u8]) -> Result<()> {
        let file = self.make_room(path)?;
        fs::write(&file, contents).io("write", &file)
    }

    /// Writes a file with the contents of one that was written before: the same file, where the
    /// file system can.
    pub fn link(&mut self, path: &str, original: &str) -> Result<()> {
        let file = self.make_room(path)?;
        let original = self.top.join(original);
        fs::hard_link(&original, &file)
            .or_else(|_| fs::copy(&original, &file).map(drop))
            .io("write", &file)
    }

    /// Takes away what an earlier export wrote and this one did not, and writes the list.
    pub fn finish(self) -> Result<()> {
        for stale in self.before.difference(&self.written) {
            let file = self.top.join(stale);
            remove(&file)?;
            // A folder that is not empty has something of somebody else's in it.
            let mut folder = file.parent();
            while let Some(inner) = folder.filter(|inner| *inner != self.top) {
                if fs::remove_dir(inner).is_err() {
                    break;
                }
                folder = inner.parent();
            }
        }
        self.write_list(&self.written)
    }

    /// The place for a file. What is there already is removed, not overwritten: it may be linked.
    fn make_room(&mut self, path: &str) -> Result<PathBuf> {
        let file = self.top.join(path);
        let folder = file.parent().expect("a path in the tree");
        fs::create_dir_all(folder).io("create the folder", folder)?;
        if self.written.is_empty() {
            // Whatever happens from here on, the folder is recognised.
            self.write_list(&self.before)?;
        }
        remove(&file)?;
        self.written.insert(path.to_owned());
        Ok(file)
    }

    fn write_list(&self, paths: &BTreeSet<String>) -> Result<()> {
        let list = self.top.join(LIST);
        let text: String = paths.iter().map(|path| format!("{path}\n")).collect();
        fs::write(&list, text).io("write", &list)
    }
}

/// The paths of a list; the first one that leads out of `tests/` where there is such.
fn entries(text: &str) -> std::result::Result<BTreeSet<String>, String> {
    text.lines()
        .map(|line| {
            let mut parts = Path::new(line).components();
            let inside = parts.next() == Some(Component::Normal("tests".as_ref()))
                && parts.all(|part| matches!(part, Component::Normal(_)));
            if inside { Ok(line.to_owned()) } else { Err(line.to_owned()) }
        })
        .collect()
}

fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e).io("remove", file),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::base::exit::Exit;

    /// What is in the folder, its list aside.
    fn files(top: &Path) -> Vec<String> {
        fn walk(folder: &Path, top: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => walk(&path, top, found),
                    false => found.push(path.strip_prefix(top).unwrap().display().to_string()),
                }
            }
        }
        let mut found = Vec::new();
        walk(top, top, &mut found);
        found.retain(|name| name != LIST);
        found.sort();
        found
    }

    fn export(top: &Path, paths: &[&str]) {
        let mut tree = Tree::claim(top).unwrap();
        paths.iter().for_each(|path| tree.write(path, path.as_bytes()).unwrap());
        tree.finish().unwrap();
    }

    #[test]
    fn a_second_export_replaces_the_first_and_nothing_else() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path();
        export(top, &["tests/a/x", "tests/a/y", "tests/b/x", "tests/c/x"]);
        fs::write(top.join("xtf-runner"), "upstream's").unwrap();
        fs::write(top.join("tests/b/mine"), "the user's").unwrap();

        export(top, &["tests/a/x", "tests/d/x"]);
        assert_eq!(files(top), ["tests/a/x", "tests/b/mine", "tests/d/x", "xtf-runner"]);
        assert!(!top.join("tests/c").exists());
        export(top, &["tests/a/x", "tests/d/x"]);
        assert_eq!(files(top), ["tests/a/x", "tests/b/mine", "tests/d/x", "xtf-runner"]);
    }

    #[test]
    fn an_interrupted_export_can_be_repeated() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path();
        export(top, &["tests/a/x"]);
        Tree::claim(top).unwrap().write("tests/b/x", b"half way").unwrap();
        export(top, &["tests/b/x"]);
        assert_eq!(files(top), ["tests/b/x"]);

        let fresh = top.join("fresh");
        Tree::claim(&fresh).unwrap().write("tests/b/x", b"half way").unwrap();
        export(&fresh, &["tests/b/x"]);
        assert_eq!(files(&fresh), ["tests/b/x"]);
    }

    #[test]
    fn a_foreign_folder_is_left_alone() {
        let top = tempfile::tempdir().unwrap();
        fs::write(top.path().join("thesis.tex"), "").unwrap();
        let error = Tree::claim(top.path()).unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
        assert!(error.to_string().contains("not empty"), "{error}");
        assert_eq!(files(top.path()), ["thesis.tex"]);
    }

    #[test]
    fn a_list_never_leads_out_of_the_tree() {
        for path in ["../victim", "/victim", "victim", "tests/../../victim"] {
            let parent = tempfile::tempdir().unwrap();
            let top = parent.path().join("top");
            fs::create_dir(&top).unwrap();
            fs::write(parent.path().join("victim"), "").unwrap();
            fs::write(top.join(LIST), format!("{path}\n")).unwrap();
            let error = Tree::claim(&top).unwrap_err();
            assert!(error.to_string().contains(path), "{error}");
        }
    }

    #[test]
    fn a_link_is_the_same_file_and_survives_its_original() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path();
        let inode = |path: &str| fs::metadata(top.join(path)).unwrap().ino();
        let mut tree = Tree::claim(top).unwrap();
        tree.write("tests/a/one", b"old").unwrap();
        tree.link("tests/a/two", "tests/a/one").unwrap();
        tree.finish().unwrap();
        assert_eq!(inode("tests/a/one"), inode("tests/a/two"));
        // Not even while both names are taken does writing one change the other.
        let mut tree = Tree::claim(top).unwrap();
        tree.write("tests/a/one", b"new").unwrap();
        assert_eq!(fs::read(top.join("tests/a/two")).unwrap(), b"old");
        tree.write("tests/a/two", b"newer").unwrap();
        tree.finish().unwrap();
        assert_eq!(fs::read(top.join("tests/a/one")).unwrap(), b"new");
    }
}

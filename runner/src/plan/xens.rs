//! Xens that the user names by paths: which files they are, and what to call them.
//!
//! A path is a file, a file in a package, a folder with a xen, xen.gz or xen.efi (the top of a build
//! tree too), a folder with versions of it, or a folder of such folders, which stands for all of
//! them. A folder may hold a Xen for each loader.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use crate::plan::loader::Loader;
use crate::plan::newest::{Choice, EFI, PACKED, SYMBOLS, by_number, choose, symbols_of};

/// Where a folder with a Xen has it: the ELF file,
const FILES: [&str; 4] = ["xen", "xen.gz", "xen/xen", "xen/xen.gz"];
/// and the EFI application.
const EFI_FILES: [&str; 2] = ["xen.efi", "xen/xen.efi"];
/// How an EFI application begins.
pub const EFI_MAGIC: &[u8] = b"MZ";
/// Parts of a path that tell nothing about a Xen.
const COMMON: [&str; 4] = ["xen", "xen.gz", "xen.efi", "boot"];
/// How the names of packages end.
const PACKAGES: [&str; 3] = [".deb", ".rpm", ".apk"];

/// The Xen in the folder `path` where `loader` is to take it.
pub fn choice_in(path: &Path, loader: Loader) -> Choice {
    let names = if loader.takes_efi() { &EFI_FILES[..] } else { &FILES };
    if let Some(name) = names.iter().find(|name| path.join(name).is_file()) {
        return Choice::Newest((*name).to_owned(), 1);
    }
    let Ok(entries) = fs::read_dir(path) else { return Choice::Nothing };
    let files = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        entry.file_type().ok()?.is_file().then(|| entry.file_name().to_string_lossy().into_owned())
    });
    let files: Vec<String> = files.collect();
    choose(files.iter().map(String::as_str), loader)
}

/// The file that `path` stands for where `loader` is to take it; `None` for a folder without one,
/// or with several.
fn file_in(path: &Path, loader: Loader) -> Option<PathBuf> {
    if !path.is_dir() {
        return Some(path.to_owned());
    }
    match choice_in(path, loader) {
        Choice::Newest(name, _) => Some(path.join(name)),
        Choice::Nothing | Choice::Several(_) => None,
    }
}

/// The package, and the path in it, of a path that goes through a file.
pub fn through_file(path: &Path) -> Option<(PathBuf, String)> {
    let file = path.ancestors().skip(1).find(|above| above.is_file())?;
    let inside = path.strip_prefix(file).ok()?;
    Some((file.to_owned(), inside.to_string_lossy().into_owned()))
}

/// Whether what is at `path` can only be loaded as an EFI application.
pub fn takes_efi_only(path: &Path) -> bool {
    if path.is_dir() {
        return file_in(path, Loader::Direct).is_none() && file_in(path, Loader::Efi).is_some();
    }
    let mut start = [0; EFI_MAGIC.len()];
    File::open(path).is_ok_and(|mut file| file.read_exact(&mut start).is_ok())
        && start == *EFI_MAGIC
}

/// The xen-syms of the Xen that `path` stands for, which are beside it, or in the same package if
/// there are any. A xen.efi has none: it is linked on its own, with other addresses.
pub fn symbols_with(path: &Path, loader: Loader) -> Option<PathBuf> {
    if loader.takes_efi() {
        return None;
    }
    if let Some((package, _)) = through_file(path) {
        return Some(package);
    }
    let file = file_in(path, loader)?;
    let name = file.file_name()?.to_string_lossy().into_owned();
    if PACKAGES.iter().any(|end| name.ends_with(end)) {
        return Some(file);
    }
    let syms = [&symbols_of(&name), SYMBOLS].map(|name| file.with_file_name(name));
    syms.into_iter().find(|syms| syms.is_file())
}

/// The Xens that `path` stands for where `loader`, or whatever fits, is to take them, in the order
/// of their numbers: itself, or the folders in it that have one.
pub fn each_in(path: &Path, loader: Option<Loader>) -> Vec<PathBuf> {
    let itself = || vec![path.to_owned()];
    let has_xen = |path: &Path| {
        let has = |loader| choice_in(path, loader) != Choice::Nothing;
        loader.map_or_else(|| has(Loader::Direct) || has(Loader::Efi), has)
    };
    if !path.is_dir() || has_xen(path) {
        return itself();
    }
    let Ok(entries) = fs::read_dir(path) else { return itself() };
    let folders = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir());
    let mut found: Vec<PathBuf> = folders.filter(|folder| has_xen(folder)).collect();
    if found.is_empty() {
        return itself();
    }
    found.sort_by(|a, b| by_number(&a.to_string_lossy(), &b.to_string_lossy()));
    found
}

/// Takes the paths of Xens out of `selectors`: of `--xen DIR/*` a shell makes several words, and
/// only the first is the option's. No selector of a test is the path of a file that exists.
pub fn adopt(xens: &mut Vec<String>, selectors: &mut Vec<String>) {
    if !xens.iter().any(|xen| xen.contains('/')) {
        return;
    }
    let is_path = |word: &String| word.contains('/') && Path::new(word).exists();
    let (paths, rest) = std::mem::take(selectors).into_iter().partition(is_path);
    *selectors = rest;
    xens.extend::<Vec<String>>(paths);
}

/// What to call the Xen that `path` stands for: of a folder with versions, that of the version.
fn telling_path(path: &Path) -> PathBuf {
    // `.` says nothing.
    let path = match path.components().any(|part| matches!(part, Component::Normal(_))) {
        true => path.to_owned(),
        false => path.canonicalize().unwrap_or_else(|_| path.to_owned()),
    };
    let versions = |loader| match path.is_dir().then(|| choice_in(&path, loader)) {
        Some(Choice::Newest(name, _)) if !name.contains('/') => Some(path.join(name)),
        _ => None,
    };
    [Loader::Direct, Loader::Efi].into_iter().find_map(versions).unwrap_or_else(|| path.clone())
}

/// A name for each of `paths`, as short as it can be without being one of `taken` or another one's.
pub fn names(paths: &[PathBuf], taken: &dyn Fn(&str) -> bool) -> Vec<String> {
    let parts: Vec<Vec<String>> =
        paths.iter().map(|path| telling_parts(&telling_path(path))).collect();
    let name = |index: usize, length: usize| {
        let parts = &parts[index];
        parts[parts.len().saturating_sub(length)..].join("/")
    };
    let short = |index: usize| {
        let alone = |length: &usize| {
            let own = name(index, *length);
            let others = (0..paths.len()).filter(|other| *other != index);
            !own.is_empty()
                && !taken(&own)
                && others.into_iter().all(|other| name(other, *length) != own)
        };
        let length = (1..=parts[index].len()).find(alone);
        length.map_or_else(|| paths[index].display().to_string(), |length| name(index, length))
    };
    (0..paths.len()).map(short).collect()
}

/// The parts of `path` that tell something about a Xen.
fn telling_parts(path: &Path) -> Vec<String> {
    let normal = path.components().filter_map(|part| match part {
        Component::Normal(part) => Some(part.to_string_lossy().into_owned()),
        _ => None,
    });
    let mut parts: Vec<String> = normal.filter(|part| !COMMON.contains(&part.as_str())).collect();
    if let Some(last) = parts.last_mut() {
        for end in [&PACKED[..], &[EFI], &PACKAGES].concat() {
            if let Some(stem) = last.strip_suffix(end) {
                *last = stem.to_owned();
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(paths: &[&str]) -> Vec<String> {
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        names(&paths, &|name| name == "4.17")
    }

    #[test]
    fn names_are_short_and_distinct() {
        let long = ["/a/RELEASE-4.12.4/xen/xen.gz", "/a/HEAD", "b/xen-4.17-amd64.gz", "x.deb"];
        assert_eq!(of(&long), ["RELEASE-4.12.4", "HEAD", "xen-4.17-amd64", "x"]);
        assert_eq!(of(&["/a/4.20/xen/xen.efi", "b/xen-4.17.efi"]), ["4.20", "xen-4.17"]);
        assert_eq!(of(&["/a/4.20/xen", "/b/4.20/xen", "/b/c"]), ["a/4.20", "b/4.20", "c"]);
        // A configured Xen has its name already.
        assert_eq!(of(&["/a/4.17/xen.gz"]), ["a/4.17"]);
        for all in ["./xen", "xen.gz", "/xen/xen.gz", "../boot/xen", "4.17"] {
            assert_eq!(of(&[all]), [all]);
        }
        assert_eq!(of(&["a/xen", "a/xen.gz"]), ["a/xen", "a/xen.gz"]);
        let here = std::env::current_dir().unwrap();
        assert_eq!(of(&["."]), [here.file_name().unwrap().to_str().unwrap()]);
    }

    #[test]
    fn a_folder_of_xens_stands_for_each() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["4.10/xen/xen.gz", "4.9/xen.gz", "4.9/xen-syms", "notes/a", "5/xen/Makefile"] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let inside = |name: &str| dir.path().join(name);
        assert_eq!(each_in(dir.path(), None), [inside("4.9"), inside("4.10")]);
        for itself in ["4.9", "4.9/xen.gz", "notes", "gone"] {
            assert_eq!(each_in(&inside(itself), None), [inside(itself)]);
        }
        let direct = Loader::Direct;
        assert_eq!(file_in(&inside("4.10"), direct), Some(inside("4.10/xen/xen.gz")));
        assert_eq!(file_in(&inside("notes"), direct), None);
        assert_eq!(symbols_with(&inside("4.9"), direct), Some(inside("4.9/xen-syms")));
        assert_eq!(symbols_with(&inside("4.9/xen.gz"), direct), Some(inside("4.9/xen-syms")));
        assert_eq!(symbols_with(&inside("4.10"), direct), None);
    }

    #[test]
    fn a_folder_may_hold_a_xen_for_each_loader() {
        let dir = tempfile::tempdir().unwrap();
        let inside = |name: &str| dir.path().join(name);
        for file in ["both/xen.gz", "both/xen.efi", "efi/xen/xen.efi", "both/xen-syms", "elf/xen"] {
            let path = inside(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, if file.ends_with("efi") { "MZ..." } else { "x" }).unwrap();
        }
        assert_eq!(file_in(&inside("both"), Loader::Efi), Some(inside("both/xen.efi")));
        assert_eq!(file_in(&inside("both"), Loader::Grub), Some(inside("both/xen.gz")));
        assert_eq!(file_in(&inside("elf"), Loader::Efi), None);
        let efi_only = ["both", "efi", "elf", "both/xen.gz", "both/xen.efi", "gone"]
            .map(|name| takes_efi_only(&inside(name)));
        assert_eq!(efi_only, [false, true, false, false, true, false]);
        assert_eq!(symbols_with(&inside("both"), Loader::Efi), None);
        let each = |loader| each_in(dir.path(), loader);
        assert_eq!(each(None), [inside("both"), inside("efi"), inside("elf")]);
        assert_eq!(each(Some(Loader::Efi)), [inside("both"), inside("efi")]);
        assert_eq!(each(Some(Loader::Direct)), [inside("both"), inside("elf")]);
    }

    #[test]
    fn what_a_shell_made_of_one_word_is_put_together() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        fs::write(path("b"), "x").unwrap();
        let words = || vec!["example".to_owned(), path("b"), path("gone"), "elf/x".into()];
        let (mut xens, mut selectors) = (vec![path("a")], words());
        adopt(&mut xens, &mut selectors);
        assert_eq!(xens, [path("a"), path("b")]);
        assert_eq!(selectors, ["example".to_owned(), path("gone"), "elf/x".into()]);
        let (mut xens, mut selectors) = (vec!["4.17".to_owned()], words());
        adopt(&mut xens, &mut selectors);
        assert_eq!((xens.len(), selectors.len()), (1, 4));
    }
}

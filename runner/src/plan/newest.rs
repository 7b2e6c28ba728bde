//! Which of several files is the Xen that people mean.
//!
//! Distributions put their versions side by side, with a build for debugging next to each:
//! `xen-4.17.6-2.gz`, `xen-4.17.6-2-d.gz`, `xen-4.17.5-1.gz`.

use std::cmp::Ordering;

use crate::plan::loader::Loader;

/// What Xen is called.
pub const XEN: &str = "xen";
/// What its symbols are called.
pub const SYMBOLS: &str = "xen-syms";
/// How the name of an ELF file may end that is to be unpacked first.
pub const PACKED: [&str; 3] = [".gz", ".zst", ".xz"];
/// How that of an EFI application ends.
pub const EFI: &str = ".efi";
/// What is in the name of a build for debugging.
const DEBUG: [&str; 3] = ["d", "dbg", "debug"];

/// What there is among some files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// No Xen.
    Nothing,
    /// One, the newest of so many.
    Newest(String, usize),
    /// Several that are not versions of one another.
    Several(Vec<String>),
}

/// Chooses from `names` of files without folders.
pub fn choose<'n>(names: impl IntoIterator<Item = &'n str>, loader: Loader) -> Choice {
    let mut found: Vec<(&str, Vec<&str>)> = names
        .into_iter()
        .filter_map(|name| Some((name, stem(name, loader)?.split('-').collect())))
        .collect();
    // Whoever made the folder says which one it is.
    if let Some((plain, _)) = found.iter().find(|(_, words)| words[..] == [XEN]) {
        return Choice::Newest((*plain).to_owned(), 1);
    }
    let is_debug = |words: &[&str]| words.iter().any(|word| DEBUG.contains(word));
    if found.iter().any(|(_, words)| !is_debug(words)) {
        found.retain(|(_, words)| !is_debug(words));
    }
    found.sort_by(|(a, _), (b, _)| by_number(a, b));
    let flavour = |words: &[&str]| {
        let is_word = |word: &&&str| !word.starts_with(|c: char| c.is_ascii_digit());
        words.iter().filter(is_word).map(|word| (*word).to_owned()).collect::<Vec<String>>()
    };
    let names = || found.iter().map(|(name, _)| (*name).to_owned());
    match found.last() {
        None => Choice::Nothing,
        Some((last, words)) => {
            let first = flavour(words);
            match found.iter().all(|(_, words)| flavour(words) == first) {
                true => Choice::Newest((*last).to_owned(), found.len()),
                false => Choice::Several(names().collect()),
            }
        }
    }
}

/// What the name of Xen's file is without its ending.
fn stem(name: &str, loader: Loader) -> Option<&str> {
    let stem = match loader.takes_efi() {
        true => name.strip_suffix(EFI)?,
        false if name == XEN => name,
        false => PACKED.iter().find_map(|end| name.strip_suffix(end))?,
    };
    let is_xen = stem == XEN || stem.strip_prefix(XEN)?.starts_with('-');
    (is_xen && !stem.starts_with(SYMBOLS)).then_some(stem)
}

/// What the symbols of the Xen in the file `name` are called where they are beside it.
pub fn symbols_of(name: &str) -> String {
    let stem = stem(name, Loader::Direct).unwrap_or(XEN);
    format!("{SYMBOLS}{}", stem.strip_prefix(XEN).unwrap_or_default())
}

/// Compares as people do: 4.8 before 4.10.
pub fn by_number(a: &str, b: &str) -> Ordering {
    alphanumeric_sort::compare_str(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newest(name: &str, of: usize) -> Choice {
        Choice::Newest(name.into(), of)
    }

    fn elf(names: &[&str]) -> Choice {
        choose(names.iter().copied(), Loader::Direct)
    }

    #[test]
    fn the_newest_version_is_taken() {
        let boot = [
            "xen-4.17.6-2.gz",
            "xen-4.17.6-2-d.gz",
            "xen-4.17.10-1.gz",
            "xen-4.17.6-2.map",
            "xen-syms-4.17.6-2.gz",
            "xen-4.17.10-1.efi",
            "xenstore.1.gz",
            "vmlinuz-6.1",
        ];
        assert_eq!(elf(&boot), newest("xen-4.17.10-1.gz", 2));
        assert_eq!(choose(boot, Loader::Efi), newest("xen-4.17.10-1.efi", 1));
        assert_eq!(elf(&boot[1..2]), newest(boot[1], 1));
        assert_eq!(elf(&["xen-4.20.0_02-1.zst"]), newest("xen-4.20.0_02-1.zst", 1));
        assert_eq!(elf(&["xen-4.17-amd64.gz", "xen-4.9-amd64.gz"]), newest("xen-4.17-amd64.gz", 2));
        assert_eq!(elf(&["xen-4.20.gz", "xen.gz"]), newest("xen.gz", 1));
        assert_eq!(elf(&["config", "xen-4.17-amd64.config", "xenon.gz"]), Choice::Nothing);
    }

    #[test]
    fn unrelated_ones_are_listed() {
        let several = ["xen-4.17-amd64.gz", "xen-4.17.gz"];
        assert_eq!(elf(&several), Choice::Several(several.map(str::to_owned).into()));
    }

    #[test]
    fn numbers_in_their_order() {
        let mut all = ["4.10.4", "4.8.5", "HEAD", "4.10.4-debug", "4.9.4", "4.08", "4"];
        all.sort_by(|a, b| by_number(a, b));
        assert_eq!(all, ["4", "4.08", "4.8.5", "4.9.4", "4.10.4", "4.10.4-debug", "HEAD"]);
    }

    #[test]
    fn symbols_have_their_xens_version() {
        assert_eq!(symbols_of("xen-4.17.6-2-d.gz"), "xen-syms-4.17.6-2-d");
        assert_eq!(symbols_of("xen.gz"), "xen-syms");
        assert_eq!(symbols_of("xen"), "xen-syms");
    }
}

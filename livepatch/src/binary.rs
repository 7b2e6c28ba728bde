//! The two kinds of file that Xen is linked into, and what a guest sees of the difference.
//!
//! One build of Xen is linked twice: into an ELF file, of which xen and xen.gz are made, and into
//! an EFI application, xen.efi. Their code is the same, but not all that the linker adds. A live
//! patch is made for one of them, and each difference is a [`Fact`] that a test checks
//! (`livepatch-binary`).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// What the linker made of Xen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Binary {
    /// An ELF file: xen, xen.gz.
    Elf,
    /// An EFI application: xen.efi.
    Efi,
}

/// Lengths of the paths that an EFI application does not have whole in the names of static symbols.
///
/// They fill more of a single entry of the linker's table than is read again.
pub const CUT: RangeInclusive<usize> = 15..=18;
/// As much is left of such a path.
pub const LEFT: usize = 14;

impl Binary {
    /// Bytes of its build-id: a SHA-1 in a GNU note, or the GUID of a CodeView record.
    pub const fn build_id_len(self) -> usize {
        match self {
            Self::Elf => 20,
            Self::Efi => 16,
        }
    }

    /// How the path of a source file is spelled in the names of static symbols, such as
    /// `common/livepatch.c#payload_list`.
    pub fn path(self, path: &str) -> &str {
        match self {
            Self::Efi if CUT.contains(&path.len()) => &path[..LEFT],
            _ => path,
        }
    }

    /// What the path in the name of a static symbol tells about the file that the symbol is in.
    pub fn of_path(path: &str) -> Option<Self> {
        if CUT.contains(&path.len()) {
            return Some(Self::Elf);
        }
        // Every source file's name has an ending.
        (path.len() == LEFT && !path.contains('.')).then_some(Self::Efi)
    }
}

/// Every name by which a payload may find the static symbol `name` of the source file at `path`: with
/// the whole path, as it is cut, and each for the file's name alone, as Xen has it before
/// 81ecb38b83.
pub fn names_of_static(path: &str, name: &str) -> Vec<String> {
    let base = path.rsplit('/').next().unwrap_or(path);
    let mut names = Vec::new();
    for path in [path, base] {
        for binary in [Binary::Elf, Binary::Efi] {
            let name = format!("{}#{name}", binary.path(path));
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// A difference between the two.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    /// What it is about.
    pub name: &'static str,
    /// How it is with an ELF file,
    pub elf: &'static str,
    /// and with an EFI application.
    pub efi: &'static str,
    /// What it means for a live patch.
    pub means: &'static str,
    /// The case of `livepatch-binary` that checks it.
    pub case: &'static str,
}

/// All that are known.
pub const FACTS: [Fact; 2] = [
    Fact {
        name: "build-id",
        elf: "20 bytes, a SHA-1 in a GNU note",
        efi: "16 bytes, the GUID in a CodeView record",
        means: "a payload for one is refused on the other (EINVAL)",
        case: "build_id/has_20_bytes_in_an_elf_file_and_16_in_an_efi_application",
    },
    Fact {
        name: "names of static symbols",
        elf: "`PATH#NAME`, with the whole path of the source file",
        efi: "the first 14 characters of a path that has 15 to 18; shorter and longer ones whole",
        means: "a payload that refers to such a static by the other name is refused (ENOENT)",
        case: "statics/paths_of_15_to_18_characters_are_cut_in_an_efi_application",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (path, cut) in [
            ("arch/x86/irq.c", "arch/x86/irq.c"),
            ("common/sysctl.c", "common/sysctl."),
            ("common/livepatch.c", "common/livepat"),
            ("common/page_alloc.c", "common/page_alloc.c"),
        ] {
            assert_eq!((Binary::Elf.path(path), Binary::Efi.path(path)), (path, cut));
        }
        assert_eq!(Binary::of_path("common/livepat"), Some(Binary::Efi));
        assert_eq!(Binary::of_path("common/livepatch.c"), Some(Binary::Elf));
        for both in ["arch/x86/irq.c", "common/page_alloc.c", "short"] {
            assert_eq!(Binary::of_path(both), None);
        }
    }

    #[test]
    fn the_facts_are_documented_and_checked() {
        let (page, tests) =
            (include_str!("../../docs/uefi.md"), include_str!("../../docs/tests.md"));
        for Fact { name, elf, efi, means, case } in FACTS {
            let row = format!("| {name} | {elf} | {efi} | {means} | `{case}` |\n");
            assert!(page.contains(&row), "docs/uefi.md lacks: {row}");
            assert!(tests.contains(&format!("- `{case}`")), "docs/tests.md has no case {case}");
        }
    }

    #[test]
    fn a_static_has_up_to_four_names() {
        let names = names_of_static("common/livepatch.c", "x");
        assert_eq!(names, ["common/livepatch.c#x", "common/livepat#x", "livepatch.c#x"]);
        assert_eq!(names_of_static("irq.c", "x"), ["irq.c#x"]);
    }
}

//! What a Xen's binary tells about what that Xen can do, before it is booted.
//!
//! Two things in it tell. Each builder of a dom0 has a message of its own, and each option of the
//! command line its name. Since 4.14, the configuration that it was built with is in it, gzipped
//! (CONFIG_HYPFS_CONFIG). A file in which none of that is found is taken for a Xen that can do
//! everything: its first boot shows.

use std::io::Read;

use flate2::bufread::GzDecoder;
use memchr::memmem;
use object::elf::ELFMAG;
use protocol::metadata::Environment;

use crate::plan::loader::Loader;

/// What the builder of a PVH dom0 says, since there is one that works (4.11).
const BUILDS_PVH: &str = "Building a PVH Dom%d";
/// What the builder of a PV dom0 says since then,
const BUILDS_PV: &str = "Building a PV Dom%d";
/// and said before, when every Xen had one.
const BUILT_PV: &str = "LOADING DOMAIN 0";
/// With it a PVH dom0 does without an IOMMU (4.12).
const DOM0_IOMMU: &str = "dom0-iommu\0";
/// How a header of multiboot2 begins.
const MULTIBOOT2: [u8; 4] = 0xe852_50d6_u32.to_le_bytes();
/// How a gzip file begins.
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];
/// What every configuration of Xen has in its head.
const CONFIGURATION: &str = "Automatically generated file; DO NOT EDIT.";
/// The option without which there are no 32-bit PV guests (4.14).
const PV32: &str = "CONFIG_PV32=y";
/// No configuration is larger.
const MAX_CONFIGURATION: u64 = 1 << 20;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Abilities {
    no_pv: Option<&'static str>,
    no_pvh: Option<&'static str>,
    no_pv32: Option<&'static str>,
    /// Whether a PVH dom0 takes an IOMMU, as there is no option to do without.
    pub needs_iommu: bool,
    /// Whether it can't be loaded by multiboot2, but only by the older protocol (before 4.9).
    pub no_multiboot2: bool,
    /// Its own command line, if it heeds no other.
    own_line: Option<String>,
}

impl Abilities {
    /// Those of the Xen in `elf`.
    pub fn of(elf: &[u8]) -> Abilities {
        let has = |words: &str| memmem::find(elf, words.as_bytes()).is_some();
        let (pv, pvh, old) = (has(BUILDS_PV), has(BUILDS_PVH), has(BUILT_PV));
        let no_pv = (pvh && !pv && !old)
            .then_some("this Xen has no code for a PV dom0: it was built with CONFIG_PV=n");
        let no_pvh = match (pvh, pv, old) {
            (false, true, _) => {
                Some("this Xen has no code for a PVH dom0: it was built with CONFIG_HVM=n")
            }
            (false, false, true) => {
                Some("this Xen is older than 4.11, the first one that can have a PVH dom0")
            }
            _ => None,
        };
        let needs_iommu = pvh && !has(DOM0_IOMMU);
        let configuration = configuration(elf);
        let lacks_pv32 = |text: &String| !text.lines().any(|line| line == PV32);
        let no_pv32 = configuration.as_ref().is_some_and(lacks_pv32).then_some(
            "this Xen takes no 32-bit PV guest: it was built with CONFIG_PV32=n; one with \
             CONFIG_PV32=y does",
        );
        let own_line = configuration.and_then(|text| own_line(&text));
        let no_multiboot2 = elf.starts_with(&ELFMAG) && !has_multiboot2(elf);
        Abilities { no_pv, no_pvh, no_pv32, needs_iommu, no_multiboot2, own_line }
    }

    /// Why `loader` cannot load it, if it can't.
    pub fn not_loaded_by(&self, loader: Loader) -> Option<String> {
        (self.no_multiboot2 && loader == Loader::GrubEfi).then(|| {
            "this Xen is older than 4.9, the first one that GRUB can load (by multiboot2) from UEFI \
             firmware"
                .into()
        })
    }

    /// Why the image cannot be run as dom0 in `environment`, if it can't.
    pub fn lacks(&self, environment: Environment) -> Option<String> {
        if let Some(line) = &self.own_line {
            return Some(format!(
                "this Xen ignores every option that it is given: it was built with \
                 CONFIG_CMDLINE_OVERRIDE=y and CONFIG_CMDLINE=\"{line}\""
            ));
        }
        let why = match environment {
            Environment::Pv64 => self.no_pv,
            Environment::Pv32pae => self.no_pv.or(self.no_pv32),
            Environment::Pvh64
            | Environment::Hvm32
            | Environment::Hvm32pse
            | Environment::Hvm32pae => self.no_pvh,
            Environment::Hvm64 => None,
        };
        why.map(str::to_owned)
    }
}

/// Whether `elf` has a header of multiboot2, in its first 32 KiB and at a multiple of eight bytes
/// (section 3.1.1 of the specification).
fn has_multiboot2(elf: &[u8]) -> bool {
    let head = &elf[..elf.len().min(32 << 10)];
    head.chunks_exact(8).any(|place| place.starts_with(&MULTIBOOT2))
}

/// The configuration that is in `elf`.
fn configuration(elf: &[u8]) -> Option<String> {
    memmem::find_iter(elf, &GZIP).find_map(|start| {
        let mut text = String::new();
        let packed = GzDecoder::new(elf.get(start..)?);
        packed.take(MAX_CONFIGURATION).read_to_string(&mut text).ok()?;
        text.contains(CONFIGURATION).then_some(text)
    })
}

/// The command line of a Xen with this configuration, if it heeds no other.
fn own_line(configuration: &str) -> Option<String> {
    let line = configuration.lines().find_map(|line| line.strip_prefix("CONFIG_CMDLINE="))?;
    let overrides = configuration.lines().any(|line| line == "CONFIG_CMDLINE_OVERRIDE=y");
    overrides.then(|| line.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use Environment::{Hvm32, Hvm32pae, Hvm32pse, Pv32pae, Pv64, Pvh64};

    /// A binary with these strings.
    fn of(strings: &[&str]) -> Abilities {
        Abilities::of(format!("\x7fELF\0{}\0", strings.join("\0")).as_bytes())
    }

    fn packed(text: &str) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap()
    }

    #[test]
    fn each_environment_has_its_builder() {
        let pv = "<2>*** Building a PV Dom%d ***\n";
        let pvh = "<2>*** Building a PVH Dom%d ***\n";
        let both = of(&[pv, pvh, "dom0-iommu"]);
        assert_eq!((both.lacks(Pv64), both.lacks(Pvh64)), (None, None));
        assert!(!both.needs_iommu);
        let no_pv = of(&[pvh, "dom0-iommu"]);
        assert!(no_pv.lacks(Pv64).unwrap().contains("CONFIG_PV=n"));
        assert_eq!(no_pv.lacks(Pvh64), None);
        let no_hvm = of(&[pv, "dom0-iommu"]);
        assert!(no_hvm.lacks(Pvh64).unwrap().contains("CONFIG_HVM=n"));
        assert_eq!(no_hvm.lacks(Pv64), None);
        assert!(!no_hvm.needs_iommu);
    }

    #[test]
    fn releases_before_the_option_and_before_pvh() {
        let of_4_11 = of(&["*** Building a PV Dom%d ***", "*** Building a PVH Dom%d ***", "iommu"]);
        assert!(of_4_11.needs_iommu && of_4_11.lacks(Pvh64).is_none());
        for old in [&["*** LOADING DOMAIN 0 ***"][..], &["** Building a PVH Dom0 **", BUILT_PV]] {
            let old = of(old);
            assert!(old.lacks(Pvh64).unwrap().contains("older than 4.11"));
            assert_eq!((old.lacks(Pv64), old.needs_iommu), (None, false));
        }
    }

    #[test]
    fn what_says_nothing_can_do_everything() {
        let unknown = of(&["something else"]);
        assert_eq!((unknown.lacks(Pv64), unknown.lacks(Pvh64)), (None, None));
        assert!(!unknown.needs_iommu);
    }

    /// A binary with these options in its configuration.
    fn configured(options: &str) -> Abilities {
        let text = format!("#\n# {CONFIGURATION}\n# Xen/x86 4.22.0 Configuration\n{options}");
        let other = packed("something else");
        let damaged = GZIP.to_vec();
        Abilities::of(&[b"\x7fELF".to_vec(), damaged, other, packed(&text)].concat())
    }

    #[test]
    fn guests_of_32_bits() {
        let without = configured("CONFIG_PV=y\n# CONFIG_PV32 is not set\n");
        assert!(without.lacks(Pv32pae).unwrap().contains("CONFIG_PV32=n"));
        assert_eq!((without.lacks(Pv64), without.lacks(Hvm32)), (None, None));
        assert_eq!(configured("CONFIG_PV=y\nCONFIG_PV32=y\n").lacks(Pv32pae), None);
        // Before 4.14 there is no such option, nor a configuration to look at.
        let (pv, pvh) = ("*** Building a PV Dom%d ***", "*** Building a PVH Dom%d ***");
        assert_eq!(of(&[pv, pvh]).lacks(Pv32pae), None);
        assert!(of(&[pvh]).lacks(Pv32pae).unwrap().contains("CONFIG_PV=n"));
        for place in [Hvm32, Hvm32pse, Hvm32pae] {
            assert!(of(&[pv]).lacks(place).unwrap().contains("CONFIG_HVM=n"));
        }
    }

    #[test]
    fn a_command_line_that_cannot_be_changed() {
        let of = configured;
        let fixed = of("CONFIG_CMDLINE=\"console=vga x\"\nCONFIG_CMDLINE_OVERRIDE=y\n");
        for place in [Pv64, Pvh64] {
            let why = fixed.lacks(place).unwrap();
            assert!(why.ends_with("CONFIG_CMDLINE=\"console=vga x\""), "{why}");
        }
        let added = of("CONFIG_CMDLINE=\"x\"\n# CONFIG_CMDLINE_OVERRIDE is not set\n");
        assert_eq!(added.lacks(Pv64), None);
        assert_eq!(of("CONFIG_CMDLINE=\"\"\n").lacks(Pv64), None);
    }
}

//! From the sysctl interface version to the structures in use.

use core::fmt;
use core::ops::RangeInclusive;

/// `XEN_SYSCTL_INTERFACE_VERSION` of a hypervisor: stated in every sysctl, EACCES if it differs.
///
/// Each Xen release has one, point releases never change it:
///
/// | Xen | 4.8 | 4.9 | 4.10 | 4.11 | 4.12, 4.13 | 4.14, 4.15 | 4.16 | 4.17 – 4.20 | 4.21 – |
/// |---|---|---|---|---|---|---|---|---|---|
/// | version | 0x0E | 0x0F | 0x10 | 0x11 | 0x12 | 0x13 | 0x14 | 0x15 | 0x16 |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SysctlVersion(pub u32);

impl SysctlVersion {
    /// Xen 4.8, the first release that has live patching.
    pub const FIRST: Self = Self(0x0E);
    /// Xen 4.21 to 4.23, the newest layout that this crate knows.
    pub const NEWEST_KNOWN: Self = Self(0x16);
    /// The raw values of the known versions, for probing: each wrong one answers EACCES.
    pub const KNOWN: RangeInclusive<u32> = Self::FIRST.0..=Self::NEWEST_KNOWN.0;
}

impl fmt::Display for SysctlVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x}", self.0)
    }
}

/// One set of structures of the livepatch sysctl.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Revision {
    /// Xen 4.8 to 4.13: LIST has fixed name slots and no metadata, ACTION has no flags.
    V1,
    /// Xen 4.14 to 4.20: LIST packs names and metadata, ACTION has flags.
    V2,
    /// Xen 4.21 and later: as [`Revision::V2`], but LIST also takes the sizes of the name and
    /// metadata buffers and refuses to go beyond them (ENOBUFS).
    V2Sized,
}

/// A [`Revision`] and whether it is certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The structures to use.
    pub revision: Revision,
    /// False for a version newer than this crate: the newest layout is then a guess, and
    /// whatever is found with it should say so.
    pub known: bool,
}

impl Revision {
    /// The structures for `version`; `None` where Xen has no live patching yet.
    pub const fn for_version(version: SysctlVersion) -> Option<Layout> {
        let revision = match version.0 {
            0..0x0E => return None,
            0x0E..=0x12 => Self::V1,
            0x13..=0x15 => Self::V2,
            0x16.. => Self::V2Sized,
        };
        Some(Layout { revision, known: version.0 <= SysctlVersion::NEWEST_KNOWN.0 })
    }

    /// True if ACTION has `flags` and `pad`, and LIST has metadata and total sizes (4.14+).
    pub const fn has_metadata_and_flags(self) -> bool {
        !matches!(self, Self::V1)
    }

    /// True if LIST's total sizes are also inputs that bound what Xen writes (4.21+).
    pub const fn list_is_bounded(self) -> bool {
        matches!(self, Self::V2Sized)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(version: u32) -> Option<(Revision, bool)> {
        Revision::for_version(SysctlVersion(version)).map(|l| (l.revision, l.known))
    }

    #[test]
    fn every_release_has_its_revision() {
        assert_eq!(revision(0x0D), None);
        for version in 0x0E..=0x12 {
            assert_eq!(revision(version), Some((Revision::V1, true)));
        }
        for version in 0x13..=0x15 {
            assert_eq!(revision(version), Some((Revision::V2, true)));
        }
        assert_eq!(revision(0x16), Some((Revision::V2Sized, true)));
    }

    #[test]
    fn an_unknown_version_gets_the_newest_layout_and_says_so() {
        assert_eq!(revision(0x17), Some((Revision::V2Sized, false)));
        assert_eq!(revision(u32::MAX), Some((Revision::V2Sized, false)));
    }
}

//! Releases of Xen, as far as behaviour differs between them.

use core::fmt;

/// A release of Xen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// 4.
    pub major: u16,
    /// 17, say.
    pub minor: u16,
    /// The point release on that branch; 0 for the first one and for development versions.
    pub point: u16,
}

/// The first release of a branch; shorthand for tests, which name many.
pub const fn release(major: u16, minor: u16) -> Release {
    Release { major, minor, point: 0 }
}

/// A point release.
pub const fn point_release(major: u16, minor: u16, point: u16) -> Release {
    Release { major, minor, point }
}

impl Release {
    /// Whether a change is in: on master from `first` on, on older branches from a point release
    /// in `backports` on.
    pub fn has(self, first: Release, backports: &[Release]) -> bool {
        let same_branch = |other: &Release| (self.major, self.minor) == (other.major, other.minor);
        self >= first || backports.iter().any(|port| same_branch(port) && self >= *port)
    }

    /// Reads the point release off Xen's extra version: `.7`, `.7+deb`, `-rc1`, `-unstable`.
    pub fn parse(major: u16, minor: u16, extraversion: &str) -> Self {
        let digits = extraversion.strip_prefix('.').unwrap_or("");
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        Release { major, minor, point: digits[..end].parse().unwrap_or(0) }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.point)
    }
}

impl fmt::Debug for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

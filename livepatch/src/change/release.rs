//! Releases of Xen, as they name themselves.

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

impl Release {
    /// Release 4.`minor`.`point`.
    pub const fn four(minor: u16, point: u16) -> Self {
        Self { major: 4, minor, point }
    }

    /// Whether both are point releases of one branch.
    pub const fn shares_branch(self, other: Self) -> bool {
        self.major == other.major && self.minor == other.minor
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

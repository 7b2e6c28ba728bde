//! What an image says about its tests: the words in the section [`crate::image::META`].
//!
//! Each line is a JSON object that describes one test. Its strings for environments, categories and
//! needs are the names that the types here have.

use core::fmt;

/// A kind of guest, in XTF's terms.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(
    feature = "host",
    derive(clap::ValueEnum, serde::Deserialize, serde::Serialize, schemars::JsonSchema),
    serde(rename_all = "kebab-case")
)]
pub enum Environment {
    /// PV: ring 3, page tables checked by Xen.
    Pv64,
    /// PVH: hardware-assisted without emulated devices.
    Pvh64,
    /// HVM: hardware-assisted with a device model; domU only.
    Hvm64,
    /// 32-bit PV: ring 1, three levels of page tables checked by Xen.
    Pv32pae,
    /// 32 bits, hardware-assisted, without paging; a dom0 is PVH.
    Hvm32,
    /// 32 bits, hardware-assisted, with two levels of page tables (PSE).
    Hvm32pse,
    /// 32 bits, hardware-assisted, with three levels of page tables (PAE).
    Hvm32pae,
}

impl Environment {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Pv64,
        Self::Pvh64,
        Self::Hvm64,
        Self::Pv32pae,
        Self::Hvm32,
        Self::Hvm32pse,
        Self::Hvm32pae,
    ];

    /// Those in which an image can be dom0.
    pub const DOM0: [Self; 6] =
        [Self::Pv64, Self::Pvh64, Self::Pv32pae, Self::Hvm32, Self::Hvm32pse, Self::Hvm32pae];

    /// Those of the 64-bit image.
    pub const WIDE: [Self; 3] = [Self::Pv64, Self::Pvh64, Self::Hvm64];

    /// Those of the 64-bit image as dom0: where tests run unless others are named.
    pub const WIDE_DOM0: [Self; 2] = [Self::Pv64, Self::Pvh64];

    /// The name in metadata and selections.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pv64 => "pv64",
            Self::Pvh64 => "pvh64",
            Self::Hvm64 => "hvm64",
            Self::Pv32pae => "pv32pae",
            Self::Hvm32 => "hvm32",
            Self::Hvm32pse => "hvm32pse",
            Self::Hvm32pae => "hvm32pae",
        }
    }

    /// What the guest calls it on its console ([`crate::console::ENVIRONMENT`]). That of a 64-bit
    /// guest stands in front of its paging mode, of which there is but one.
    pub const fn banner(self) -> &'static str {
        match self {
            Self::Pv64 => "PV 64bit",
            Self::Pvh64 => "PVH 64bit",
            Self::Hvm64 => "HVM 64bit",
            Self::Pv32pae => "PV 32bit (PAE 3 levels)",
            Self::Hvm32 => "HVM 32bit (No paging)",
            Self::Hvm32pse => "HVM 32bit (PSE 2 levels)",
            Self::Hvm32pae => "HVM 32bit (PAE 3 levels)",
        }
    }

    /// Whether the guest has 32 bits, and so an image of its own.
    pub const fn is_32bit(self) -> bool {
        matches!(self, Self::Pv32pae | Self::Hvm32 | Self::Hvm32pse | Self::Hvm32pae)
    }

    /// Whether the guest has page tables: without them there are no page faults, and no page is
    /// read-only.
    pub const fn has_paging(self) -> bool {
        !matches!(self, Self::Hvm32)
    }

    /// Whether the guest runs on hardware page tables of its own (PVH or HVM).
    pub const fn is_hvm(self) -> bool {
        !matches!(self, Self::Pv64 | Self::Pv32pae)
    }
}

/// XTF's form: the banner and, in parentheses, the paging mode.
impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.banner())?;
        if self.is_32bit() { Ok(()) } else { f.write_str(" (Long mode 4 levels)") }
    }
}

/// What a test is for, in XTF's terms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(
    feature = "host",
    derive(clap::ValueEnum, serde::Deserialize, serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum Category {
    /// Checks an interface; expected to pass everywhere.
    Functional,
    /// Checks that a security advisory is fixed.
    Xsa,
    /// Tells something about the machine or the framework.
    Utility,
    /// Runs only when named.
    Special,
    /// Not finished, or known to harm some hypervisors.
    InDevelopment,
}

impl Category {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Functional, Self::Xsa, Self::Utility, Self::Special, Self::InDevelopment];

    /// XTF's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Functional => "functional",
            Self::Xsa => "xsa",
            Self::Utility => "utility",
            Self::Special => "special",
            Self::InDevelopment => "in-development",
        }
    }
}

/// What a test cannot do without; where it is missing the test is skipped, and says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(
    feature = "host",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum Need {
    /// Being the control domain.
    Privileged,
    /// Not being it: what Xen refuses everybody else.
    Unprivileged,
    /// A Xen built with livepatching, whose sysctl interface version was found.
    Livepatch,
    /// [Payloads](crate::payloads) that were handed over: the test takes them through their life.
    Payloads,
}

impl Need {
    /// The name in the metadata.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Unprivileged => "unprivileged",
            Self::Livepatch => "livepatch",
            Self::Payloads => "payloads",
        }
    }
}

/// Whether `name` can be a test's: it ends up in comma-separated lists, boot command lines and file
/// names, so it has ASCII letters, digits and any of `-_.~+`, and is not empty.
pub const fn is_test_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        let byte = bytes[i];
        if !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'_' | b'.' | b'~' | b'+') {
            return false;
        }
        i += 1;
    }
    !bytes.is_empty()
}

#[cfg(test)]
mod tests {
    use super::is_test_name;

    #[test]
    fn names_of_tests() {
        for good in ["a", "livepatch-list", "xsa_1.2~rc+1"] {
            assert!(is_test_name(good), "{good}");
        }
        for bad in ["", "a b", "a,b", "a/b", "a*", "a?", "!a", "\u{e4}", "a\"", "a\\"] {
            assert!(!is_test_name(bad), "{bad}");
        }
    }
}

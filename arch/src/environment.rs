//! Which kind of guest the image woke up as: a fact found at run time.

use core::fmt;

/// A kind of guest, in XTF's terms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Environment {
    /// Paravirtualised: ring 3, page tables checked by Xen.
    Pv64,
    /// Hardware-assisted without emulated devices.
    Pvh64,
    /// Hardware-assisted with a device model.
    Hvm64,
}

impl Environment {
    /// The name by which tests and selections refer to it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pv64 => "pv64",
            Self::Pvh64 => "pvh64",
            Self::Hvm64 => "hvm64",
        }
    }

    /// Whether the guest runs on hardware page tables of its own (PVH or HVM).
    pub const fn is_hvm(self) -> bool {
        !matches!(self, Self::Pv64)
    }
}

/// XTF's banner form.
impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Pv64 => "PV",
            Self::Pvh64 => "PVH",
            Self::Hvm64 => "HVM",
        };
        write!(f, "{kind} 64bit (Long mode 4 levels)")
    }
}

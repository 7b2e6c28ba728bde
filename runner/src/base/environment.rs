//! The kinds of guest that the image can be, as users and results name them.

use clap::ValueEnum;
use protocol::metadata;
use serde::{Deserialize, Serialize};

/// Kinds of guest: dom0 with the backend `qemu`, domU with the others.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Deserialize,
    Serialize,
    ValueEnum,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// PV
    Pv64,
    /// PVH
    Pvh64,
    /// HVM; domU only
    Hvm64,
}

impl Environment {
    /// Those in which the image can be dom0.
    pub const DOM0: [Environment; 2] = [Environment::Pv64, Environment::Pvh64];

    /// The same environment, as the guest knows it.
    fn of_guest(self) -> metadata::Environment {
        match self {
            Environment::Pv64 => metadata::Environment::Pv64,
            Environment::Pvh64 => metadata::Environment::Pvh64,
            Environment::Hvm64 => metadata::Environment::Hvm64,
        }
    }

    /// The name in selections and metadata.
    pub fn name(self) -> &'static str {
        self.of_guest().name()
    }

    /// What the guest calls it on its console.
    pub fn banner(self) -> &'static str {
        self.of_guest().banner()
    }
}

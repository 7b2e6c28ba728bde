//! How Xen gets into memory: what stands between the machine's power on and Xen's first instruction.

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What loads Xen.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Deserialize,
    Serialize,
    JsonSchema,
    ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Loader {
    /// QEMU itself, by multiboot: takes a xen or xen.gz
    #[default]
    Direct,
    /// UEFI firmware (OVMF), as it does on a PC: takes a xen.efi
    Efi,
    /// GRUB on a USB stick, by multiboot2, from a BIOS: takes a xen or xen.gz
    Grub,
    /// The same from UEFI firmware (OVMF)
    GrubEfi,
}

impl Loader {
    /// As options, files and reports call it.
    pub fn name(self) -> &'static str {
        match self {
            Loader::Direct => "direct",
            Loader::Efi => "efi",
            Loader::Grub => "grub",
            Loader::GrubEfi => "grub-efi",
        }
    }

    /// Whether it takes Xen as an EFI application, and not as an ELF file.
    pub fn takes_efi(self) -> bool {
        self == Loader::Efi
    }
}

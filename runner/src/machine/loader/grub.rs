//! GRUB loads Xen, from a USB stick, as on a PC: on a BIOS or on UEFI firmware.
//!
//! The boot's folder gets a `grub.cfg` and the stick's contents, of GRUB's own files and of what the
//! links of the boot lead to.

use super::firmware::{self, Firmware};
use super::{BootFile, Cargo, Loading};
use crate::base::exit::Result;
use crate::machine::grub;
use crate::machine::grub::config::{Entry, at_once};
use crate::machine::logs::{IMAGE_LINK, INITRD_LINK, XEN_LINK, module_links};
use crate::machine::serial::Serial;

/// The stick.
const STICK: &str = "stick.iso";
/// GRUB's configuration in the boot's folder.
const CONFIGURATION: &str = "grub.cfg";

/// Memory that firmware keeps for itself, or leaves in pieces, in MiB.
const FIRMWARE_MIB: u32 = 64;

/// For a BIOS, or for `firmware`.
pub(super) fn loading(cargo: &Cargo<'_>, firmware: Option<&Firmware>) -> Result<Loading> {
    grub::check_tools()?;
    let on_stick = |link: &str| format!("/boot/{link}");
    let initrd = cargo.initrd.then(|| INITRD_LINK.to_owned());
    let modules = module_links(cargo.modules).map(|(_, link)| link);
    let modules: Vec<String> = initrd.into_iter().chain(modules).collect();
    let entry = Entry {
        protocol: cargo.protocol,
        xen: on_stick(XEN_LINK),
        xen_cmdline: cargo.xen_cmdline.to_owned(),
        guest: on_stick(IMAGE_LINK),
        guest_cmdline: cargo.guest_cmdline.to_owned(),
        modules: modules.iter().map(|link| on_stick(link)).collect(),
    };
    let lines = at_once(&entry, &Serial::FIRST)?;

    let links = [XEN_LINK, IMAGE_LINK].map(str::to_owned).into_iter().chain(modules);
    let mut contents: grub::Contents =
        links.map(|link| (on_stick(&link).trim_start_matches('/').to_owned(), link)).collect();
    contents.push((grub::CONFIGURATION.into(), CONFIGURATION.into()));

    let mut files = firmware.map(Firmware::files).unwrap_or_default();
    files.push(BootFile::Text { at: CONFIGURATION.into(), lines });
    files.push(BootFile::Medium { at: STICK.into(), contents });

    let mut args = firmware.map(Firmware::args).unwrap_or_default();
    let drive = format!("if=none,id=stick,format=raw,readonly=on,file={STICK}");
    let device = "usb-storage,drive=stick,bootindex=0";
    let own = ["-drive", &drive, "-device", "qemu-xhci", "-device", device];
    args.extend(own.map(String::from));
    let chipset = firmware.map(|_| firmware::CHIPSET);
    let memory_mib = firmware.map_or(0, |_| FIRMWARE_MIB);
    Ok(Loading { chipset, memory_mib, args, files })
}

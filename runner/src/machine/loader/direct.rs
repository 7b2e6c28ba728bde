//! QEMU itself loads Xen by multiboot.

use super::{Cargo, Loading};
use crate::machine::logs::{IMAGE_LINK, INITRD_LINK, XEN_LINK, module_links};

pub(super) fn loading(cargo: &Cargo<'_>) -> Loading {
    // A single comma separates modules.
    let mut module = format!("{IMAGE_LINK} {}", cargo.guest_cmdline.replace(',', ",,"));
    if cargo.initrd {
        module += ",";
        module += INITRD_LINK;
    }
    for (_, link) in module_links(cargo.modules) {
        module += ",";
        module += &link;
    }
    let args = ["-kernel", XEN_LINK, "-append", cargo.xen_cmdline, "-initrd", &module];
    Loading {
        chipset: None,
        memory_mib: 0,
        args: args.map(String::from).to_vec(),
        files: Vec::new(),
    }
}

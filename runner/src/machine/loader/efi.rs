//! UEFI firmware loads Xen as an EFI application, as it does on a PC.
//!
//! The boot's folder gets an EFI system partition: a folder that QEMU shows to the machine as a
//! read-only disk with a FAT file system. Xen's own EFI loader reads `BOOTX64.cfg` in it, which
//! names the guest and what else Xen gets (xen/common/efi/boot.c, docs/misc/efi.pandoc).

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::firmware::{self, Firmware};
use super::{BootFile, Cargo, Loading};
use crate::base::exit::{Error, Result};
use crate::machine::logs::{IMAGE_LINK, INITRD_LINK, XEN_LINK, module_links};

/// The folder that the machine sees as a disk.
const DISK: &str = "esp";
/// Where firmware looks for what to boot, on a disk that it does not know.
const FOLDER: &str = "esp/EFI/BOOT";
/// From there to the boot's folder.
const UP: &str = "../../..";
/// What firmware boots; Xen's loader reads the file of the same name with `.cfg`.
const APPLICATION: &str = "BOOTX64.EFI";
const CONFIGURATION: &str = "BOOTX64.cfg";
/// The name of the only section in it.
const SECTION: &str = "xtf";
/// Memory is added in such steps, so that machines for similar Xens are alike.
const MEMORY_STEP: u64 = 64 << 20;
/// How a policy for FLASK begins (XSM_MAGIC in xen/include/xsm/xsm.h).
const POLICY_MAGIC: [u8; 4] = 0xf97c_ff8c_u32.to_le_bytes();

pub(super) fn loading(cargo: &Cargo<'_>, firmware: &Firmware) -> Result<Loading> {
    let mut args = firmware.args();
    let mut add = |more: [&str; 2]| args.extend(more.map(String::from));
    add(["-drive", &format!("if=none,id=esp,format=raw,readonly=on,file=fat:{DISK}")]);
    // Before a network card or whatever else is added.
    add(["-device", "virtio-blk-pci,drive=esp,bootindex=0"]);

    let mut files = firmware.files();
    files.push(link(APPLICATION, XEN_LINK));
    files.push(link(IMAGE_LINK, IMAGE_LINK));
    if cargo.initrd {
        files.push(link(INITRD_LINK, INITRD_LINK));
    }
    for (_, name) in module_links(cargo.modules) {
        files.push(link(&name, &name));
    }
    let at = format!("{FOLDER}/{CONFIGURATION}");
    files.push(BootFile::Text { at, lines: configuration(cargo)? });
    let memory_mib =
        memory_mib(cargo.xen.and_then(|xen| xen.metadata().ok()).map_or(0, |xen| xen.len()));
    Ok(Loading { chipset: Some(firmware::CHIPSET), memory_mib, args, files })
}

/// Memory for a Xen whose file has so many bytes: firmware reads the file before it copies what is
/// to be loaded of it, and one with debug information has ten times that.
fn memory_mib(file: u64) -> u32 {
    let steps = u32::try_from(file.div_ceil(MEMORY_STEP)).unwrap_or(u32::MAX);
    steps.saturating_mul((MEMORY_STEP >> 20) as u32)
}

/// A link on the disk to one in the boot's folder.
fn link(name: &str, to: &str) -> BootFile {
    BootFile::Link { at: format!("{FOLDER}/{name}"), to: Path::new(UP).join(to) }
}

/// The lines of the file that Xen's loader reads.
fn configuration(cargo: &Cargo<'_>) -> Result<Vec<String>> {
    check("Xen's command line", cargo.xen_cmdline)?;
    check("the guest's command line", cargo.guest_cmdline)?;
    let mut lines = vec![
        "[global]".into(),
        format!("default={SECTION}"),
        format!("[{SECTION}]"),
        format!("options={}", cargo.xen_cmdline),
        format!("kernel={IMAGE_LINK} {}", cargo.guest_cmdline),
    ];
    let mut taken: Vec<&str> = Vec::new();
    let initrd = cargo.initrd.then(|| ("ramdisk", INITRD_LINK.to_owned()));
    let modules = module_links(cargo.modules);
    let modules = (1..).zip(modules).map(|(number, (path, link))| {
        let key = if is_policy(path) {
            "xsm"
        } else if names_microcode(cargo.xen_cmdline, number) {
            "ucode"
        } else {
            "ramdisk"
        };
        (key, link, path.display().to_string())
    });
    let initrd = initrd.map(|(key, link)| (key, link.clone(), link));
    for (key, link, name) in initrd.into_iter().chain(modules) {
        if taken.contains(&key) {
            return Err(Error::Usage(format!(
                "{name} of `modules` has no place: Xen's EFI loader takes one FLASK policy \
                 (`xsm=`), one file of microcode (`ucode=`, the module that `ucode=N` names in \
                 `cmdline`) and one more (`ramdisk=`), and has its `{key}=` already; leave one \
                 out, or use --loader direct"
            )));
        }
        taken.push(key);
        lines.push(format!("{key}={link}"));
    }
    Ok(lines)
}

/// Refuses what Xen's loader would not read as it stands.
fn check(what: &str, line: &str) -> Result<()> {
    let Some(wrong) = line.chars().find(|&c| c == '#' || !(' '..='~').contains(&c)) else {
        return Ok(());
    };
    let why = match wrong {
        '#' => "`#`, where Xen's EFI loader begins a comment".to_owned(),
        other => format!("{other:?}, and the file of Xen's EFI loader holds lines of ASCII"),
    };
    Err(Error::Usage(format!("{what} holds {why}; leave it out, or use --loader direct: {line}")))
}

/// Whether the module at `path` is a policy for FLASK: without a file that can be read it is none,
/// and somebody else complains.
fn is_policy(path: &Path) -> bool {
    let mut start = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == POLICY_MAGIC
}

/// Whether Xen is told that its module `number` is microcode.
fn names_microcode(xen_cmdline: &str, number: usize) -> bool {
    let mut words = xen_cmdline.split_whitespace();
    words.any(|word| word.strip_prefix("ucode=") == Some(&number.to_string()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::machine::grub::config::Protocol;

    fn cargo<'a>(xen: &'a str, guest: &'a str, modules: &'a [PathBuf]) -> Cargo<'a> {
        Cargo {
            xen: None,
            xen_cmdline: xen,
            protocol: Protocol::Multiboot2,
            guest_cmdline: guest,
            initrd: false,
            modules,
            firmware: None,
        }
    }

    #[test]
    fn the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let policy = dir.path().join("policy");
        std::fs::write(&policy, [&POLICY_MAGIC[..], b"XenFlask"].concat()).unwrap();
        let modules = [policy, "/gone/ucode.bin".into(), "/gone/other".into()];
        let cargo = cargo("console=com1 ucode=2", "tests=a,b exit=reboot", &modules);
        assert_eq!(
            configuration(&cargo).unwrap(),
            [
                "[global]",
                "default=xtf",
                "[xtf]",
                "options=console=com1 ucode=2",
                "kernel=xtf tests=a,b exit=reboot",
                "xsm=module-1",
                "ucode=module-2",
                "ramdisk=module-3",
            ]
        );
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        let why = |cargo: &Cargo<'_>| configuration(cargo).unwrap_err().to_string();
        assert!(why(&cargo("a#b", "", &[])).starts_with("Xen's command line holds `#`"));
        assert!(why(&cargo("", "a\tb", &[])).starts_with("the guest's command line holds '\\t'"));
        assert!(why(&cargo("", "ä", &[])).contains("lines of ASCII"));
        let modules = ["/gone/a".into(), "/gone/b".into()];
        let two = why(&cargo("", "", &modules));
        assert!(two.starts_with("/gone/b of `modules` has no place"), "{two}");
        let with_initrd = Cargo { initrd: true, ..cargo("", "", &modules[..1]) };
        assert!(why(&with_initrd).starts_with("/gone/a of `modules` has no place"));
    }
}

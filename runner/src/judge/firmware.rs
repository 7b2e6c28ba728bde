//! Recognises that UEFI firmware could not boot Xen, or got it back from Xen's own EFI loader, and
//! that GRUB could not load it.
//!
//! EDK II's boot manager (MdeModulePkg/Universal/BdsDxe) says what it loads, and why it failed.
//! When nothing is left, it starts an application of its own, its setup or its shell, which waits
//! for a person, or waits itself (Debian's ovmf 2026.08). An exception of the CPU that nobody handles
//! ends in a dump, and nothing comes after that (UefiCpuPkg/Library/CpuExceptionHandlerLib).

/// How the boot manager's lines begin.
const MANAGER: &str = "BdsDxe: ";
/// How the one begins that says what comes next.
const LOADS: &str = "BdsDxe: loading ";
/// What it says when it does not know what else to load, and waits for a key.
const NOTHING_LEFT: &str = "BdsDxe: No bootable option or device was found.";
/// What GRUB says on a medium of ours when it could not load what it was to load.
pub const GRUB_GIVES_UP: &str = "GRUB cannot boot this Xen.";
/// What comes from the firmware's own volume.
const OWN: &str = " from Fv(";
/// How the first line of a dump begins, and its last one, which has the word in it.
const DUMP: &str = "!!!! ";
const LAST_OF_DUMP: &str = "image";
/// Who gave up.
const FIRMWARE: &str = "the firmware could not start Xen, or got back from it";
const GRUB: &str = "GRUB could not load Xen or what belongs to it";

/// Follows what is said before Xen has a console.
#[derive(Debug, Default)]
pub struct FirmwareWatch {
    /// The last line that may tell why Xen was not started.
    last: Option<String>,
    /// The first line of a dump.
    dump: Option<String>,
    /// Who could not do it, in words.
    gave_up: Option<&'static str>,
}

impl FirmwareWatch {
    /// Takes a line that is not Xen's.
    pub fn line(&mut self, line: &str) {
        let line = line.trim();
        if self.gave_up.is_some() || line.is_empty() {
            return;
        }
        if line == GRUB_GIVES_UP {
            self.gave_up = Some(GRUB);
        } else if line.contains(NOTHING_LEFT)
            || (line.starts_with(DUMP) && line.contains(LAST_OF_DUMP))
        {
            self.gave_up = Some(FIRMWARE);
        } else if line.starts_with(DUMP) {
            self.dump = Some(line.to_owned());
        } else if line.contains(LOADS) {
            self.gave_up = line.contains(OWN).then_some(FIRMWARE);
        } else if !line.contains(MANAGER) || line.contains("failed") {
            self.last = Some(line.to_owned());
        }
    }

    /// Why Xen was not started, if the firmware gave up.
    pub fn gave_up(&self) -> Option<String> {
        let said = self.dump.as_deref().or(self.last.as_deref()).unwrap_or("it says no more");
        self.gave_up.map(|who| format!("{who}: {said}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lines: &[&str]) -> Option<String> {
        let mut watch = FirmwareWatch::default();
        lines.iter().for_each(|line| watch.line(line));
        watch.gave_up()
    }

    const LOADING: &str =
        "BdsDxe: loading Boot0001 \"UEFI Misc Device\" from PciRoot(0x0)/Pci(0x1,0x0)";
    const SETUP: &str = "BdsDxe: loading Boot0000 \"UiApp\" from Fv(7CB8BDC9-F8EB-4F34-AAEA-3EE4AF6516A1)/FvFile(46)";

    #[test]
    fn a_boot_is_no_reason() {
        let starting = LOADING.replace("loading", "starting");
        let lines =
            [LOADING, &starting, "Xen 4.17.7 (c/s ) EFI loader", "Using configuration file"];
        assert_eq!(after(&lines), None);
        // The next device may do.
        assert_eq!(after(&[&LOADING.replace("loading", "failed to load"), LOADING]), None);
    }

    #[test]
    fn grub_tells_why_as_well() {
        let why = after(&["error: file `/boot/xtf' not found.", GRUB_GIVES_UP]);
        assert!(why.unwrap().ends_with("error: file `/boot/xtf' not found."));
    }

    #[test]
    fn the_last_words_before_it_gave_up_tell_why() {
        let starting = LOADING.replace("loading", "starting");
        let failed = "Open failed for xtf: Not found";
        let why = after(&[LOADING, &starting, "Xen 4.17.7 (c/s ) EFI loader", failed, SETUP]);
        assert!(why.unwrap().ends_with(failed));
        let failed = format!("{}: Out of Resources", LOADING.replace("loading", "failed to load"));
        let why = after(&[LOADING, &failed, SETUP, "", "Shell> "]);
        assert!(why.unwrap().ends_with(&failed));
        let nothing = ["BdsDxe: No bootable option or device was found.", "BdsDxe: Press any key"];
        let why = after(&[LOADING, &failed, nothing[0], nothing[1]]);
        assert!(why.unwrap().ends_with(&failed));
        let fault = "!!!! X64 Exception Type - 0E(#PF - Page-Fault)  CPU Apic ID - 00000000 !!!!";
        let registers = "RIP  - 0000000004D9495D, CS  - 0000000000000038";
        assert_eq!(after(&[LOADING, fault, registers]), None);
        let found = "!!!! Find image based on IP(0x4D9495D)  (ImageBase=0000000004C00000) !!!!";
        assert!(after(&[LOADING, fault, registers, found]).unwrap().ends_with(fault));
    }
}

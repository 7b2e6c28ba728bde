//! Recognises that UEFI firmware could not boot Xen, or got it back from Xen's own EFI loader.
//!
//! EDK II's boot manager (MdeModulePkg/Universal/BdsDxe) says what it loads, and why it failed.
//! When nothing is left, it starts an application of its own, its setup or its shell, which waits
//! for a person.

/// How the boot manager's lines begin.
const MANAGER: &str = "BdsDxe: ";
/// How the one begins that says what comes next.
const LOADS: &str = "BdsDxe: loading ";
/// What comes from the firmware's own volume.
const OWN: &str = " from Fv(";

/// Follows what is said before Xen has a console.
#[derive(Debug, Default)]
pub struct FirmwareWatch {
    /// The last line that may tell why Xen was not started.
    last: Option<String>,
    gave_up: bool,
}

impl FirmwareWatch {
    /// Takes a line that is not Xen's.
    pub fn line(&mut self, line: &str) {
        let line = line.trim();
        if self.gave_up || line.is_empty() {
            return;
        }
        if line.contains(LOADS) {
            self.gave_up = line.contains(OWN);
        } else if !line.contains(MANAGER) || line.contains("failed") {
            self.last = Some(line.to_owned());
        }
    }

    /// Why Xen was not started, if the firmware gave up.
    pub fn gave_up(&self) -> Option<String> {
        let said = self.last.as_deref().unwrap_or("it says no more");
        self.gave_up
            .then(|| format!("the firmware could not start Xen, or got back from it: {said}"))
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
    fn the_last_words_before_it_gave_up_tell_why() {
        let starting = LOADING.replace("loading", "starting");
        let failed = "Open failed for xtf: Not found";
        let why = after(&[LOADING, &starting, "Xen 4.17.7 (c/s ) EFI loader", failed, SETUP]);
        assert!(why.unwrap().ends_with(failed));
        let failed = format!("{}: Out of Resources", LOADING.replace("loading", "failed to load"));
        let why = after(&[LOADING, &failed, SETUP, "", "Shell> "]);
        assert!(why.unwrap().ends_with(&failed));
    }
}

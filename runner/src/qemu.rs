//! The backend that boots Xen under QEMU with the image as dom0: its exact command.
//!
//! A command refers to `xen` and `xtf` in its working directory, so that no path of the user's has
//! to survive QEMU's comma and space syntax.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use crate::cli::{Accel, BootMode, Environment};
use crate::exit::{Error, Result};
use crate::plan::Boot;
use crate::process::Tool;

/// Name of the link to Xen in a boot's folder.
pub const XEN_LINK: &str = "xen";
/// Name of the link to the image in a boot's folder.
pub const IMAGE_LINK: &str = "xtf";

/// What every boot of a run has in common.
#[derive(Clone, Debug)]
pub struct Qemu {
    /// The program.
    pub binary: PathBuf,
    /// `--accel`
    pub accel: Accel,
    /// `--boot`
    pub mode: BootMode,
    /// Further arguments for the guest.
    pub guest_cmdline: String,
    /// Further arguments for Xen.
    pub xen_cmdline: String,
}

/// A command that is ready to run, in a folder with the two links.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

impl Qemu {
    /// Checks that QEMU and the accelerator are there; returns QEMU's own description.
    pub fn probe(&self) -> Result<String> {
        let text = Tool::new(&self.binary).arg("--version").run().map_err(|e| {
            Error::Tool(format!("{e}; install qemu-system-x86, or name QEMU with --qemu PATH"))
        })?;
        if self.accel == Accel::Kvm {
            OpenOptions::new().read(true).write(true).open("/dev/kvm").map_err(|e| {
                Error::Tool(format!(
                    "--accel kvm, but /dev/kvm can't be used: {e}; try --accel tcg"
                ))
            })?;
        }
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }

    /// The command for `boot`, whose Xen wants `own_cmdline`.
    pub fn invocation(&self, boot: &Boot<'_>, own_cmdline: &str) -> Invocation {
        let pvh = boot.environment == Environment::Pvh64;
        let kvm = self.accel == Accel::Kvm;
        let mut args: Vec<String> = Vec::new();
        let mut add = |words: &[&str]| args.extend(words.iter().map(|word| (*word).to_owned()));

        add(&["-no-user-config", "-nodefaults", "-display", "none", "-monitor", "none"]);
        add(&["-serial", "stdio", "-no-reboot", "-machine", "pc"]);
        add(&["-accel", if kvm { "kvm" } else { "tcg" }]);
        add(&["-m", if pvh { "256" } else { "128" }, "-smp", &boot.vcpus.to_string()]);
        if kvm {
            add(&["-cpu", "host"]);
        } else if pvh {
            // SVM, for the PVH dom0; Xen's idle loop dies on the emulated MWAIT.
            add(&["-cpu", "EPYC,-monitor"]);
        }
        if self.mode == BootMode::Fast && !kvm && boot.vcpus == 1 {
            // Time advances with instructions and skips idle waits. An instruction takes 2^shift
            // ns: larger shifts hardly boot faster, and under emulated SVM, where a hypercall is
            // long, they leave Xen with a timer pending whenever it looks, so that LIST never
            // gets beyond its first entry.
            add(&["-icount", "shift=6,sleep=off", "-rtc", "clock=vm"]);
        }

        // Every word of Xen's costs about 15 ms of a boot and is often the only evidence. Xen
        // drops output, the guest's included, when its buffer runs full; the default of 16 KiB
        // does not hold what it has to say about a few thousand refused payloads.
        let mut xen = vec!["console=com1", "serial_tx_buffer=1M", "bootscrub=0"];
        xen.extend(["loglvl=all", "guest_loglvl=all"]);
        if pvh {
            xen.extend(["dom0=pvh", "dom0-iommu=none"]);
        }
        xen.extend([own_cmdline, &self.xen_cmdline]);
        let xen = join(xen);

        let tests: Vec<&str> = boot.tests.iter().map(|test| test.name.as_str()).collect();
        let tests = format!("tests={}", tests.join(","));
        let module = join(vec![IMAGE_LINK, &tests, "exit=reboot", &self.guest_cmdline]);
        // A single comma separates modules.
        let module = module.replace(',', ",,");
        add(&["-kernel", XEN_LINK, "-append", &xen, "-initrd", &module]);
        Invocation { program: self.binary.clone(), args }
    }
}

fn join(words: Vec<&str>) -> String {
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

impl Invocation {
    /// The command as a line for a shell.
    pub fn shell(&self) -> String {
        let program = self.program.to_string_lossy();
        let words = std::iter::once(program.as_ref()).chain(self.args.iter().map(String::as_str));
        words.map(quote).collect::<Vec<_>>().join(" ")
    }

    /// A shell line that works from anywhere, with a folder of its own for the two links.
    pub fn shell_anywhere(&self, xen: &Path, image: &Path) -> String {
        format!(
            "( cd \"$(mktemp -d)\" && ln -s {} {XEN_LINK} && ln -s {} {IMAGE_LINK} && {} )",
            quote(&xen.to_string_lossy()),
            quote(&image.to_string_lossy()),
            self.shell()
        )
    }
}

fn quote(word: &str) -> String {
    // Only a NUL can't be quoted, and no argument of a process holds one.
    shlex::try_quote(word).map_or_else(|_| word.replace('\0', ""), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Category, TestMeta};

    fn command(environment: Environment, vcpus: u32, accel: Accel, mode: BootMode) -> String {
        let test = |name: &str| TestMeta {
            name: name.into(),
            title: String::new(),
            category: Category::Functional,
            environments: Vec::new(),
            needs: Vec::new(),
            own_boot: false,
            vcpus,
            timeout_s: 1,
            default: true,
            kills: Vec::new(),
            cases: Vec::new(),
        };
        let tests = [test("a"), test("b")];
        let qemu = Qemu {
            binary: "/opt/my qemu".into(),
            accel,
            mode,
            guest_cmdline: "x=1,2".into(),
            xen_cmdline: "b".into(),
        };
        let boot = Boot { xen: 0, environment, vcpus, tests: tests.iter().collect() };
        qemu.invocation(&boot, "a").shell()
    }

    #[test]
    fn the_exact_command() {
        assert_eq!(
            command(Environment::Pv64, 1, Accel::Auto, BootMode::Fast),
            "'/opt/my qemu' -no-user-config -nodefaults -display none -monitor none \
             -serial stdio -no-reboot -machine pc -accel tcg -m 128 -smp 1 \
             -icount 'shift=6,sleep=off' -rtc 'clock=vm' -kernel xen \
             -append 'console=com1 serial_tx_buffer=1M bootscrub=0 loglvl=all guest_loglvl=all a b' \
             -initrd 'xtf tests=a,,b exit=reboot x=1,,2'"
        );
    }

    #[test]
    fn what_differs() {
        let pvh = command(Environment::Pvh64, 1, Accel::Tcg, BootMode::Fast);
        assert!(pvh.contains("-m 256") && pvh.contains("-cpu 'EPYC,-monitor'"), "{pvh}");
        assert!(pvh.contains("dom0=pvh dom0-iommu=none"), "{pvh}");
        for plain in [
            command(Environment::Pv64, 2, Accel::Tcg, BootMode::Fast),
            command(Environment::Pv64, 1, Accel::Tcg, BootMode::Plain),
            command(Environment::Pv64, 1, Accel::Kvm, BootMode::Fast),
        ] {
            assert!(!plain.contains("-icount"), "{plain}");
        }
    }
}

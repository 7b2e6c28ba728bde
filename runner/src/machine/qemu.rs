//! The backend that boots Xen under QEMU with the image as dom0: its exact command.
//!
//! A command refers to `xen` and `xtf` in its working directory, so that no path of the user's has
//! to survive QEMU's comma and space syntax.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::ValueEnum;
use protocol::metadata::Environment;

use protocol::cmdline::{self, CMDLINE_MAX, EXIT, FW_CFG, REBOOT, WAIT};

use crate::base::exit::{Error, Result};
use crate::base::process::{ChildGuard, Tool};
use crate::base::shell::{self, quote_path};
use crate::machine::Boot;
use crate::machine::boot::ConsoleProcess;
use crate::machine::command_lines;
use crate::machine::debug::Debug;
use crate::machine::grub::config::Protocol;
use crate::machine::loader::{self, BootFile, Cargo, Loading};
use crate::machine::logs::links;
use crate::plan::config::{Config, Hypervisor};
use crate::plan::spec::join;

/// Name of the file in a boot's folder with the parameters for which a guest waits: [`CMDLINE_MAX`]
/// bytes, the first of them NUL as long as there are none.
pub const PARAMETERS_FILE: &str = "parameters";

/// The oldest QEMU that can do what is asked of it.
const OLDEST: (u32, u32) = (3, 1);

/// How time runs in the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BootMode {
    /// Virtual time, driven by instructions
    Fast,
    /// Real time
    Plain,
}

/// For which boots to use KVM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kvm {
    /// For none.
    Never,
    /// For all, whether they come up or not.
    Always,
    /// For those of a Xen, by its name, in an environment.
    For(Vec<(String, Environment)>),
}

impl Kvm {
    /// Whether to use it for `boot`.
    pub fn is_for(&self, boot: &Boot<'_>) -> bool {
        match self {
            Kvm::Never => false,
            Kvm::Always => true,
            Kvm::For(places) => places
                .iter()
                .any(|(xen, place)| (xen.as_str(), *place) == (boot.xen.name(), boot.environment)),
        }
    }
}

/// What every boot of a run has in common.
#[derive(Clone, Debug)]
pub struct Qemu {
    /// The program.
    pub binary: PathBuf,
    /// When to accelerate.
    pub kvm: Kvm,
    /// `--boot`
    pub mode: BootMode,
    /// Whether somebody wants to look at the machine.
    pub debug: Debug,
    /// Further arguments for the guest.
    pub guest_cmdline: String,
    /// Further arguments for Xen.
    pub xen_cmdline: String,
    /// What the image gets as its initrd.
    pub initrd: Option<Initrd>,
    /// The firmware that the user wants, for a loader that needs one.
    pub firmware: Option<PathBuf>,
}

/// A file for the image as dom0.
#[derive(Clone, Debug)]
pub struct Initrd {
    /// The file.
    pub path: PathBuf,
    /// Bytes of it.
    pub size: usize,
}

impl Initrd {
    /// Memory that a machine needs for it, in MiB. Xen takes dom0's copy from the sixteenth of the
    /// memory that it does not give to dom0.
    fn memory_mib(&self) -> u32 {
        let mib = u32::try_from(self.size.div_ceil(1 << 20)).unwrap_or(u32::MAX);
        mib.saturating_mul(16)
    }
}

/// A command that is ready to run, in a folder with the links of a boot.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// What Xen is to find as its command line.
    pub xen_cmdline: String,
    /// What its folder must hold besides the links.
    pub files: Vec<BootFile>,
}

impl Qemu {
    /// The program at `path`, or the configured one, for fast boots that nobody looks at.
    pub fn of(path: Option<&Path>, config: &Config) -> Qemu {
        Qemu {
            binary: path.unwrap_or(&config.qemu.binary).to_owned(),
            kvm: Kvm::Never,
            mode: BootMode::Fast,
            debug: Debug::No,
            guest_cmdline: String::new(),
            xen_cmdline: String::new(),
            initrd: None,
            firmware: config.qemu.firmware.clone(),
        }
    }

    /// Checks that QEMU is there and new enough; returns its own description.
    pub fn probe(&self) -> Result<String> {
        let text = Tool::new(&self.binary).arg("--version").run().map_err(|e| {
            Error::Tool(format!("{e}; install qemu-system-x86, or name QEMU with --qemu PATH"))
        })?;
        check_version(&text)?;
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }

    /// How time runs in `boot`, and on what.
    pub fn mode_of(&self, boot: &Boot<'_>) -> &'static str {
        match (self.kvm.is_for(boot), self.is_fast(boot)) {
            (true, _) => "plain, kvm",
            (false, true) => "fast, tcg",
            (false, false) => "plain, tcg",
        }
    }

    /// Whether time in `boot` advances with instructions.
    pub fn is_fast(&self, boot: &Boot<'_>) -> bool {
        // A 32-bit guest with PAE needs an emulator that does not count: it keeps interrupts out of a
        // few instructions (`accessed` in the image's sources).
        let counts = boot.environment != Environment::Hvm32pae;
        self.mode == BootMode::Fast && counts && !self.kvm.is_for(boot) && boot.machine.vcpus == 1
    }

    /// Whether `boot` may go on from a snapshot: with time that does not pass meanwhile, and with
    /// nobody who looks at what was before.
    pub fn can_snapshot(&self, boot: &Boot<'_>) -> bool {
        self.is_fast(boot)
            && self.debug == Debug::No
            && self.guest_cmdline(boot).len() < CMDLINE_MAX
    }

    /// The command for `boot`; an error if its loader can't do it.
    pub fn invocation(&self, boot: &Boot<'_>) -> Result<Invocation> {
        self.with_guest(boot, &self.guest_cmdline(boot))
    }

    /// The command for all boots that differ from `boot` in the guest's command line only, which is
    /// in [`PARAMETERS_FILE`].
    pub fn waiting(&self, boot: &Boot<'_>) -> Result<Invocation> {
        let mut invocation = self.with_guest(
            boot,
            &join([
                &format!("{WAIT}={FW_CFG} {EXIT}={REBOOT}"),
                &command_lines::environment_word(boot.environment),
            ]),
        )?;
        let file = format!("name={},file={PARAMETERS_FILE}", cmdline::PARAMETERS_FILE);
        invocation.args.extend(["-fw_cfg".into(), file]);
        Ok(invocation)
    }

    /// The guest's command line.
    pub fn guest_cmdline(&self, boot: &Boot<'_>) -> String {
        command_lines::for_guest(&format!("{EXIT}={REBOOT}"), boot, &self.guest_cmdline)
    }

    /// The command for `boot` with a guest that gets the command line `cmdline`.
    fn with_guest(&self, boot: &Boot<'_>, cmdline: &str) -> Result<Invocation> {
        let machine = &boot.machine;
        let xen_cmdline = self.xen_cmdline(boot);
        let cargo = Cargo {
            xen: boot.xen.path(),
            xen_cmdline: &xen_cmdline,
            protocol: Protocol::of(&boot.xen.abilities),
            guest_cmdline: cmdline,
            initrd: self.initrd.is_some(),
            modules: &boot.xen.hypervisor.modules,
            firmware: self.firmware.as_deref(),
        };
        let Loading { chipset, memory_mib, args: loading, files } =
            loader::loading(boot.xen.hypervisor.loader, &cargo)?;
        let pvh = boot.environment.is_hvm();
        let kvm = self.kvm.is_for(boot);
        let mut args =
            ["-no-user-config", "-nodefaults", "-display", "none"].map(String::from).to_vec();
        args.extend(self.debug.args());
        let mut add = |more: &[&str]| args.extend(more.iter().map(|arg| (*arg).to_owned()));
        add(&["-serial", "stdio", "-no-reboot", "-machine"]);
        if pvh && boot.xen.abilities.needs_iommu {
            // An IOMMU of AMD's is a device of this machine only.
            add(&["q35", "-device", "amd-iommu"]);
        } else {
            add(&[chipset.unwrap_or("pc")]);
        }
        add(&["-accel", if kvm { "kvm" } else { "tcg" }]);
        let memory = machine.memory_mib.unwrap_or(memory_mib + if pvh { 256 } else { 128 })
            + self.initrd.as_ref().map_or(0, Initrd::memory_mib);
        add(&["-m", &memory.to_string(), "-smp", &machine.vcpus.to_string()]);
        if kvm {
            add(&["-cpu", "host"]);
        } else if pvh {
            // A model with SVM, for the PVH dom0, and without MONITOR, so that Xen idles by HLT.
            add(&["-cpu", "EPYC,-monitor"]);
        }
        if self.is_fast(boot) {
            // Time advances with instructions and skips idle waits. An instruction takes 2^shift
            // ns: larger shifts hardly boot faster, and under emulated SVM, where a hypercall is
            // long, they leave Xen with a timer pending whenever it looks, so that LIST
            // returns one entry at a time.
            add(&["-icount", "shift=6,sleep=off", "-rtc", "clock=vm"]);
        }

        args.extend(machine.qemu_args.iter().cloned());
        args.extend(loading);
        Ok(Invocation { program: self.binary.clone(), args, xen_cmdline, files })
    }

    fn xen_cmdline(&self, boot: &Boot<'_>) -> String {
        command_lines::for_xen("console=com1", boot, &self.xen_cmdline)
    }
}

/// What QEMU says of its version must not be older than [`OLDEST`]; who says it in an unknown way
/// is given the benefit of the doubt.
fn check_version(text: &str) -> Result<()> {
    let (major, minor) = OLDEST;
    match version(text) {
        Some(found) if found < OLDEST => Err(Error::Tool(format!(
            "QEMU {}.{} is too old: a PVH dom0 needs nested paging, which QEMU emulates since \
             {major}.{minor}; install a newer qemu-system-x86, or name one with --qemu PATH",
            found.0, found.1
        ))),
        _ => Ok(()),
    }
}

/// Major and minor of `QEMU emulator version 7.2.22 (...)`.
pub fn version(text: &str) -> Option<(u32, u32)> {
    let numbers = text.split_once("version ")?.1;
    let mut parts = numbers.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

impl ConsoleProcess for Invocation {
    fn name(&self) -> &str {
        "QEMU"
    }

    fn shell(&self) -> String {
        Invocation::shell(self)
    }

    fn start(&self, dir: &Path, stderr: File) -> io::Result<ChildGuard> {
        self.make_files(dir)?;
        let mut command = Command::new(&self.program);
        command.args(&self.args).current_dir(dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        ChildGuard::spawn(&mut command)
    }

    fn sweep(&self, dir: &Path) {
        self.files.iter().for_each(|file| file.sweep(dir));
    }
}

impl Invocation {
    /// Makes what its loader needs in the folder `dir`, which has the links.
    pub fn make_files(&self, dir: &Path) -> io::Result<()> {
        self.files.iter().try_for_each(|file| file.make(dir))
    }

    /// The command as a line for a shell, for a folder in which it ran before.
    pub fn shell(&self) -> String {
        let passing: Vec<BootFile> =
            self.files.iter().filter(|file| file.is_passing()).cloned().collect();
        let made = loader::shell(&passing).into_iter().map(|command| command + " && ");
        made.collect::<String>() + &self.command()
    }

    /// QEMU's command.
    fn command(&self) -> String {
        let program = self.program.to_string_lossy();
        let parts = std::iter::once(program.as_ref()).chain(self.args.iter().map(String::as_str));
        shell::line(parts)
    }

    /// A shell line that works from anywhere, with a folder of its own for the links to the image and
    /// to what belongs to the Xen at `path`, and for what else the boot needs.
    pub fn shell_anywhere(&self, path: &Path, xen: &Hypervisor, image: &Path) -> String {
        let links = links(Some(path), &xen.modules, image);
        let links = links.map(|(to, name)| format!("ln -s {} {name} && ", quote_path(to)));
        let files = loader::shell(&self.files).into_iter().map(|command| command + " && ");
        let made = links.chain(files).collect::<String>();
        format!("( cd \"$(mktemp -d)\" && {made}{} )", self.command())
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::image::TestMeta;
    use crate::plan::config::Hypervisor;
    use crate::plan::loader::Loader;
    use crate::plan::select::Selected;
    use crate::plan::spec::MachineSpec;
    use crate::xen::hypervisor::XenUnderTest;

    fn command(environment: Environment, vcpus: u32, kvm: Kvm, mode: BootMode) -> String {
        let machine = MachineSpec { vcpus, xen_cmdline: "a".into(), ..MachineSpec::default() };
        command_for(machine, environment, kvm, mode)
    }

    fn command_for(
        machine: MachineSpec,
        environment: Environment,
        kvm: Kvm,
        mode: BootMode,
    ) -> String {
        let tests = ["a", "b"].map(TestMeta::named).map(Selected::from);
        let qemu = Qemu {
            binary: "/opt/my qemu".into(),
            kvm,
            mode,
            debug: Debug::No,
            guest_cmdline: "x=1,2".into(),
            xen_cmdline: "b".into(),
            initrd: None,
            firmware: None,
        };
        let xen = &XenUnderTest::new(&Hypervisor::elsewhere("a"), None);
        let boot =
            Boot { xen, environment, machine, tests: tests.iter().map(Cow::Borrowed).collect() };
        qemu.invocation(&boot).unwrap().shell()
    }

    #[test]
    fn the_exact_command() {
        assert_eq!(
            command(
                Environment::Pv64,
                1,
                Kvm::For(vec![("a".into(), Environment::Pvh64), ("b".into(), Environment::Pv64)]),
                BootMode::Fast
            ),
            "'/opt/my qemu' -no-user-config -nodefaults -display none -monitor none \
             -serial stdio -no-reboot -machine pc -accel tcg -m 128 -smp 1 \
             -icount 'shift=6,sleep=off' -rtc 'clock=vm' -kernel xen \
             -append 'console=com1 serial_tx_buffer=1M bootscrub=0 loglvl=all guest_loglvl=all a b' \
             -initrd 'xtf tests=a,,b exit=reboot x=1,,2'"
        );
    }

    #[test]
    fn what_the_configuration_adds() {
        let machine = MachineSpec {
            vcpus: 1,
            memory_mib: Some(300),
            xen_cmdline: "y".into(),
            guest_cmdline: "z=1,2".into(),
            qemu_args: vec!["-device".into(), "x,y".into()],
        };
        let command = command_for(machine, Environment::Pvh64, Kvm::Never, BootMode::Plain);
        for option in [
            " -m 300 ",
            " -device 'x,y' -kernel ",
            "dom0-iommu=none y b'",
            "exit=reboot z=1,,2 x=1,,2'",
        ] {
            assert!(command.contains(option), "{option}: {command}");
        }
    }

    /// The same machine, but for what loads Xen.
    #[test]
    fn firmware_boots_a_disk_with_xen_on_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let firmware = Some(file.path().to_owned());
        let config = Config::load(Some(Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../xtf-runner.toml"
        ))));
        let qemu = Qemu { firmware, ..Qemu::of(None, &config.unwrap()) };
        let xen = Hypervisor { loader: Loader::Efi, ..Hypervisor::elsewhere("a") };
        let xen = &XenUnderTest::new(&xen, None);
        let machine = MachineSpec { vcpus: 1, ..MachineSpec::default() };
        let boot = Boot { xen, environment: Environment::Pv64, machine, tests: Vec::new() };
        let command = qemu.invocation(&boot).unwrap();
        assert_eq!(
            command.shell(),
            "qemu-system-x86_64 -no-user-config -nodefaults -display none -monitor none \
             -serial stdio -no-reboot -machine q35 -accel tcg -m 128 -smp 1 \
             -icount 'shift=6,sleep=off' -rtc 'clock=vm' \
             -drive 'if=pflash,unit=0,format=raw,snapshot=on,file=firmware' \
             -drive 'if=none,id=esp,format=raw,readonly=on,file=fat:esp' \
             -device 'virtio-blk-pci,drive=esp,bootindex=0'"
        );
        let anywhere =
            command.shell_anywhere(Path::new("/x.efi"), &xen.hypervisor, Path::new("/i"));
        let firmware = file.path().display();
        assert!(
            anywhere.starts_with(&format!(
                "( cd \"$(mktemp -d)\" && ln -s /x.efi xen && ln -s /i xtf && \
                 mkdir -p esp/EFI/BOOT && ln -s {firmware} firmware && \
                 ln -s ../../../xen esp/EFI/BOOT/BOOTX64.EFI && \
                 ln -s ../../../xtf esp/EFI/BOOT/xtf && printf '%s\\n' '[global]' 'default=xtf' \
                 '[xtf]' 'options=console=com1 serial_tx_buffer=1M bootscrub=0 loglvl=all \
                 guest_loglvl=all' 'kernel=xtf tests= exit=reboot' > esp/EFI/BOOT/BOOTX64.cfg && qemu"
            )),
            "{anywhere}"
        );
    }

    #[test]
    fn an_initrd_is_a_module_and_takes_memory() {
        let config = Config::load(Some(Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../xtf-runner.toml"
        ))));
        let initrd = Some(Initrd { path: "/a/file".into(), size: (1 << 20) + 1 });
        let qemu = Qemu { initrd, ..Qemu::of(None, &config.unwrap()) };
        let xen = &XenUnderTest::new(&Hypervisor::elsewhere("a"), None);
        let machine = MachineSpec { vcpus: 1, ..MachineSpec::default() };
        let boot = Boot { xen, environment: Environment::Pv64, machine, tests: Vec::new() };
        let command = qemu.invocation(&boot).unwrap().shell();
        assert!(command.ends_with(" -initrd 'xtf tests= exit=reboot,initrd'"), "{command}");
        assert!(command.contains(" -m 160 "), "{command}");
    }

    #[test]
    fn versions() {
        assert_eq!(version("QEMU emulator version 7.2.22 (Debian 1:7.2)\nCopy"), Some((7, 2)));
        assert_eq!(version("QEMU emulator version 10.0"), Some((10, 0)));
        assert_eq!(version("something else"), None);
        for good in ["QEMU emulator version 3.1.0", "QEMU emulator version 10.0.2", "odd"] {
            assert!(check_version(good).is_ok(), "{good}");
        }
        for old in ["QEMU emulator version 3.0.1", "QEMU emulator version 2.12.0"] {
            assert!(check_version(old).unwrap_err().to_string().contains("is too old"), "{old}");
        }
    }

    /// Before 4.12 there is no `dom0-iommu`.
    #[test]
    fn a_xen_that_needs_an_iommu_gets_one_as_pvh() {
        let mut xen = XenUnderTest::new(&Hypervisor::elsewhere("a"), None);
        xen.abilities.needs_iommu = true;
        let command = |environment| {
            let machine = MachineSpec { vcpus: 1, ..MachineSpec::default() };
            let config = Config::load(Some(Path::new(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../xtf-runner.toml"
            ))));
            let qemu = Qemu::of(None, &config.unwrap());
            let boot = Boot { xen: &xen, environment, machine, tests: Vec::new() };
            qemu.invocation(&boot).unwrap().shell()
        };
        let pvh = command(Environment::Pvh64);
        assert!(pvh.contains("-machine q35 -device amd-iommu -accel"), "{pvh}");
        assert!(pvh.contains("dom0=pvh'"), "{pvh}");
        assert!(command(Environment::Pv64).contains("-machine pc -accel"));
    }

    #[test]
    fn what_differs() {
        let pvh = command(Environment::Pvh64, 1, Kvm::Never, BootMode::Fast);
        assert!(pvh.contains("-m 256") && pvh.contains("-cpu 'EPYC,-monitor'"), "{pvh}");
        assert!(pvh.contains("dom0=pvh dom0-iommu=none"), "{pvh}");
        for plain in [
            command(Environment::Pv64, 2, Kvm::Never, BootMode::Fast),
            command(Environment::Pv64, 1, Kvm::Never, BootMode::Plain),
            command(
                Environment::Pv64,
                1,
                Kvm::For(vec![("a".into(), Environment::Pv64)]),
                BootMode::Fast,
            ),
        ] {
            assert!(!plain.contains("-icount"), "{plain}");
        }
    }
}

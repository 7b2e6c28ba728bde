//! `xtf-runner iso`: a medium from which a real machine boots the tests.
//!
//! Each boot that `run` would make is an entry of GRUB's menu. What is QEMU's of a boot, its memory
//! and its devices, is the machine's own here.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use protocol::cmdline::{EXIT, POWEROFF, REBOOT};
use protocol::metadata::Environment;

use crate::base::exit::{Error, Exit, IoContext, Result};
use crate::base::output::{note, write_out};
use crate::base::plural::count;
use crate::base::shell::quote_path;
use crate::cli::{AtEnd, IsoArgs};
use crate::commands::able;
use crate::image::{self, Image, TestMeta};
use crate::machine::command_lines;
use crate::machine::grub::config::{Added, After, Entry, Menu, Protocol};
use crate::machine::grub::{self, Contents};
use crate::machine::{Boot, boots_on};
use crate::plan::config::{Config, Hypervisor};
use crate::plan::loader::Loader;
use crate::plan::spec::join;
use crate::plan::{self, How, Sharing};
use crate::xen::hypervisor::{self, Cache, XenUnderTest};

/// Memory of the guest, whatever the machine has: more than `run` gives it, and little enough for
/// Xen to build it at once.
const DOM0_MEMORY: &str = "dom0_mem=256M";
/// Xen goes on to write to the screen when dom0 runs, and leaves it in the mode that GRUB has set. With
/// `keep` alone, Xen asks from a BIOS which mode to set and waits half a minute; with one of text, it
/// sets that, and writes to where the screen was before.
const SCREEN: &str = "vga=current,keep";
/// For a Xen that shall stand still where it would reset the machine.
const STAY: &str = "noreboot";
/// Seconds in which one may choose.
const WAIT_S: u32 = 5;

/// Runs the command.
pub fn iso(args: &IsoArgs) -> Result<Exit> {
    check_output(&args.output)?;
    grub::check_tools()?;
    if let Some(domain) = args.env.iter().find(|env| !Environment::DOM0.contains(env)) {
        return Err(Error::Usage(format!(
            "--env {}: on a medium the image is dom0, and that is no environment of a dom0",
            domain.name()
        )));
    }
    let config = Config::load(args.places.config.as_deref())?;
    let image = image::find(args.places.image.as_deref(), &config.workspace)?;
    config.check_tests(&image)?;
    let tests = plan::choose(&image, args.selection.wanted(), &args.env)?;
    let xens = for_grub(&config, &args.xen)?;
    let machine = |xen: &Hypervisor, test: &TestMeta| config.machine(xen, test);
    let sharing = if args.isolate { Sharing::Isolated } else { Sharing::Allowed };
    let planned = plan::boots(&tests, &xens, &args.env, &How { sharing, ..How::plain(&machine) });

    let cache = Cache::at(&config.cache())?.looking(args.fetch.look());
    let obtain = |xen: &Hypervisor| {
        hypervisor::obtain(xen, &cache, &mut note).map(|file| XenUnderTest::new(xen, Some(file)))
    };
    let xens = xens.iter().map(obtain).collect::<Result<Vec<_>>>()?;
    let boots = boots_on(&planned, &xens);
    let (possible, left_out): (Vec<&Boot<'_>>, Vec<&Boot<'_>>) =
        boots.iter().partition(|boot| boot.xen.abilities.lacks(boot.environment).is_none());
    if possible.is_empty() {
        let why = "no Xen of --xen can have the image as dom0 in an environment of --env";
        return Err(Error::EmptySelection(format!("{why}\n{}", reasons(&left_out))));
    }

    let scratch = tempfile::tempdir().io("create", Path::new("a folder for the medium's files"))?;
    let mut files = Files { dir: scratch.path(), contents: Contents::new(), sources: Vec::new() };
    let guest = files.write("boot/xtf", &image.small()?)?;
    let entries = possible.iter().map(|boot| entry(args, boot, &guest, &mut files));
    let entries = entries.collect::<Result<Vec<_>>>()?;
    let menu = menu(args, &entries);
    files.write(grub::CONFIGURATION, (menu.lines()?.join("\n") + "\n").as_bytes())?;
    if args.at_end == AtEnd::Next {
        files.write(grub::ENVIRONMENT, &grub::empty_environment())?;
    }
    let size = make(&args.output, &files)?;
    write_out(&about(args, &image, &possible, &left_out, &menu, size))?;
    Ok(Exit::Success)
}

/// The Xens that the user asked for, loaded by GRUB, which takes no EFI application.
fn for_grub(config: &Config, wanted: &[String]) -> Result<Vec<Hypervisor>> {
    let why_not = |xen: &Hypervisor| {
        format!(
            "Xen {} is an EFI application (loader efi), and GRUB on a medium loads a xen or \
             xen.gz: name one of these with --xen",
            xen.name
        )
    };
    let xens = able(config.select(wanted)?, |xen| !xen.loader.takes_efi(), why_not)?;
    Ok(xens.into_iter().map(|xen| Hypervisor { loader: Loader::Grub, ..xen }).collect())
}

/// Refuses what is not to be replaced by a file.
fn check_output(path: &Path) -> Result<()> {
    if path == Path::new("-") {
        let why =
            "-o -: a medium is a file, whose size is known when it is whole; name one with -o";
        return Err(Error::Usage(why.into()));
    }
    let shown = path.display();
    let Ok(found) = fs::metadata(path) else { return Ok(()) };
    let why = if found.is_dir() {
        format!("{shown} is a folder; name a file in it with -o")
    } else if found.is_file() {
        return Ok(());
    } else {
        format!(
            "{shown} is a device; write to a file, and then that to the device: \
             dd if=xtf.iso of={} bs=4M conv=fsync",
            quote_path(path)
        )
    };
    Err(Error::Usage(why))
}

/// The medium's files, as they lie in a folder of ours.
struct Files<'d> {
    dir: &'d Path,
    contents: Contents,
    /// What files outside lie on the medium as what.
    sources: Vec<(PathBuf, String)>,
}

impl Files<'_> {
    /// Puts these bytes to `at`; returns how GRUB calls it.
    fn write(&mut self, at: &str, bytes: &[u8]) -> Result<String> {
        let file = self.add(at);
        fs::write(self.dir.join(&file), bytes).io("write", Path::new(&file))?;
        Ok(format!("/{at}"))
    }

    /// Puts the file `source` below `boot/`, once, with a name that begins so; returns how GRUB
    /// calls it.
    fn link(&mut self, name: &str, source: &Path) -> Result<String> {
        if let Some((_, at)) = self.sources.iter().find(|(other, _)| other == source) {
            return Ok(at.clone());
        }
        let taken = self.sources.iter().filter(|(_, at)| at.starts_with(&format!("/boot/{name}")));
        let at = match taken.count() {
            0 => format!("boot/{name}"),
            before => format!("boot/{name}-{}", before + 1),
        };
        let file = self.add(&at);
        let link = self.dir.join(file);
        symlink(source, &link).io("create", &link)?;
        self.sources.push((source.to_owned(), format!("/{at}")));
        Ok(format!("/{at}"))
    }

    fn add(&mut self, at: &str) -> String {
        let file = at.replace('/', "-");
        self.contents.push((at.to_owned(), file.clone()));
        file
    }
}

/// What GRUB does for `boot`, and its title.
fn entry(
    args: &IsoArgs,
    boot: &Boot<'_>,
    guest: &str,
    files: &mut Files<'_>,
) -> Result<(String, Entry)> {
    let mut modules = Vec::new();
    for module in &boot.xen.hypervisor.modules {
        let module = module.canonicalize().io("find the module", module)?;
        modules.push(files.link("module", &module)?);
    }
    let (exit, stay) = match args.at_end {
        AtEnd::Halt => (format!("{EXIT}={POWEROFF}"), STAY),
        AtEnd::Reboot => (format!("{EXIT}={REBOOT}"), ""),
        // GRUB decides, when it knows whether it can note what comes next.
        AtEnd::Next => (String::new(), ""),
    };
    let own = join([&console(args), &DOM0_MEMORY.into(), &SCREEN.into(), &stay.into()]);
    let more = args.xen_cmdline.clone().unwrap_or_default();
    let entry = Entry {
        protocol: Protocol::of(&boot.xen.abilities),
        xen: files.link("xen", &boot.xen.bootable()?.path)?,
        xen_cmdline: command_lines::for_xen(&own, boot, &more),
        guest: guest.to_owned(),
        guest_cmdline: command_lines::for_guest(
            &exit,
            boot,
            &args.cmdline.clone().unwrap_or_default(),
        ),
        modules,
    };
    Ok((title(boot), entry))
}

/// Xen's consoles.
fn console(args: &IsoArgs) -> String {
    match &args.serial {
        Some(line) => join([&format!("console={},vga", line.name()), &line.for_xen()]),
        None => "console=vga".into(),
    }
}

/// What an entry is called.
fn title(boot: &Boot<'_>) -> String {
    let what = match boot.tests.as_slice() {
        [only] => only.selector.clone(),
        many => count(many.len(), "test"),
    };
    let cpus = match boot.machine.vcpus {
        0 | 1 => String::new(),
        many => format!(" (needs {many} CPUs)"),
    };
    let own = &boot.machine.xen_cmdline;
    let own = if own.is_empty() { String::new() } else { format!(" [{own}]") };
    format!("Xen {} {}: {what}{cpus}{own}", boot.xen.name(), boot.environment.name())
}

fn menu<'a>(args: &'a IsoArgs, entries: &'a [(String, Entry)]) -> Menu<'a> {
    let wait_s = args.wait.unwrap_or(if entries.len() > 1 { WAIT_S } else { 0 });
    let after = match args.at_end {
        AtEnd::Halt | AtEnd::Reboot => After::Same,
        AtEnd::Next => After::Next {
            goes_on: Added { xen: String::new(), guest: format!("{EXIT}={REBOOT}") },
            alone: Added { xen: STAY.into(), guest: format!("{EXIT}={POWEROFF}") },
        },
    };
    Menu { entries, serial: args.serial.as_ref(), wait_s, after }
}

/// Makes the medium, and puts it to `output` in one step; returns its size.
fn make(output: &Path, files: &Files<'_>) -> Result<u64> {
    // A link to a file goes on leading there.
    let output = output.canonicalize().unwrap_or_else(|_| output.to_owned());
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut name = tempfile::Builder::new();
    let file = name.permissions(PermissionsExt::from_mode(0o666));
    let file = file.tempfile_in(folder.unwrap_or(Path::new("."))).io("write", &output)?;
    let path = std::path::absolute(file.path()).io("find", file.path())?;
    let at = path.to_str().ok_or_else(|| {
        Error::Usage(format!("-o {}: the name of its folder is not UTF-8", output.display()))
    })?;
    grub::make(files.dir, at, &files.contents)?;
    let size = fs::metadata(&path).io("look at", &path)?.len();
    file.persist(&output).map_err(|e| e.error).io("write", &output)?;
    Ok(size)
}

/// What the user is told.
fn about(
    args: &IsoArgs,
    image: &Image,
    possible: &[&Boot<'_>],
    left_out: &[&Boot<'_>],
    menu: &Menu<'_>,
    size: u64,
) -> String {
    let output = args.output.display();
    let mut text = format!(
        "{output}: {} MiB, {}; with BIOS and UEFI\n",
        size.div_ceil(1 << 20),
        if menu.entries.len() == 1 {
            "1 entry".into()
        } else {
            format!("{} entries", menu.entries.len())
        },
    );
    for (number, (title, _)) in (1..).zip(menu.entries) {
        text += &format!("{number:4}  {title}\n");
    }
    if let [first, ..] = possible
        && first.tests.len() > 1
    {
        let names: Vec<&str> = first.tests.iter().map(|test| test.selector.as_str()).collect();
        text += &format!("Entry 1 runs {}.\n", names.join(", "));
    }
    text += &reasons(left_out);
    for boot in possible {
        if boot.machine.memory_mib.is_some() || !boot.machine.qemu_args.is_empty() {
            let title = title(boot);
            text += &format!("note: memory-mib and qemu-args do not apply to {title}\n");
        }
        if boot.xen.abilities.needs_iommu && boot.environment.name() == "pvh64" {
            let title = title(boot);
            text += &format!("note: the machine needs an IOMMU for {title}\n");
        }
    }
    let first = match menu.wait_s {
        0 => "Entry 1 starts at once.".to_owned(),
        some => format!(
            "Entry 1 starts after {}; ESC, on the keyboard or the serial line, shows the menu.",
            count(some, "second")
        ),
    };
    let others = menu.entries.len() > 1;
    let end = match args.at_end {
        AtEnd::Halt if others => {
            "Then the machine stands still. The other entries run when somebody chooses them, or with \
             --at-end next."
        }
        AtEnd::Halt => "Then the machine stands still, with the outcome on the screen.",
        AtEnd::Reboot if others => {
            "Then the machine resets. The other entries run when somebody chooses them, or with \
             --at-end next."
        }
        AtEnd::Reboot => "Then the machine resets.",
        AtEnd::Next if others => {
            "Then the machine resets, and from a stick the next entry starts, until all have run. \
             From a CD or a network the machine stands still after entry 1."
        }
        AtEnd::Next => "Then the machine resets.",
    };
    let boots = match args.at_end {
        AtEnd::Next if others => format!(" --boots {}", menu.entries.len()),
        _ => String::new(),
    };
    let console = match &args.serial {
        Some(_) => "CONSOLE",
        None => "CONSOLE (there is none but the screen; --serial names one)",
    };
    text + &format!(
        "{first} {end}\n\
         To a stick:  dd if={} of=/dev/sdX bs=4M conv=fsync\n\
         The verdict: xtf-runner judge{boots} --image {} {console}\n",
        quote_path(&args.output),
        quote_path(&image.path),
    )
}

/// Why boots are not among the entries.
fn reasons(left_out: &[&Boot<'_>]) -> String {
    let line = |boot: &&Boot<'_>| {
        let why = boot.xen.abilities.lacks(boot.environment).unwrap_or_default();
        format!("left out: {}: {why}\n", title(boot))
    };
    left_out.iter().map(line).collect()
}

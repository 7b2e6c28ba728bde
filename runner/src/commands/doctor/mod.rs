//! `xtf-runner doctor`: what this host lacks for a run, and the remedy.

mod trial;

use std::fs::OpenOptions;
use std::path::Path;

use anstyle::{AnsiColor, Style};

use crate::base::exit::{Error, Exit, IoContext, Result};
use crate::base::output::write_out;
use crate::base::plural::count;
use crate::base::process::Tool;
use crate::cli::DoctorArgs;
use crate::image;
use crate::machine::grub;
use crate::machine::loader::firmware;
use crate::machine::plugin::Plugin;
use crate::machine::qemu::Qemu;
use crate::plan::config::{Config, Hypervisor};
use crate::xen::hypervisor::{self, Cache};
use trial::Shown;

/// What the images are built for.
const TARGETS: [&str; 2] = ["x86_64-unknown-none", "i586-unknown-linux-gnu"];
/// A run's logs, a Xen and its symbols need less than this.
const ENOUGH: u64 = 1 << 30;

/// What was found.
enum Finding {
    /// It is as it should be; how it is.
    Good(String),
    /// A run does without it, something else does not.
    Optional(String),
    /// No run without it; why, and the remedy.
    Missing(String),
}

use Finding::{Good, Missing, Optional};

impl Finding {
    /// Whatever is an error to a run.
    fn needed(result: Result<String>) -> Finding {
        result.map_or_else(|e| Missing(e.to_string()), Good)
    }

    fn optional(result: Result<String>, what_for: &str) -> Finding {
        result.map_or_else(|e| Optional(format!("{e}; needed {what_for}")), Good)
    }
}

/// Runs the command.
pub fn doctor(args: &DoctorArgs) -> Result<Exit> {
    let config = Config::load(args.places.config.as_deref())?;
    let qemu = Qemu::of(args.qemu.as_deref(), &config);
    let image = image::find(args.places.image.as_deref(), &config.workspace)
        .map(|image| format!("{} with {}", image.path.display(), count(image.tests.len(), "test")));
    let plugin = Plugin::find(None, &config, &qemu.binary).map(|_| "QEMU loads it".to_owned());
    let findings = [
        ("QEMU", Finding::needed(qemu.probe())),
        ("image", Finding::needed(image)),
        ("Xens", xens(&config)?),
        ("disk", disk(&config.workspace)?),
        ("plugin", Finding::optional(plugin, "by `coverage`")),
        ("firmware", firmware(&config)),
        ("GRUB", grub()),
        ("KVM", kvm()),
        ("Rust", rust(&config.workspace)),
    ];
    let in_the_way = findings.iter().any(|(_, finding)| matches!(finding, Missing(_)));
    let tried = if in_the_way { Vec::new() } else { tried(args, config) };
    let mut text = String::new();
    let mut exit = Exit::Success;
    for (what, finding) in findings.into_iter().chain(tried) {
        let (word, colour, said) = match finding {
            Good(said) => ("ok", AnsiColor::Green, said),
            Optional(said) => ("note", AnsiColor::Yellow, said),
            Missing(said) => {
                exit = Exit::Tool;
                ("MISSING", AnsiColor::Red, said)
            }
        };
        let style = Style::new().fg_color(Some(colour.into())).bold();
        let said = said.lines().collect::<Vec<_>>().join("\n                 ");
        text += &format!("{style}{word:>7}{style:#} {what:<8} {said}\n");
    }
    let colours = anstream::AutoStream::choice(&std::io::stdout());
    let plain = colours == anstream::ColorChoice::Never;
    write_out(&if plain { anstream::adapter::strip_str(&text).to_string() } else { text })?;
    Ok(exit)
}

/// What a boot shows, where nothing is in the way of one.
fn tried(args: &DoctorArgs, config: Config) -> Vec<(&'static str, Finding)> {
    match trial::boots(args, config) {
        Ok(Shown { snapshot, cr2 }) => {
            let cr2 = match cr2 {
                Ok(Ok(right)) => Good(right),
                Ok(Err(wrong)) => Optional(wrong),
                Err(why) => Missing(why.to_string()),
            };
            let otherwise = "for `run --isolate`, which is slower without";
            vec![("snapshot", Finding::optional(snapshot, otherwise)), ("CR2", cr2)]
        }
        Err(why) => vec![("boot", Optional(format!("not tried: {why}")))],
    }
}

/// Which of the configured Xens are there, and whether the others can be got.
fn xens(config: &Config) -> Result<Finding> {
    let Ok(xens) = config.select(&["all".into()]) else {
        return Ok(Optional("the configuration defines none; name one with --xen PATH".into()));
    };
    let cache = Cache::at(&config.cache())?;
    let (mut here, mut absent) = (Vec::new(), Vec::new());
    for xen in &xens {
        match hypervisor::is_at_hand(xen, &cache) {
            Ok(true) => here.push(xen),
            Ok(false) => absent.push(xen),
            Err(e) => return Ok(Missing(format!("{}: {e}", xen.name))),
        }
    }
    let names = |xens: &[&Hypervisor]| {
        xens.iter().map(|xen| xen.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    if absent.is_empty() {
        return Ok(Good(format!("{} available", names(&here))));
    }
    let fetch = format!("{} not in the cache", names(&absent));
    Ok(match hypervisor::can_fetch() {
        Ok(from) => Good(format!("{fetch}; `run --fetch-only` downloads them from {from}")),
        Err(why) => Missing(format!("{fetch}: {why}")),
    })
}

fn disk(workspace: &Path) -> Result<Finding> {
    let found = rustix::fs::statvfs(workspace).io("look at", workspace)?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let said = format!("{} MiB free in {}", free >> 20, workspace.display());
    Ok(if free < ENOUGH {
        Missing(format!("{said}; make room, or use --logs and XTF_CACHE"))
    } else {
        Good(said)
    })
}

/// Only who boots a xen.efi needs it.
fn firmware(config: &Config) -> Finding {
    let found = firmware::find(config.qemu.firmware.as_deref());
    let found = found.map(|firmware| format!("{} for xen.efi", firmware.path().display()));
    Finding::optional(found, "by --loader efi")
}

/// Only who has GRUB boot needs it.
fn grub() -> Finding {
    let found = grub::check_tools().map(|()| "can be put on a medium".to_owned());
    Finding::optional(found, "by `iso` and --loader grub")
}

fn kvm() -> Finding {
    match OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        Ok(_) => Optional("/dev/kvm can be used; runs use it if Xen boots under it".into()),
        Err(e) => Optional(format!("/dev/kvm can't be used ({e}); runs use TCG, which is enough")),
    }
}

/// Only who builds needs it.
fn rust(workspace: &Path) -> Finding {
    if !workspace.join("Cargo.toml").is_file() {
        return Optional("not checked: this is not a source tree".into());
    }
    let has = |target: &str| {
        let sysroot = ["--print", "target-libdir", "--target", target];
        let libraries = Tool::new("rustc").args(sysroot).cwd(workspace).run()?;
        if Path::new(libraries.trim()).is_dir() {
            return Ok(());
        }
        Err(Error::Tool(format!("no libraries for {target}: run make setup")))
    };
    let present = TARGETS.into_iter().try_for_each(has);
    let builds = present.map(|()| format!("builds for {}", TARGETS.join(" and ")));
    Finding::optional(builds, "to build the images")
}

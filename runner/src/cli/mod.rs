//! The command line: one file for each subcommand, and here what they share.
//!
//! This room holds arguments and their help, and nothing else. What an argument means is a type of
//! the room that acts on it.

mod bench;
mod coverage;
mod debug;
mod diff;
mod doctor;
mod dom0;
mod export;
mod fuzz;
mod generate;
mod iso;
mod judge;
mod list;
mod merge;
mod mutate;
mod new;
mod payload;
mod replay;
mod report;
mod run;
mod selection;

use std::path::PathBuf;

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use protocol::metadata::Environment;

use crate::plan::loader::Loader;
use crate::plan::xens;
use crate::xen::hypervisor::Look;
use crate::xen::symbols::Preset;
pub use bench::BenchArgs;
pub use coverage::CoverageArgs;
pub use debug::DebugArgs;
pub use diff::DiffArgs;
pub use doctor::DoctorArgs;
pub use dom0::Dom0Args;
pub use export::ExportArgs;
pub use fuzz::{DomainBackend, FuzzArgs, FuzzTarget, Guided, GuidedArgs, HypercallArgs};
pub use generate::{GenerateArgs, Generated};
pub use iso::{AtEnd, IsoArgs};
pub use judge::JudgeArgs;
pub use list::ListArgs;
pub use merge::MergeArgs;
pub use mutate::MutateArgs;
pub use new::NewArgs;
pub use payload::{FuncLayout, PayloadArgs, PayloadCommand, ShowArgs, TryArgs, WriteArgs};
pub use replay::{MinimizeArgs, ProgramArgs, ReplayArgs};
pub use report::{FlakyResult, ReportArgs, ReportFiles};
pub use run::{BackendKind, RunArgs};
pub use selection::Selection;

/// Boots the test image on Xen, judges its console, and reports the results.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// The command line of this process.
    pub fn read() -> clap::error::Result<Cli> {
        let matches = Cli::command().try_get_matches()?;
        Cli::of(&matches)
    }

    fn of(matches: &ArgMatches) -> clap::error::Result<Cli> {
        let mut command = Cli::command();
        let mut cli = Cli::from_arg_matches(matches).map_err(|e| e.format(&mut command))?;
        if let Command::Run(args) = &mut cli.command
            && let Some(run) = command.find_subcommand("run")
            && let Some(matches) = matches.subcommand_matches("run")
        {
            args.lasting = run::lasting(run, matches);
        }
        if let Command::Run(RunArgs { xen, selection, .. })
        | Command::List(ListArgs { xen, selection, .. })
        | Command::Iso(IsoArgs { xen, selection, .. }) = &mut cli.command
        {
            xens::adopt(xen, &mut selection.selectors);
        }
        Ok(cli)
    }
}

/// The part of `--help` that scripts need.
const EXIT_CODES: &str = "\
Exit codes: 0 success, 3 all skipped, 4 error, 5 failure, 6 crash, 7 timeout (the worst wins);
64 usage or configuration, 65 bad image or Xen, 66 nothing selected, 69 missing or failing tool,
74 input/output, 130 interrupted, 143 terminated.";

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run tests
    Run(RunArgs),
    /// Judge a console that something else recorded or streams: a serial line, a lab's log
    ///
    /// Prints and writes what `run` would have, had it booted that machine. See docs/judge.md.
    #[command(
        mut_arg("retries", |arg| arg.hide(true)),
        mut_arg("flaky_result", |arg| arg.hide(true))
    )]
    Judge(JudgeArgs),
    /// List the tests in the image
    List(ListArgs),
    /// Write the tests as domains, for `xl create` and upstream's xtf-runner
    ///
    /// DIR gets an image and an xl configuration for each test and kind of domain, and the index
    /// that upstream's xtf-runner reads. See docs/export.md.
    Export(ExportArgs),
    /// Write a medium from which a real machine boots the tests: a stick, a CD, or over a network
    ///
    /// GRUB loads Xen and the image from it, from a BIOS and from UEFI. Each boot that `run` would
    /// make is an entry of its menu. `judge` gives the verdict from the machine's console. See
    /// docs/hardware.md.
    Iso(IsoArgs),
    /// Compare the results of two runs
    Diff(DiffArgs),
    /// Make one run of several: of the shares of --partition, or of runs on different Xens
    ///
    /// Shares that are missing and results that are there twice are named. See docs/results.md.
    Merge(MergeArgs),
    /// Look at a live patch before it ships, try it, or write one
    Payload(PayloadArgs),
    /// Boot a Linux dom0 with xl and xen-livepatch under a Xen in QEMU, and run a command in it
    ///
    /// This is the dom0 of --backend qemu-xl. The command runs in a folder that holds the files of
    /// --put.
    Dom0(Dom0Args),
    /// Measure the tests: break Xen in one place at a time and see which tests fail
    ///
    /// A mutant is a copy of Xen with one instruction of a chosen function changed: a conditional
    /// branch inverted, or what else --operators names. The selected tests, which must succeed on
    /// Xen itself, run on each mutant until the first of them fails; then the mutant is killed. A
    /// mutant that survives is a check in Xen on which no test depends. See docs/mutation.md.
    Mutate(MutateArgs),
    /// Perform a program of livepatch calls and compare Xen with the model
    ///
    /// The program is a text with one call per line. The test livepatch-fuzz prints one when it
    /// finds something. See docs/fuzzing.md.
    Replay(ReplayArgs),
    /// Shrink a program while it still fails in the same way
    Minimize(MinimizeArgs),
    /// Measure which code of Xen the tests execute
    ///
    /// A plugin in QEMU counts the instructions of chosen functions of the unmodified Xen while the
    /// tests run. Code that no test executes is code that no test checks.
    Coverage(CoverageArgs),
    /// Make a boot again, and open a debugger at its end, from where time goes backwards
    ///
    /// The boot must be a fast one, loaded by QEMU itself. See docs/debugging.md.
    Debug(DebugArgs),
    /// Measure how long boots, hypercalls and the suite take, as times and as ratios
    Bench(BenchArgs),
    /// Add a test: write its file and register it, so that it builds and runs at once
    New(NewArgs),
    /// List what this host lacks for a run, and the remedy
    Doctor(DoctorArgs),
    /// Generate documentation and completions
    #[command(hide = true)]
    Generate(GenerateArgs),
    /// Look for inputs that crash or hang Xen, or that it answers wrongly
    ///
    /// For `livepatch` and `payload` (build them with `make fuzzer`) a guest performs thousands of
    /// programs of livepatch calls per second, and a plugin in QEMU counts which code of the
    /// unmodified Xen each executes. For `hypercall`, domains make random calls. A finding counts
    /// only after it occurred again on a fresh boot, and is stored as a text that can be replayed.
    /// Findings that the file with expectations lists (docs/results.md) show as KNOWN.
    Fuzz(FuzzArgs),
}

#[cfg(test)]
mod tests;

/// Where the image and the configuration are.
#[derive(Clone, Debug, Args)]
pub struct InputPaths {
    /// Test image [default: the workspace's build, else `xtf` beside the runner]
    #[arg(long, value_name = "PATH")]
    pub image: Option<PathBuf>,

    /// Configuration [default: the nearest xtf-runner.toml, else built in]
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
}

/// How packages of Debian's are got.
#[derive(Clone, Debug, Args)]
pub struct FetchArgs {
    /// Don't use the network: take Debian's packages from the cache, and look for no newer ones
    /// [default: look once a day]
    #[arg(long)]
    pub offline: bool,
}

impl FetchArgs {
    /// When to look for newer versions of what is cached.
    pub fn look(&self) -> Look {
        if self.offline { Look::Never } else { Look::Daily }
    }
}

/// Where a run's logs go.
#[derive(Clone, Debug, Args)]
pub struct LogsArgs {
    /// Folder for logs [default: logs/ in the workspace]
    #[arg(long, value_name = "DIR")]
    pub logs: Option<PathBuf>,
}

/// How Xen gets into memory.
#[derive(Clone, Copy, Debug, Args)]
pub struct LoaderArgs {
    /// What loads Xen; efi takes the xen.efi of a package or folder [default: the configuration's;
    /// else efi for the path of a xen.efi, and direct for all others]
    #[arg(long, value_enum, value_name = "LOADER")]
    pub loader: Option<Loader>,
}

/// One Xen, of those that the configuration knows or of a path.
#[derive(Clone, Debug, Args)]
pub struct XenArgs {
    /// Xen: a name from the configuration, or a xen, xen.gz, xen.efi, package or folder
    #[arg(long, value_name = "NAME|PATH")]
    pub xen: Option<String>,

    /// How it is booted.
    #[command(flatten)]
    pub loader: LoaderArgs,

    /// Whether to use the network.
    #[command(flatten)]
    pub fetch: FetchArgs,

    /// Configuration [default: the nearest xtf-runner.toml, else built in]
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
}

/// What a boot of one Xen needs.
#[derive(Clone, Debug, Args)]
pub struct TestbedArgs {
    /// The Xen.
    #[command(flatten)]
    pub on: XenArgs,

    /// Test image [default: the workspace's build, else `xtf` beside the runner]
    #[arg(long, value_name = "PATH")]
    pub image: Option<PathBuf>,

    /// QEMU [default: from the configuration]
    #[arg(long, value_name = "PATH")]
    pub qemu: Option<PathBuf>,
}

/// Functions of Xen, and the file that says where they are.
#[derive(Clone, Debug, Args)]
pub struct FunctionArgs {
    /// xen-syms of the same build, or the package with it [default: from the configuration]
    #[arg(long, value_name = "PATH")]
    pub symbols: Option<PathBuf>,

    /// Functions of Xen, by name or FILE#NAME; `*` matches any text
    #[arg(long, value_name = "GLOB", value_delimiter = ',', conflicts_with = "preset")]
    pub functions: Vec<String>,

    /// A set of functions of Xen
    #[arg(long, value_enum, default_value_t = Preset::Livepatch)]
    pub preset: Preset,
}

/// An environment of 64-bit guests, for commands that know no other.
fn wide(name: &str) -> Result<Environment, String> {
    let wide = Environment::WIDE.into_iter().find(|place| place.name() == name);
    wide.ok_or_else(|| {
        format!("it is one of {}", Environment::WIDE.map(Environment::name).join(", "))
    })
}

//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

/// Boots the xtf image on Xen, judges its console output, and reports.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
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
    /// List the tests in the image
    List(ListArgs),
}

/// Where the image and the configuration are.
#[derive(Debug, Args)]
pub struct Places {
    /// Test image [default: the workspace's build, else `xtf` beside the runner]
    #[arg(long, value_name = "PATH")]
    pub image: Option<PathBuf>,

    /// Configuration [default: the nearest xtf-runner.toml, else built in]
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
}

/// Options of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Where things are.
    #[command(flatten)]
    pub places: Places,

    /// Print the metadata as a JSON array
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,

    /// Print the index of tests and claims that is docs/tests.md
    #[arg(long)]
    pub markdown: bool,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Tests to run; `*` matches any text [default: all that need not be named]
    #[arg(value_name = "TEST")]
    pub tests: Vec<String>,

    /// Where things are.
    #[command(flatten)]
    pub places: Places,

    /// Xen: a name from the configuration, `all` of them, or a xen, xen.gz, .deb, or folder;
    /// repeatable
    #[arg(long, value_name = "NAME|PATH")]
    pub xen: Vec<String>,

    /// Environments
    #[arg(long, value_name = "ENV", value_delimiter = ',', default_value = "pv64,pvh64")]
    pub env: Vec<Environment>,

    /// Time for each test, instead of the test's own
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,

    /// Print the QEMU commands and run nothing
    #[arg(long, conflicts_with = "fetch_only")]
    pub dry_run: bool,

    /// Accelerator; auto is TCG, which runs Xen everywhere
    #[arg(long, value_enum, default_value_t = Accel::Auto)]
    pub accel: Accel,

    /// fast: deterministic time that skips waiting (TCG, one CPU); plain: real time
    #[arg(long, value_enum, default_value_t = BootMode::Fast)]
    pub boot: BootMode,

    /// Folder for logs [default: logs/ in the workspace]
    #[arg(long, value_name = "DIR")]
    pub logs: Option<PathBuf>,

    /// Get the selected Xens into the cache and stop
    #[arg(long)]
    pub fetch_only: bool,

    /// Show the guest's output as it comes
    #[arg(long, short)]
    pub verbose: bool,

    /// QEMU [default: from the configuration]
    #[arg(long, value_name = "PATH")]
    pub qemu: Option<PathBuf>,

    /// Further arguments for the guest
    #[arg(long, value_name = "STR", allow_hyphen_values = true)]
    pub cmdline: Option<String>,

    /// Further arguments for Xen
    #[arg(long, value_name = "STR", allow_hyphen_values = true)]
    pub xen_cmdline: Option<String>,
}

/// Environments that a backend here can boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// PV dom0
    Pv64,
    /// PVH dom0
    Pvh64,
}

impl Environment {
    /// The name in selections and metadata.
    pub fn name(self) -> &'static str {
        match self {
            Environment::Pv64 => "pv64",
            Environment::Pvh64 => "pvh64",
        }
    }

    /// How the guest calls it on its console.
    pub fn banner(self) -> &'static str {
        match self {
            Environment::Pv64 => "PV 64bit",
            Environment::Pvh64 => "PVH 64bit",
        }
    }
}

/// Accelerators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Accel {
    /// QEMU's own translator
    Tcg,
    /// /dev/kvm, with nested virtualisation for pvh64
    Kvm,
    /// The one that is known to work
    Auto,
}

/// How time runs in the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BootMode {
    /// Virtual time, driven by instructions
    Fast,
    /// Real time
    Plain,
}

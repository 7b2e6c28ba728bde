//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

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
    /// Measure the tests: break Xen on purpose, in one place at a time, and see who notices
    ///
    /// A mutant is a copy of Xen with one conditional branch of a chosen function inverted. The
    /// selected tests, which must succeed on Xen itself, run on each mutant until the first of them
    /// fails: the mutant is killed. One that survives stands for a check in Xen that no test
    /// depends on.
    Mutate(MutateArgs),
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

/// Exit codes of `mutate`.
const MUTATE_EXIT_CODES: &str = "\
Exit codes: 0 measured, 5 less than --fail-under was killed; where the tests do not succeed on Xen \
itself, what `run` would return; 64 and above as of `run`.";

/// Options of `mutate`.
#[derive(Debug, Args)]
#[command(after_help = MUTATE_EXIT_CODES)]
pub struct MutateArgs {
    /// Tests to measure; `*` matches any text [default: all that need not be named]
    #[arg(value_name = "TEST")]
    pub tests: Vec<String>,

    /// Where things are.
    #[command(flatten)]
    pub places: Places,

    /// Xen: a name from the configuration, or a xen, xen.gz, .deb, or folder
    #[arg(long, value_name = "NAME|PATH")]
    pub xen: Option<String>,

    /// xen-syms of the same build, or the .deb with it [default: from the configuration]
    #[arg(long, value_name = "PATH")]
    pub symbols: Option<PathBuf>,

    /// Environments; a later one only sees the mutants that survived the earlier ones
    #[arg(long, value_name = "ENV", value_delimiter = ',', default_value = "pv64")]
    pub env: Vec<Environment>,

    /// Functions of Xen to break, by name or FILE#NAME; `*` matches any text
    #[arg(long, value_name = "GLOB", value_delimiter = ',', conflicts_with = "preset")]
    pub functions: Vec<String>,

    /// A set of functions of Xen
    #[arg(long, value_enum, default_value_t = Preset::Livepatch)]
    pub preset: Preset,

    /// Mutants at a time [default: number of CPUs]
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,

    /// Time for a mutant to reach its first test, and for each test [default: 10 times what the
    /// slowest boot of Xen itself took, and no less than 10]
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,

    /// Write a line of JSON for each mutant as it comes
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Take from --out's file what is there of the same Xen, image and selection, and go on
    #[arg(long, requires = "out")]
    pub resume: bool,

    /// Only this mutant, with all output and logs of `run`; an address, or FUNCTION+OFFSET
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["out", "fail_under"])]
    pub only: Option<String>,

    /// Print the places where Xen would be broken, and run nothing
    #[arg(long)]
    pub list: bool,

    /// Fail if a smaller share of the mutants is killed
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(..=100))]
    pub fail_under: Option<u8>,

    /// QEMU [default: from the configuration]
    #[arg(long, value_name = "PATH")]
    pub qemu: Option<PathBuf>,
}

/// Sets of functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// All of common/livepatch.c, common/livepatch_elf.c and arch/x86/livepatch.c
    Livepatch,
}

/// Environments that a backend here can boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
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

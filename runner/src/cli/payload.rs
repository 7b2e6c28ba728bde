//! Options of `xtf-runner payload`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use protocol::metadata::Environment;

use super::{FetchArgs, InputPaths, LoaderArgs, LogsArgs, ReportArgs, XenArgs, wide};

/// What to do with a payload.
#[derive(Debug, Subcommand)]
pub enum PayloadCommand {
    /// Show what is in a live patch, and what Xen will answer to it, without booting anything
    ///
    /// The answer comes from the model of Xen's loader: success, or the first check that refuses the
    /// file, with the error, the function of Xen and the remedy. Several files are taken as a stack,
    /// each loaded behind the ones before it. See docs/payloads.md.
    Show(ShowArgs),
    /// Try live patches on a real Xen in QEMU: upload, apply, revert, and unload them
    ///
    /// Several files are tried as a stack: applied in the order given, reverted and unloaded in the
    /// reverse order. A guest does so as dom0, with one CPU and with two, and checks each step, what
    /// LIST shows, that Xen answers as `payload show` foretells, and that nothing is left. The runner
    /// compares Xen's code from outside of the machine: only the functions that the files name differ,
    /// and in the end nothing does. What Xen says of a refusal is shown. See docs/payloads.md.
    Try(Box<TryArgs>),
    /// Write a live patch for a Xen to a file that any client of the sysctl accepts
    ///
    /// Applied, it changes what `xl info` shows as xen_extra; xen-livepatch can upload it.
    Write(WriteArgs),
}

/// Options of `payload`.
#[derive(Debug, Args)]
pub struct PayloadArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PayloadCommand,
}

/// Options of `payload show`.
#[derive(Debug, Args)]
#[command(after_help = SHOW_EXIT_CODES)]
pub struct ShowArgs {
    /// The files, in the order in which they are to be loaded
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// Xen: a name from the configuration, `all` of them, or a xen, xen.gz, xen.efi, package or folder;
    /// repeat it for several. Without it only what is in the files is shown
    #[arg(long, value_name = "NAME|PATH")]
    pub xen: Vec<String>,

    /// How it is booted.
    #[command(flatten)]
    pub loader: LoaderArgs,

    /// Take each file alone, not as a stack
    #[arg(long)]
    pub each: bool,

    /// Print a JSON document
    #[arg(long)]
    pub json: bool,

    /// Whether to use the network.
    #[command(flatten)]
    pub fetch: FetchArgs,

    /// Configuration [default: the nearest xtf-runner.toml, else built in]
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
}

/// Exit codes of `payload show`.
const SHOW_EXIT_CODES: &str = "\
Exit codes: 0 every Xen takes every file, or no Xen was named; 4 the model cannot tell of one; 5 one is \
refused, or its APPLY will be (with --each, only the upload counts); 65 a file is no payload at all; the \
others as for `run`.";

/// Options of `payload try`.
#[derive(Debug, Args)]
#[command(after_help = TRY_EXIT_CODES)]
pub struct TryArgs {
    /// The files, in the order in which they are to be applied; in Xen each is called after its
    /// name, without the ending
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// Xen: a name from the configuration, `all` of them, or a xen, xen.gz, xen.efi, package or folder;
    /// repeat it for several
    #[arg(long, value_name = "NAME|PATH")]
    pub xen: Vec<String>,

    /// How it is booted.
    #[command(flatten)]
    pub loader: LoaderArgs,

    /// Environments [default: pv64,pvh64]
    #[arg(long, value_name = "ENV", value_parser = wide, value_delimiter = ',')]
    env: Vec<Environment>,

    /// Numbers of CPUs: 1, 2 or both; with 2, the second one is busy while the first one acts
    /// [default: 1,2]
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=2))]
    cpus: Vec<u32>,

    /// Put the last file in with REPLACE, in the place of the others
    #[arg(long)]
    pub replace: bool,

    /// Only upload each file, alone, and unload it: which of many files does a Xen take? Runs the test
    /// payload-upload, and applies nothing
    #[arg(long, conflicts_with_all = ["replace", "expect_extra_version", "with", "cycles", "cpus"])]
    pub upload_only: bool,

    /// Text that XENVER_extraversion (xen_extra of `xl info`) is while all files are applied, and only
    /// then, as `payload write --text` makes it
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub expect_extra_version: Option<String>,

    /// Also run tests while the files are applied; selectors as for `run`, separated by commas. A
    /// test that needs an empty list of payloads is refused
    #[arg(long, value_name = "TESTS", value_delimiter = ',')]
    pub with: Vec<String>,

    /// How many more times the files are uploaded, applied, reverted and unloaded
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub cycles: u32,

    /// Time limit for a boot's steps [default: a minute, and more for many steps]
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,

    /// Whether to use the network.
    #[command(flatten)]
    pub fetch: FetchArgs,

    /// Where things are.
    #[command(flatten)]
    pub places: InputPaths,

    /// QEMU [default: from the configuration]
    #[arg(long, value_name = "PATH")]
    pub qemu: Option<PathBuf>,

    /// Where logs go.
    #[command(flatten)]
    pub logs: LogsArgs,

    /// Show the guest's output as it comes
    #[arg(long, short)]
    pub verbose: bool,

    /// What becomes of the results.
    #[command(flatten)]
    pub reports: ReportArgs,
}

impl TryArgs {
    /// The environments that are wanted.
    pub fn environments(&self) -> &[Environment] {
        if self.env.is_empty() { &Environment::WIDE_DOM0 } else { &self.env }
    }

    /// The numbers of CPUs that are wanted.
    pub fn cpus(&self) -> &[u32] {
        if self.cpus.is_empty() { &[1, 2] } else { &self.cpus }
    }
}

/// Exit codes of `payload try`.
const TRY_EXIT_CODES: &str = "\
Exit codes: 0 everything went well; 5 Xen refused a file or a step, answered otherwise than foretold, or \
something was left; 6 Xen died; \
65 a file is no payload at all; the others as for `run`.";

/// Options of `payload write`.
#[derive(Debug, Args)]
pub struct WriteArgs {
    /// The Xen.
    #[command(flatten)]
    pub on: XenArgs,

    /// Build-id in place of --xen, as `xl info` prints it
    #[arg(long, value_name = "HEX")]
    pub build_id: Option<String>,

    /// The file to write
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,

    /// Text that `xl info` shows as xen_extra while the patch is applied
    #[arg(long, value_name = "STR", default_value = "-xtf", allow_hyphen_values = true)]
    pub text: String,

    /// Version of struct livepatch_func
    #[arg(long, value_enum, default_value_t = FuncLayout::V2)]
    pub layout: FuncLayout,
}

/// Versions of the structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FuncLayout {
    /// Xen 4.8 to 4.13
    V1,
    /// Xen 4.14 and later
    V2,
}

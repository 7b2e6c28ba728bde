//! Options of `xtf-runner fuzz`, which are those of `xtf-fuzz`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Environment, FunctionArgs, Places};

/// Exit codes of `fuzz`.
const FUZZ_EXIT_CODES: &str = "\
Exit codes: 0 nothing new was found, 6 something that is not known kills Xen, 7 or hangs it; 64 and \
above as of `run`.";

/// Options of `fuzz`.
#[derive(Clone, Debug, Args)]
#[command(after_help = FUZZ_EXIT_CODES)]
pub struct FuzzArgs {
    /// What to fuzz
    #[arg(value_enum)]
    pub target: FuzzTarget,

    /// Where things are.
    #[command(flatten)]
    pub places: Places,

    /// Xen: a name from the configuration, or a xen, xen.gz, .deb, or folder
    #[arg(long, value_name = "NAME|PATH")]
    pub xen: Option<String>,

    /// xen-syms of the same build, or the .deb with it [default: from the configuration]
    #[arg(long, value_name = "PATH")]
    pub symbols: Option<PathBuf>,

    /// Environment
    #[arg(long, value_name = "ENV", default_value = "pv64")]
    pub env: Environment,

    /// Whose coverage guides.
    #[command(flatten)]
    pub functions: FunctionArgs,

    /// Stop after this time [default: never]
    #[arg(long, value_name = "N")]
    pub seconds: Option<u64>,

    /// Fuzzers at a time, each with a machine of its own
    #[arg(long, value_name = "N", default_value = "1")]
    pub cores: NonZeroUsize,

    /// Where chance begins; one fuzzer alone does the same again with the same seed, as far as
    /// time has no say in it
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,

    /// Programs to begin with, and the folder for those that reach something new
    #[arg(long, value_name = "DIR")]
    pub corpus: Option<PathBuf>,

    /// Folder for what kills Xen
    #[arg(long, value_name = "DIR", default_value = "findings")]
    pub findings: PathBuf,

    /// The plugin for QEMU [default: the workspace's build, else beside the runner]
    #[arg(long, value_name = "PATH")]
    pub plugin: Option<PathBuf>,

    /// QEMU [default: from the configuration]
    #[arg(long, value_name = "PATH")]
    pub qemu: Option<PathBuf>,

    /// Port by which several fuzzers on this machine meet
    #[arg(long, value_name = "PORT", default_value_t = 1337)]
    pub port: u16,

    /// Exchange what is found with the fuzzers of another machine
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub join: Option<SocketAddr>,
}

/// Targets of `fuzz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FuzzTarget {
    /// Sequences of livepatch calls, right and wrong ones
    Livepatch,
    /// One payload with faults: loaded, applied, reverted, unloaded
    Payload,
}

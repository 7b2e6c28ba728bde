//! Options of `xtf-runner fuzz`, which are those of `xtf-fuzz`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{FetchArgs, FunctionArgs, InputPaths};
use crate::base::environment::Environment;

/// Exit codes of `fuzz`.
const FUZZ_EXIT_CODES: &str = "\
Exit codes: 0 nothing was found that is not expected, 5 Xen answers otherwise than it should, 6 \
something kills it, 7 or hangs it (the worst wins); 64 and above as of `run`.";

/// Options of `fuzz`.
#[derive(Debug, Args)]
#[command(after_help = FUZZ_EXIT_CODES)]
pub struct FuzzArgs {
    /// What to fuzz.
    #[command(subcommand)]
    pub target: FuzzTarget,
}

/// Targets of `fuzz`.
#[derive(Debug, Subcommand)]
pub enum FuzzTarget {
    /// From the control domain, guided by coverage.
    #[command(flatten)]
    Guided(Guided),
    /// Every hypercall from unprivileged domains of the real xl, which may die; Xen must not
    #[command(after_help = FUZZ_EXIT_CODES)]
    Hypercall(HypercallArgs),
}

/// Targets that `xtf-fuzz` fuzzes.
#[derive(Clone, Debug, Subcommand)]
pub enum Guided {
    /// Sequences of livepatch calls from the control domain, right and wrong ones
    #[command(after_help = FUZZ_EXIT_CODES)]
    Livepatch(GuidedArgs),
    /// One payload with faults, from the control domain: loaded, applied, reverted, unloaded
    #[command(after_help = FUZZ_EXIT_CODES)]
    Payload(GuidedArgs),
}

/// Options of a [`Guided`] target.
#[derive(Clone, Debug, Args)]
pub struct GuidedArgs {
    /// Where things are.
    #[command(flatten)]
    pub places: InputPaths,

    /// Xen: a name from the configuration, or a xen, xen.gz, .deb, or folder
    #[arg(long, value_name = "NAME|PATH")]
    pub xen: Option<String>,

    /// Whether to use the network.
    #[command(flatten)]
    pub fetch: FetchArgs,

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

    /// The most calls of a program that is made up or changed: shorter ones are faster, longer ones
    /// reach what takes several payloads
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub steps: u8,

    /// Programs to begin with, and the folder for those that reach something new
    #[arg(long, value_name = "DIR")]
    pub corpus: Option<PathBuf>,

    /// Folder for what kills Xen
    #[arg(long, value_name = "DIR", default_value = "fuzz-findings")]
    pub findings: PathBuf,

    /// Known findings [default: from the configuration, else expectations.toml beside it, if any]
    #[arg(long, value_name = "FILE")]
    pub expect: Option<PathBuf>,

    /// The plugin for QEMU [default: the workspace's build, else beside the runner]
    #[arg(long, value_name = "PATH")]
    pub plugin: Option<PathBuf>,

    /// QEMU [default: from the configuration]
    #[arg(long, value_name = "PATH")]
    pub qemu: Option<PathBuf>,

    /// Port of this machine, and of it alone, by which fuzzers meet; given with --cores 1, others
    /// can --join it [default: 1337]
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,

    /// Exchange what is found with other fuzzers; those of another machine through a tunnel of ssh
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub join: Option<SocketAddr>,
}

/// Options of `fuzz hypercall`.
#[derive(Debug, Args)]
pub struct HypercallArgs {
    /// Where things are.
    #[command(flatten)]
    pub places: InputPaths,

    /// Xen: a name from the configuration, or a xen, xen.gz, .deb, or folder
    #[arg(long, value_name = "NAME|PATH")]
    pub xen: Option<String>,

    /// Whether to use the network.
    #[command(flatten)]
    pub fetch: FetchArgs,

    /// Kinds of domain, which take turns
    #[arg(long, value_name = "ENV", value_delimiter = ',', default_value = "pv64,pvh64,hvm64")]
    pub env: Vec<Environment>,

    /// Where the domains run: in a Linux dom0 under QEMU, or on a Xen host
    #[arg(long, value_enum, default_value_t = DomainBackend::QemuXl)]
    pub backend: DomainBackend,

    /// The Xen host of --backend xl, through ssh; root there [default: this machine]
    #[arg(long, value_name = "USER@BOX")]
    pub host: Option<String>,

    /// Configuration for ssh [default: the user's]
    #[arg(long, value_name = "FILE", requires = "host")]
    pub ssh_config: Option<PathBuf>,

    /// Stop after this time, once the domain that runs has ended [default: never]
    #[arg(long, value_name = "N")]
    pub seconds: Option<u64>,

    /// Seed of the first domain; each has the next one
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,

    /// Calls of a domain, unless it dies of one before
    #[arg(long, value_name = "N", default_value_t = 5000)]
    pub steps: u64,

    /// Folder for what Xen dies of or should have refused
    #[arg(long, value_name = "DIR", default_value = "fuzz-findings")]
    pub findings: PathBuf,

    /// Folder for the domains' logs [default: logs/ in the workspace]
    #[arg(long, value_name = "DIR")]
    pub logs: Option<PathBuf>,

    /// Known findings [default: from the configuration, else expectations.toml beside it, if any]
    #[arg(long, value_name = "FILE")]
    pub expect: Option<PathBuf>,

    /// QEMU [default: from the configuration]
    #[arg(long, value_name = "PATH")]
    pub qemu: Option<PathBuf>,
}

/// Backends of `fuzz hypercall`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DomainBackend {
    /// Domains on a Xen host
    Xl,
    /// Domains in a Linux dom0 that runs under Xen in QEMU
    QemuXl,
}

//! Options of `xtf-runner fuzz`, which are those of `xtf-fuzz`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use protocol::metadata::Environment;

use super::{FunctionArgs, LogsArgs, TestbedArgs, wide};

/// Exit codes of `fuzz`.
const FUZZ_EXIT_CODES: &str = "\
Exit codes: 0 no finding, or only KNOWN ones; 5 a divergence, 6 a crash, 7 a hang (the highest \
wins); 64 and above as for `run`.";

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
    /// Random hypercalls from unprivileged domains, which may die; Xen must survive
    #[command(after_help = FUZZ_EXIT_CODES)]
    Hypercall(HypercallArgs),
}

/// Targets that `xtf-fuzz` fuzzes.
#[derive(Clone, Debug, Subcommand)]
pub enum Guided {
    /// Sequences of valid and invalid livepatch calls from the control domain
    #[command(after_help = FUZZ_EXIT_CODES)]
    Livepatch(GuidedArgs),
    /// One payload with defects from the control domain: loaded, applied, reverted, unloaded
    #[command(after_help = FUZZ_EXIT_CODES)]
    Payload(GuidedArgs),
}

/// Options of a [`Guided`] target.
#[derive(Clone, Debug, Args)]
pub struct GuidedArgs {
    /// Xen, image and QEMU.
    #[command(flatten)]
    pub bed: TestbedArgs,

    /// Environment
    #[arg(long, value_name = "ENV", value_parser = wide, default_value = "pv64")]
    pub env: Environment,

    /// Whose coverage guides.
    #[command(flatten)]
    pub functions: FunctionArgs,

    /// Stop after this many seconds [default: no limit]
    #[arg(long, value_name = "N")]
    pub seconds: Option<u64>,

    /// Number of fuzzers, which share the CPUs; each has a machine for every CPU of its own, 4 at
    /// most
    #[arg(long, value_name = "N", default_value = "1")]
    pub cores: NonZeroUsize,

    /// Seed of all random choices; a single fuzzer repeats itself with the same seed, apart from
    /// what depends on time
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,

    /// Longest generated program, in calls: short ones run faster, long ones reach code that needs
    /// several payloads
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub steps: u8,

    /// Folder of programs to begin with; programs that reach a new block are added to it, and
    /// what is learned of this Xen
    #[arg(long, value_name = "DIR")]
    pub corpus: Option<PathBuf>,

    /// Forget what earlier runs with this corpus have learned of this Xen
    #[arg(long, requires = "corpus")]
    pub forget: bool,

    /// Folder for findings
    #[arg(long, value_name = "DIR", default_value = "fuzz-findings")]
    pub findings: PathBuf,

    /// File with expectations [default: the one that the configuration names, else
    /// expectations.toml beside it]
    #[arg(long, value_name = "FILE")]
    pub expect: Option<PathBuf>,

    /// The plugin for QEMU [default: the workspace's build, else beside the runner]
    #[arg(long, value_name = "PATH")]
    pub plugin: Option<PathBuf>,

    /// Loopback port of the broker that connects several fuzzers; with --cores 1 it lets others
    /// --join [default: 1337]
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,

    /// Exchange programs with the broker at this address; reach another host through an ssh tunnel
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub join: Option<SocketAddr>,
}

/// Options of `fuzz hypercall`.
#[derive(Debug, Args)]
pub struct HypercallArgs {
    /// Xen, image and QEMU.
    #[command(flatten)]
    pub bed: TestbedArgs,

    /// Environments of the domains, in turn
    #[arg(long, value_name = "ENV", value_parser = wide, value_delimiter = ',', default_value = "pv64,pvh64,hvm64")]
    pub env: Vec<Environment>,

    /// Where the domains run: in a Linux dom0 under QEMU, or on a Xen host
    #[arg(long, value_enum, default_value_t = DomainBackend::QemuXl)]
    pub backend: DomainBackend,

    /// Xen host for --backend xl, reached by ssh as root [default: this host]
    #[arg(long, value_name = "USER@BOX")]
    pub host: Option<String>,

    /// Configuration for ssh [default: the user's]
    #[arg(long, value_name = "FILE", requires = "host")]
    pub ssh_config: Option<PathBuf>,

    /// Start no further domain after this many seconds [default: no limit]
    #[arg(long, value_name = "N")]
    pub seconds: Option<u64>,

    /// Seed of the first domain; each further domain takes the next number
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,

    /// Calls made by a domain, if none of them ends it
    #[arg(long, value_name = "N", default_value_t = 5000)]
    pub steps: u64,

    /// Make only these calls, whole hypercalls or sub-ops of them: by their names in Xen's public
    /// headers, or by numbers, as `grant_table_op.copy,memory_op,20.7`. The calls that this fuzzer
    /// never makes remain left out
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub only: Vec<String>,

    /// Leave out these calls, named likewise
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub except: Vec<String>,

    /// Folder for findings
    #[arg(long, value_name = "DIR", default_value = "fuzz-findings")]
    pub findings: PathBuf,

    /// Where logs go.
    #[command(flatten)]
    pub logs: LogsArgs,

    /// File with expectations [default: the one that the configuration names, else
    /// expectations.toml beside it]
    #[arg(long, value_name = "FILE")]
    pub expect: Option<PathBuf>,
}

/// Backends of `fuzz hypercall`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DomainBackend {
    /// Domains on a Xen host
    Xl,
    /// Domains in a Linux dom0 that runs under Xen in QEMU
    QemuXl,
}

//! Options of `xtf-runner run`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{FetchArgs, InputPaths, ReportArgs, Selection};
use crate::base::environment::Environment;
use crate::machine::accel::Accel;
use crate::machine::qemu::BootMode;
use crate::machine::snapshot::SnapshotUse;
use crate::plan::partition::Partition;
use crate::xen::hypervisor::Look;

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// What to run.
    #[command(flatten)]
    pub selection: Selection,

    /// Where things are.
    #[command(flatten)]
    pub places: InputPaths,

    /// Xen: a name from the configuration, `all` of them, or a xen, xen.gz, .deb, or folder;
    /// repeatable
    #[arg(long, value_name = "NAME|PATH")]
    pub xen: Vec<String>,

    /// Whether to use the network.
    #[command(flatten)]
    pub fetch: FetchArgs,

    /// Environments [default: pv64 and pvh64, for domains hvm64 too]
    #[arg(long, value_name = "ENV", value_delimiter = ',')]
    env: Vec<Environment>,

    /// Who runs the image: as dom0 under QEMU, or as domains of the real xl, which is here, on
    /// --host, or in a Linux dom0 under QEMU
    #[arg(long, value_enum, default_value_t = BackendKind::Qemu)]
    pub backend: BackendKind,

    /// The Xen host of --backend xl, through ssh; root there [default: this machine]
    #[arg(long, value_name = "USER@BOX")]
    pub host: Option<String>,

    /// Configuration for ssh [default: the user's]
    #[arg(long, value_name = "FILE", requires = "host")]
    pub ssh_config: Option<PathBuf>,

    /// Only this share of the run, to spread it over machines: hash:M/N goes by names, count:M/N
    /// takes turns
    #[arg(long, value_name = "HOW:M/N")]
    pub partition: Option<Partition>,

    /// Time for each test, instead of the test's own
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,

    /// Boots at a time; one with several CPUs counts for as many [default: number of CPUs]
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,

    /// Give each test a boot of its own
    #[arg(long)]
    pub isolate: bool,

    /// Stop the machine before its first instruction and print the debugger's command; no timeouts,
    /// and only one boot
    #[arg(long, conflicts_with = "keep")]
    pub gdb: bool,

    /// Stop a machine that fails or crashes instead of ending it, print how to look at it, and wait;
    /// one boot at a time
    #[arg(long, conflicts_with = "jobs")]
    pub keep: bool,

    /// Print the QEMU commands and domains, and run nothing
    #[arg(long, conflicts_with = "fetch_only")]
    pub dry_run: bool,

    /// Accelerator; auto is KVM where Xen boots under it, which is tried once, else TCG
    #[arg(long, value_enum, default_value_t = Accel::Auto)]
    pub accel: Accel,

    /// fast: deterministic time that skips waiting (TCG, one CPU); plain: real time
    #[arg(long, value_enum, default_value_t = BootMode::Fast)]
    pub boot: BootMode,

    /// Start boots from a snapshot of the machine, taken when the guest is about to ask what to
    /// run: auto where several boots of the run are alike up to there; for fast boots only
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = SnapshotUse::Auto)]
    pub snapshot: SnapshotUse,

    /// Folder for logs [default: logs/ in the workspace]
    #[arg(long, value_name = "DIR")]
    pub logs: Option<PathBuf>,

    /// Get the selected Xens into the cache, as they are current now, and stop
    #[arg(long, conflicts_with = "offline")]
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

    /// What becomes of the results.
    #[command(flatten)]
    pub reports: ReportArgs,
}

impl RunArgs {
    /// When to look for newer versions of what is cached.
    pub fn look(&self) -> Look {
        if self.fetch_only { Look::Now } else { self.fetch.look() }
    }

    /// The environments that are wanted.
    pub fn environments(&self) -> &[Environment] {
        use Environment::{Hvm64, Pv64, Pvh64};
        match self.backend {
            _ if !self.env.is_empty() => &self.env,
            BackendKind::Qemu => &[Pv64, Pvh64],
            BackendKind::Xl | BackendKind::QemuXl => &[Pv64, Pvh64, Hvm64],
        }
    }
}

/// Backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BackendKind {
    /// Xen under QEMU, the image as its dom0
    Qemu,
    /// Domains on a Xen host
    Xl,
    /// Domains in a Linux dom0 that runs under each Xen in QEMU
    QemuXl,
}

//! Options of `xtf-runner run`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, ValueEnum};
use protocol::metadata::Environment;

use super::{FetchArgs, InputPaths, LoaderArgs, LogsArgs, ReportArgs, Selection};
use crate::machine::accel::Accel;
use crate::machine::debug::Debug;
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

    /// Xen: a name from the configuration, `all` of them, or a xen, xen.gz, xen.efi, package or
    /// folder; repeatable
    ///
    /// A folder may hold a Xen, or folders that each hold one: then it stands for all of them.
    /// Further paths may follow, as in `--xen DIR/*`. What a Xen from a path is called is the part
    /// of the path that tells it from others, unless NAME=PATH says otherwise. A xen-syms beside it
    /// is used where the configuration would name one.
    #[arg(long, value_name = "NAME|PATH|NAME=PATH")]
    pub xen: Vec<String>,

    /// How it is booted.
    #[command(flatten)]
    pub loader: LoaderArgs,

    /// Whether to use the network.
    #[command(flatten)]
    pub fetch: FetchArgs,

    /// Environments, or `all` that the backend has [default: pv64,pvh64; with --backend xl or qemu-xl
    /// also hvm64]
    #[arg(long, value_name = "ENV", value_delimiter = ',')]
    env: Vec<Place>,

    /// What runs the image: qemu as dom0; xl as domains, on this host or on --host; qemu-xl as
    /// domains in a Linux dom0 under QEMU
    #[arg(long, value_enum, default_value_t = BackendKind::Qemu)]
    pub backend: BackendKind,

    /// Xen host for --backend xl, reached by ssh as root [default: this host]
    #[arg(long, value_name = "USER@BOX")]
    pub host: Option<String>,

    /// Configuration for ssh [default: the user's]
    #[arg(long, value_name = "FILE", requires = "host")]
    pub ssh_config: Option<PathBuf>,

    /// Run only share M of N, to divide a run between hosts: hash:M/N assigns tests by name,
    /// count:M/N in turn
    #[arg(long, value_name = "HOW:M/N")]
    pub partition: Option<Partition>,

    /// Time limit for each test, in place of the one that the test declares
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,

    /// Boots at a time [default: number of CPUs]
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,

    /// Give each test a boot of its own
    #[arg(long)]
    pub isolate: bool,

    /// Stop the machine before its first instruction and print the command for a debugger; only one
    /// boot, and no time limits
    #[arg(long, conflicts_with = "keep")]
    pub gdb: bool,

    /// Pause a machine whose test failed or crashed, print how to inspect it, and wait; one boot at
    /// a time
    #[arg(long, conflicts_with = "jobs")]
    pub keep: bool,

    /// Make each boot that ended early once more, and keep all that `debug` needs to open it, here or
    /// elsewhere, with its logs
    #[arg(long, conflicts_with_all = ["gdb", "keep"])]
    pub record_failures: bool,

    /// Megabytes that --record-failures may keep in a run
    #[arg(long, value_name = "MB", default_value_t = 100, requires = "record_failures")]
    pub record_limit: u64,

    /// Exit codes for `git bisect run`: 0 for a success; 1 for a failure, a crash or a timeout; 125
    /// where this Xen can't be judged (a skip, an error, a Xen or an image that is not there); 128 and
    /// above, which ends the bisection, for all else
    #[arg(long, conflicts_with = "baseline")]
    pub bisect: bool,

    /// Print the QEMU commands or the domains, and run nothing
    #[arg(long, conflicts_with = "fetch_only")]
    pub dry_run: bool,

    /// Accelerator; auto uses KVM if Xen boots under it (tried once and remembered), else TCG
    #[arg(long, value_enum, default_value_t = Accel::Auto)]
    pub accel: Accel,

    /// fast: deterministic virtual time without waiting (TCG, one CPU); plain: real time
    #[arg(long, value_enum, default_value_t = BootMode::Fast)]
    pub boot: BootMode,

    /// Start fast boots from a snapshot of the machine, taken just before the guest reads its
    /// command line; auto does so where several boots of the run are alike up to there
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = SnapshotUse::Auto)]
    pub snapshot: SnapshotUse,

    /// Where logs go.
    #[command(flatten)]
    pub logs: LogsArgs,

    /// Download the current versions of the selected Xens into the cache, and run nothing
    #[arg(long, conflicts_with = "offline")]
    pub fetch_only: bool,

    /// Show the guest's output as it comes
    #[arg(long, short)]
    pub verbose: bool,

    /// QEMU [default: from the configuration]
    #[arg(long, value_name = "PATH")]
    pub qemu: Option<PathBuf>,

    /// Further parameters for the guest
    #[arg(long, value_name = "STR", allow_hyphen_values = true)]
    pub cmdline: Option<String>,

    /// Further arguments for Xen
    #[arg(long, value_name = "STR", allow_hyphen_values = true)]
    pub xen_cmdline: Option<String>,

    /// What becomes of the results.
    #[command(flatten)]
    pub reports: ReportArgs,

    /// Those of the words above that a run of a part needs as well, to come to the same results.
    #[arg(skip)]
    pub lasting: Vec<String>,
}

/// Options of which a run of a part needs none, or others: what to run on which Xen, how much at a
/// time, how the user watches, and where results go.
pub(super) const PASSING: [&str; 25] = [
    "selectors",
    "all",
    "exclude",
    "xen",
    "env",
    "partition",
    "jobs",
    "isolate",
    "gdb",
    "keep",
    "record_failures",
    "record_limit",
    "bisect",
    "dry_run",
    "fetch_only",
    "logs",
    "verbose",
    "json",
    "junit",
    "ktap",
    "html",
    "baseline",
    "retries",
    "flaky_result",
    "slow_timeout",
];

/// The words of `matches`, those of the `command` `run`, that are not [`PASSING`].
pub(super) fn lasting(command: &Command, matches: &ArgMatches) -> Vec<String> {
    let mut words = Vec::new();
    for arg in command.get_arguments() {
        let id = arg.get_id().as_str();
        let is_said = matches.value_source(id) == Some(ValueSource::CommandLine);
        let Some(name) = arg.get_long().filter(|_| is_said && !PASSING.contains(&id)) else {
            continue;
        };
        if !arg.get_action().takes_values() {
            words.push(format!("--{name}"));
            continue;
        }
        for value in matches.get_raw(id).into_iter().flatten() {
            let value = value.to_string_lossy();
            // What begins like an option is only taken for a value in one word with its own.
            if value.starts_with('-') {
                words.push(format!("--{name}={value}"));
            } else {
                words.extend([format!("--{name}"), value.into_owned()]);
            }
        }
    }
    words
}

impl RunArgs {
    /// When to look for newer versions of what is cached.
    pub fn look(&self) -> Look {
        if self.fetch_only { Look::Now } else { self.fetch.look() }
    }

    /// How a machine is looked at.
    pub fn debug(&self) -> Debug {
        match (self.gdb, self.keep) {
            (true, _) => Debug::Gdb,
            (_, true) => Debug::Keep,
            _ => Debug::No,
        }
    }

    /// The environments that are wanted.
    pub fn environments(&self) -> Vec<Environment> {
        let (all, usual): (&[_], &[_]) = match self.backend {
            BackendKind::Qemu => (&Environment::DOM0, &Environment::WIDE_DOM0),
            BackendKind::Xl | BackendKind::QemuXl => (&Environment::ALL, &Environment::WIDE),
        };
        if self.env.is_empty() {
            return usual.to_vec();
        }
        let of = |place: &Place| match place {
            Place::All => all.to_vec(),
            Place::One(environment) => vec![*environment],
        };
        self.env.iter().flat_map(of).collect()
    }
}

/// A word of --env.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Each that the backend has.
    All,
    /// This one.
    One(Environment),
}

impl ValueEnum for Place {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Place; 1 + Environment::ALL.len()] = {
            let mut all = [Place::All; 1 + Environment::ALL.len()];
            let mut index = 0;
            while index < Environment::ALL.len() {
                all[index] = Place::One(Environment::ALL[index]);
                index += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::All => Some(PossibleValue::new("all").help("Each that the backend has")),
            Self::One(environment) => environment.to_possible_value(),
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

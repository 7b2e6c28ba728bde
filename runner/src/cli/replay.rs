//! Options of `xtf-runner replay` and `xtf-runner minimize`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use protocol::metadata::Environment;

use super::{FetchArgs, InputPaths, LoaderArgs, TestbedArgs, wide};
use crate::machine::qemu::BootMode;

const REPLAY_EXIT_CODES: &str = "\
Exit codes: 0 agreement, 4 not replayed, 5 divergence, 6 crash, 7 hang (of several programs or Xens \
the highest); the others as for `run`.";

const MINIMIZE_EXIT_CODES: &str = "\
Exit codes: what the smaller program does: 5 divergence, 6 crash, 7 hang; 0 nothing to shrink, for the \
program ends in agreement; 4 not replayed; 130 interrupted, and the smallest program so far is kept; \
the others as for `run`.";

/// What to replay, and how.
#[derive(Debug, Args)]
pub struct ProgramArgs {
    /// The program: one livepatch call per line; see docs/fuzzing.md. `replay` also takes a folder
    /// of programs, such as the findings of `fuzz`
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Environment
    #[arg(long, value_name = "ENV", value_parser = wide, default_value = "pv64")]
    pub env: Environment,

    /// fast: deterministic virtual time without waiting (TCG, one CPU); plain: real time
    #[arg(long, value_enum, default_value_t = BootMode::Fast)]
    pub boot: BootMode,

    /// Time limit for the program, in place of the one that the test declares
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,
}

/// Options of `replay`.
#[derive(Debug, Args)]
#[command(after_help = REPLAY_EXIT_CODES)]
pub struct ReplayArgs {
    /// What and how.
    #[command(flatten)]
    pub program: ProgramArgs,

    /// Xen: a name from the configuration, `all` of them, or a xen, xen.gz, xen.efi, package or folder;
    /// repeat it for several
    #[arg(long, value_name = "NAME|PATH")]
    pub xen: Vec<String>,

    /// How it is booted.
    #[command(flatten)]
    pub loader: LoaderArgs,

    /// Whether to use the network.
    #[command(flatten)]
    pub fetch: FetchArgs,

    /// Where things are.
    #[command(flatten)]
    pub places: InputPaths,

    /// QEMU [default: from the configuration]
    #[arg(long, value_name = "PATH")]
    pub qemu: Option<PathBuf>,

    /// Print a document instead of a table; see docs/fuzzing.md
    #[arg(long, conflicts_with = "times")]
    pub json: bool,

    /// Replay N times, each on a fresh boot; stop at the first that ends in another way than the
    /// first one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub times: u32,

    /// Of several programs, how many at a time [default: number of CPUs]
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
}

/// Options of `minimize`.
#[derive(Debug, Args)]
#[command(after_help = MINIMIZE_EXIT_CODES)]
pub struct MinimizeArgs {
    /// What and how.
    #[command(flatten)]
    pub program: ProgramArgs,

    /// Xen, image and QEMU.
    #[command(flatten)]
    pub bed: TestbedArgs,

    /// Where to write the result [default: FILE.min]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Also print the result as a case for a suite, in Rust
    #[arg(long)]
    pub as_case: bool,
}

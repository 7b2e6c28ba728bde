//! Options of `xtf-runner mutate`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use protocol::metadata::Environment;

use crate::plan::partition::Partition;
use crate::xen::mutation::Operator;

use super::{FunctionArgs, LogsArgs, Selection, TestbedArgs};

/// Exit codes of `mutate`.
const MUTATE_EXIT_CODES: &str = "\
Exit codes: 0 measured, 5 a smaller share than --fail-under was killed; if the tests do not \
succeed on Xen itself, the code of `run`; 64 and above as for `run`.";

/// Options of `mutate`.
#[derive(Debug, Args)]
#[command(after_help = MUTATE_EXIT_CODES)]
pub struct MutateArgs {
    /// Which tests to measure.
    #[command(flatten)]
    pub selection: Selection,

    /// Xen, image and QEMU.
    #[command(flatten)]
    pub bed: TestbedArgs,

    /// Environments; a later one runs only on mutants that survived the earlier ones
    #[arg(long, value_name = "ENV", value_enum, value_delimiter = ',', default_value = "pv64")]
    pub env: Vec<Environment>,

    /// What to break.
    #[command(flatten)]
    pub functions: FunctionArgs,

    /// Kinds of mutants, separated by commas [default: branch; with --only: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_enum)]
    pub operators: Vec<Operator>,

    /// The plugin for QEMU, which tells what runs on which mutant [default: the workspace's build, else
    /// beside the runner]
    #[arg(long, value_name = "PATH")]
    pub plugin: Option<PathBuf>,

    /// Where logs go.
    #[command(flatten)]
    pub logs: LogsArgs,

    /// Mutants at a time [default: number of CPUs]
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,

    /// Time limit for a mutant to reach its first test, and for each test [default: 5 times the
    /// time on Xen itself, at least 5]
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,

    /// Write a line of JSON for each mutant when it is settled
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Continue with the results in --out that are of the same Xen, image and selection
    #[arg(long, requires = "out")]
    pub resume: bool,

    /// Run only share M of N of the mutants, to divide a campaign between hosts: hash:M/N assigns them
    /// by name, count:M/N in turn
    #[arg(long, value_name = "HOW:M/N")]
    pub partition: Option<Partition>,

    /// Run only the mutants that no result in these files, which --out wrote, calls killed: whatever
    /// the image and the tests, as long as Xen is the same
    #[arg(long, value_name = "FILE", value_delimiter = ',', conflicts_with = "only")]
    pub survivors_of: Vec<PathBuf>,

    /// Run nothing: show the results of the same campaign in these files, which --out wrote
    #[arg(long, value_name = "FILE", value_delimiter = ',',
          conflicts_with_all = ["out", "only", "list", "survivors_of"])]
    pub read: Vec<PathBuf>,

    /// With --read: whatever the image and the tests, as long as Xen is the same. A mutant that
    /// one of the campaigns killed is killed
    #[arg(long, requires = "read")]
    pub any_tests: bool,

    /// With --read: as tables in Markdown, for documents
    #[arg(long, requires = "read")]
    pub markdown: bool,

    /// Run only this mutant, with all output and logs of `run`: its name in --list, where an address
    /// may be in place of FUNCTION+OFFSET
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["out", "fail_under"])]
    pub only: Option<String>,

    /// List the mutants, and run nothing
    #[arg(long)]
    pub list: bool,

    /// Fail if a smaller share of the mutants is killed: of all operators together, without those
    /// that are known to be equivalent or that Xen patches at boot
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(..=100))]
    pub fail_under: Option<u8>,
}

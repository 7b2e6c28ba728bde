//! Options of `xtf-runner coverage`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use protocol::metadata::Environment;

use super::{FunctionArgs, LogsArgs, Selection, TestbedArgs, wide};

/// Exit codes of `coverage`.
const COVERAGE_EXIT_CODES: &str = "\
Exit codes: those of `run`. Coverage is reported whether or not the tests pass.";

/// Options of `coverage`.
#[derive(Debug, Args)]
#[command(after_help = COVERAGE_EXIT_CODES)]
pub struct CoverageArgs {
    /// What to run.
    #[command(flatten)]
    pub selection: Selection,

    /// Xen, image and QEMU.
    #[command(flatten)]
    pub bed: TestbedArgs,

    /// Environments; code counts as executed if any of them executes it
    #[arg(long, value_name = "ENV", value_parser = wide, value_delimiter = ',', default_value = "pv64,pvh64")]
    pub env: Vec<Environment>,

    /// What to look at.
    #[command(flatten)]
    pub functions: FunctionArgs,

    /// Write the annotated disassembly
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,

    /// Write all counts as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Write line coverage in lcov format; needs a xen-syms with debug information
    #[arg(long, value_name = "FILE")]
    pub lcov: Option<PathBuf>,

    /// Write the annotated disassembly as an HTML page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// The plugin for QEMU [default: the workspace's build, else beside the runner]
    #[arg(long, value_name = "PATH")]
    pub plugin: Option<PathBuf>,

    /// Where logs go.
    #[command(flatten)]
    pub logs: LogsArgs,

    /// Boots at a time [default: number of CPUs]
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,

    /// Time limit for each test, in place of the one that the test declares
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,
}

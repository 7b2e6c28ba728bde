//! Options of `xtf-runner coverage`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use super::{FetchArgs, FunctionArgs, InputPaths, Selection};
use crate::base::environment::Environment;

/// Exit codes of `coverage`.
const COVERAGE_EXIT_CODES: &str = "\
Exit codes: those of `run`; what was measured is reported whatever the tests said.";

/// Options of `coverage`.
#[derive(Debug, Args)]
#[command(after_help = COVERAGE_EXIT_CODES)]
pub struct CoverageArgs {
    /// What to run.
    #[command(flatten)]
    pub selection: Selection,

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

    /// Environments; what any of them executes counts
    #[arg(long, value_name = "ENV", value_delimiter = ',', default_value = "pv64,pvh64")]
    pub env: Vec<Environment>,

    /// What to look at.
    #[command(flatten)]
    pub functions: FunctionArgs,

    /// Write the annotated disassembly
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,

    /// Write everything for programs
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Write source lines as lcov has them; the xen-syms must have debug information
    #[arg(long, value_name = "FILE")]
    pub lcov: Option<PathBuf>,

    /// Write a page with the annotated disassembly
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// The plugin for QEMU [default: the workspace's build, else beside the runner]
    #[arg(long, value_name = "PATH")]
    pub plugin: Option<PathBuf>,

    /// CPUs' worth of boots at a time [default: number of CPUs]
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,

    /// Time for each test, instead of the test's own
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,

    /// QEMU [default: from the configuration]
    #[arg(long, value_name = "PATH")]
    pub qemu: Option<PathBuf>,
}

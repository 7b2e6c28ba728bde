//! Options of `xtf-runner judge`.

use std::path::PathBuf;

use clap::Args;
use protocol::metadata::Environment;

use super::{InputPaths, LogsArgs, ReportArgs};

/// Exit codes of `judge`.
const JUDGE_EXIT_CODES: &str = "\
Exit codes: as for `run`; 65 also where FILE holds no boot of the tests, 74 where it cannot be read.";

/// Options of `judge`.
#[derive(Debug, Args)]
#[command(after_help = JUDGE_EXIT_CODES)]
pub struct JudgeArgs {
    /// The console: a file, a serial device, a named pipe, or `-` for standard input
    ///
    /// A regular file is judged as a whole, without a clock. Anything else is judged as it comes,
    /// with the time limits of `run`.
    #[arg(value_name = "FILE|-")]
    pub console: PathBuf,

    /// Where things are.
    #[command(flatten)]
    pub places: InputPaths,

    /// Judge by the protocol alone, whatever image is found
    #[arg(long, conflicts_with = "image")]
    pub no_image: bool,

    /// What the results call the Xen [default: its version, as the console tells it]
    #[arg(long, value_name = "NAME")]
    pub xen: Option<String>,

    /// The environment, which the guest must name [default: the one that it names]
    #[arg(long, value_name = "ENV")]
    pub env: Option<Environment>,

    /// xen-syms of the Xen that ran, for the source lines of its last words; used where its build-id
    /// is the one on the console
    #[arg(long, value_name = "PATH")]
    pub symbols: Option<PathBuf>,

    /// Time limit for each test on a stream, in place of the one that the image declares; without
    /// an image there is none by default
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,

    /// Wait for N boots on a stream; by default judging ends when the first has ended and no other
    /// begins at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub boots: u32,

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

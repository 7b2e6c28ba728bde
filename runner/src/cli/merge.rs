//! Options of `xtf-runner merge`.

use std::path::PathBuf;

use clap::Args;

use super::report::ReportFiles;

/// Exit codes of `merge`.
const MERGE_EXIT_CODES: &str = "\
Exit codes: as for `run`, of all runs together, and 4 where something has no result; 64 usage, 65 a \
file does not hold results, 74 input/output.";

/// Options of `merge`.
#[derive(Debug, Args)]
#[command(after_help = MERGE_EXIT_CODES)]
pub struct MergeArgs {
    /// Results of `run --json`
    #[arg(value_name = "FILE.json", required = true)]
    pub files: Vec<PathBuf>,

    /// Where to write what they are together.
    #[command(flatten)]
    pub reports: ReportFiles,
}

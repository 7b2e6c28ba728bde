//! Options for the reports of `run`, and for what counts as a success.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Reports to write.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Results")]
pub struct ReportFiles {
    /// Write the results as JSON (docs/results.md); `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Write the results as JUnit XML; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,

    /// Write the results as KTAP, all boots in one; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub ktap: Option<PathBuf>,

    /// Write the results as one self-contained HTML page; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// Results of `run --json` of an earlier run, such as the last that succeeded: the end of the
    /// output and the page tell what differs; repeatable, for shares of --partition and for other
    /// Xens
    ///
    /// It does not change the exit code. `diff` has one for differences.
    #[arg(long, value_name = "FILE")]
    pub baseline: Vec<PathBuf>,
}

/// Reports, and what counts as a success.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Results")]
pub struct ReportArgs {
    /// Files.
    #[command(flatten)]
    pub files: ReportFiles,

    /// File with expectations [default: the one that the configuration names, else
    /// expectations.toml beside it]
    #[arg(long, value_name = "FILE")]
    pub expect: Option<PathBuf>,

    /// Count a success as a failure where an expectation says otherwise
    #[arg(long)]
    pub strict_news: bool,

    /// Boot a failed test up to N more times; a pass after a failure is FLAKY
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub retries: usize,

    /// How a flaky test counts
    #[arg(long, value_enum, default_value_t = FlakyResult::Pass)]
    pub flaky_result: FlakyResult,

    /// Mark tests and cases that take longer than this as slow
    #[arg(long, value_name = "SECS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub slow_timeout: u64,
}

/// How a test counts that passed after it had failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FlakyResult {
    /// As a success
    Pass,
    /// As a failure
    Fail,
}

//! Options of `xtf-runner generate`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Options of `generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// What to generate.
    #[command(subcommand)]
    pub what: Generated,
}

/// What follows from the sources.
#[derive(Debug, Subcommand)]
pub enum Generated {
    /// Write man pages, one for each subcommand
    Man {
        /// Folder; created if it is missing
        dir: PathBuf,
    },
    /// Write completions for bash, zsh and fish
    Completions {
        /// Folder; created if it is missing
        dir: PathBuf,
    },
    /// Print docs/changes.md
    Changes,
    /// Print docs/payload-checks.md
    PayloadChecks,
    /// Print docs/config.md
    Config,
    /// Print docs/cli.md
    Cli,
    /// Print tests/baseline.txt: how many cases each test has, and which of them are no success
    Baseline {
        /// Results of `run --json`
        #[arg(value_name = "RESULTS.json")]
        results: PathBuf,
        /// Leave out the test of that name; repeatable
        #[arg(long, value_name = "TEST")]
        without: Vec<String>,
    },
    /// Print docs/releases.md: what was measured on which Xen, and nothing else
    Releases {
        /// Results of `run --json`; of several runs of a test the last one counts
        #[arg(required = true, value_name = "RESULTS.json")]
        results: Vec<PathBuf>,
    },
}

//! Options of `xtf-runner list`.

use clap::Args;

use super::Places;

/// Options of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Where things are.
    #[command(flatten)]
    pub places: Places,

    /// Print the metadata as a JSON array
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,

    /// Print the index of tests and claims that is docs/tests.md
    #[arg(long)]
    pub markdown: bool,
}

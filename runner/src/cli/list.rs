//! Options of `xtf-runner list`.

use clap::Args;
use protocol::metadata::Environment;

use super::{InputPaths, Selection};
use crate::plan::partition::Partition;

/// Options of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Which tests; without selectors, every test in the image.
    #[command(flatten)]
    pub selection: Selection,

    /// Where things are.
    #[command(flatten)]
    pub places: InputPaths,

    /// Print the metadata as a JSON array
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,

    /// Print the index of tests and claims that is docs/tests.md
    #[arg(long, conflicts_with = "runs")]
    pub markdown: bool,

    /// Print the cases, too, in the form that selects them
    #[arg(long, conflicts_with_all = ["json", "markdown"])]
    pub cases: bool,

    /// Print each Xen, environment and test that `run` would run with the same selectors, --xen,
    /// --env and --partition
    #[arg(long)]
    pub runs: bool,

    /// Xen of --runs: a name from the configuration, `all` of them, or a path; repeatable
    #[arg(long, value_name = "NAME|PATH", requires = "runs")]
    pub xen: Vec<String>,

    /// Environments [default: all that the image supports; with --runs pv64,pvh64]
    #[arg(long, value_name = "ENV", value_delimiter = ',')]
    pub env: Vec<Environment>,

    /// Share for --runs, as for `run`
    #[arg(long, value_name = "HOW:M/N", requires = "runs")]
    pub partition: Option<Partition>,
}

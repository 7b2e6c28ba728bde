//! Options of `xtf-runner list`.

use clap::Args;

use super::{InputPaths, Selection};
use crate::base::environment::Environment;
use crate::plan::partition::Partition;

/// Options of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Which tests; without words, every test in the image.
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

    /// Print the cases, too, as they can be selected
    #[arg(long, conflicts_with_all = ["json", "markdown"])]
    pub cases: bool,

    /// Print what `run` would run with the same words, --xen, --env and --partition: each Xen,
    /// environment and test
    #[arg(long)]
    pub runs: bool,

    /// Xen of --runs: a name from the configuration, `all` of them, or a path; repeatable
    #[arg(long, value_name = "NAME|PATH", requires = "runs")]
    pub xen: Vec<String>,

    /// Environments [default: all of the image, with --runs pv64,pvh64]
    #[arg(long, value_name = "ENV", value_delimiter = ',')]
    pub env: Vec<Environment>,

    /// Share of --runs, as `run` takes it
    #[arg(long, value_name = "HOW:M/N", requires = "runs")]
    pub partition: Option<Partition>,
}

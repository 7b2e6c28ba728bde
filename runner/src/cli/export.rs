//! Options of `xtf-runner export`.

use std::path::PathBuf;

use clap::Args;

use super::{InputPaths, Selection};
use crate::base::environment::Environment;

/// Options of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Folder to write, new or empty or of an earlier export
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// What to export.
    #[command(flatten)]
    pub selection: Selection,

    /// Where things are.
    #[command(flatten)]
    pub places: InputPaths,

    /// Kinds of domain
    #[arg(long, value_name = "ENV", value_delimiter = ',', default_value = "pv64,pvh64,hvm64")]
    pub env: Vec<Environment>,

    /// Where DIR's contents are going to be installed, an absolute path [default: wherever they
    /// are; `xl create` has to be started from there]
    #[arg(long, value_name = "PATH")]
    pub prefix: Option<PathBuf>,

    /// Further words for the images' command line
    #[arg(long, value_name = "STR", allow_hyphen_values = true)]
    pub cmdline: Option<String>,
}

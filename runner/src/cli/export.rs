//! Options of `xtf-runner export`.

use std::path::PathBuf;

use clap::Args;
use protocol::metadata::Environment;

use super::{InputPaths, Selection};

/// Options of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Folder to write to: new, empty, or written by an earlier export
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

    /// Absolute path under which DIR will be installed [default: none; then start `xl create` from
    /// the top of the tree]
    #[arg(long, value_name = "PATH")]
    pub prefix: Option<PathBuf>,

    /// Further parameters for the images' command line
    #[arg(long, value_name = "STR", allow_hyphen_values = true)]
    pub cmdline: Option<String>,
}

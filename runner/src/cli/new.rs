//! Options of `xtf-runner new`.

use std::path::PathBuf;

use clap::Args;
use protocol::metadata::Category;

/// Options of `new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// Name of the test: lower case words joined by `-`, such as livepatch-limits
    #[arg(value_name = "NAME")]
    pub name: String,

    /// Title of the test, in one line
    #[arg(long, value_name = "TEXT", default_value = "What it proves, in one line")]
    pub title: String,

    /// XTF's category; special and in-development tests run only when named
    #[arg(long, value_name = "CATEGORY", value_enum, default_value_t = Category::Functional)]
    pub category: Category,

    /// Make it a test of what live patches do, for `xtf-runner payload try --with NAME`
    /// (docs/payloads.md)
    #[arg(long)]
    pub payloads: bool,

    /// Give the test a boot of its own, because it may leave Xen changed
    #[arg(long)]
    pub own_boot: bool,

    /// The source tree [default: the folder of the nearest xtf-runner.toml]
    #[arg(long, value_name = "DIR")]
    pub workspace: Option<PathBuf>,
}

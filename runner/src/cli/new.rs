//! Options of `xtf-runner new`.

use std::path::PathBuf;

use clap::Args;

use crate::image::Category;

/// Options of `new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// Name of the test: lower case words joined by `-`, such as livepatch-limits
    #[arg(value_name = "NAME")]
    pub name: String,

    /// One line for people
    #[arg(long, value_name = "TEXT", default_value = "What it shows, in a line")]
    pub title: String,

    /// XTF's category; tests that are special or in development run only when named
    #[arg(long, value_name = "CATEGORY", value_enum, default_value_t = Category::Functional)]
    pub category: Category,

    /// It may leave the hypervisor dirty: give it a boot of its own
    #[arg(long)]
    pub own_boot: bool,

    /// The source tree [default: the folder of the nearest xtf-runner.toml]
    #[arg(long, value_name = "DIR")]
    pub workspace: Option<PathBuf>,
}

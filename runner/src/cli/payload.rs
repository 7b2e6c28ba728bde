//! Options of `xtf-runner payload`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::XenArgs;

/// Options of `payload`.
#[derive(Debug, Args)]
pub struct PayloadArgs {
    /// The Xen.
    #[command(flatten)]
    pub on: XenArgs,

    /// Build-id in place of --xen, as `xl info` prints it
    #[arg(long, value_name = "HEX")]
    pub build_id: Option<String>,

    /// The file to write
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,

    /// Text that `xl info` shows as xen_extra while the patch is applied
    #[arg(long, value_name = "STR", default_value = "-xtf", allow_hyphen_values = true)]
    pub text: String,

    /// Version of struct livepatch_func
    #[arg(long, value_enum, default_value_t = FuncLayout::V2)]
    pub layout: FuncLayout,
}

/// Versions of the structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FuncLayout {
    /// Xen 4.8 to 4.13
    V1,
    /// Xen 4.14 and later
    V2,
}

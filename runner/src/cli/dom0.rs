//! Options of `xtf-runner dom0`.

use std::path::PathBuf;

use clap::Args;

use super::XenArgs;

/// Options of `dom0`.
#[derive(Debug, Args)]
pub struct Dom0Args {
    /// The Xen.
    #[command(flatten)]
    pub on: XenArgs,

    /// File to copy into the folder where the command runs; repeatable
    #[arg(long, value_name = "FILE")]
    pub put: Vec<PathBuf>,

    /// Write an ssh configuration in which this machine is called `xtf-dom0`
    #[arg(long, value_name = "FILE")]
    pub ssh_config: Option<PathBuf>,

    /// Further arguments for Xen
    #[arg(long, value_name = "STR", allow_hyphen_values = true)]
    pub xen_cmdline: Option<String>,

    /// QEMU [default: from the configuration]
    #[arg(long, value_name = "PATH")]
    pub qemu: Option<PathBuf>,

    /// Command to run in the dom0 [default: an interactive shell]
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

//! Options of `xtf-runner dom0`.

use std::path::PathBuf;

use clap::Args;

use super::FetchArgs;

/// Options of `dom0`.
#[derive(Debug, Args)]
pub struct Dom0Args {
    /// Xen: a name from the configuration, or a xen, xen.gz, .deb, or folder
    #[arg(long, value_name = "NAME|PATH")]
    pub xen: Option<String>,

    /// Whether to use the network.
    #[command(flatten)]
    pub fetch: FetchArgs,

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

    /// Configuration [default: the nearest xtf-runner.toml, else built in]
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,

    /// Command to run in the dom0 [default: an interactive shell]
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

//! Options of `xtf-runner dom0`.

use std::path::PathBuf;

use clap::Args;

use super::{LogsArgs, XenArgs};

/// Exit codes of `dom0`.
const DOM0_EXIT_CODES: &str = "\
Exit codes: that of the command, but for 255 and its death by a signal, which ssh does not tell from its \
own failure; 64 usage, 65 bad Xen, 69 missing or failing tool, ssh among them, 74 \
input/output, 130 interrupted, 143 terminated.";

/// Options of `dom0`.
#[derive(Debug, Args)]
#[command(after_help = DOM0_EXIT_CODES)]
pub struct Dom0Args {
    /// The Xen.
    #[command(flatten)]
    pub on: XenArgs,

    /// Debian packages to add to the dom0, with what they depend on; they are of the release that
    /// the dom0 is from
    #[arg(long, value_name = "PACKAGE", value_delimiter = ',')]
    pub with: Vec<String>,

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

    /// Where logs go.
    #[command(flatten)]
    pub logs: LogsArgs,

    /// Command to run in the dom0: one word is a line for its shell, several are a command and its
    /// arguments [default: an interactive shell]
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

//! Options of `xtf-runner debug`.

use std::path::PathBuf;

use clap::Args;
use protocol::metadata::Environment;

use super::{FetchArgs, InputPaths, LogsArgs};

const DEBUG_EXIT_CODES: &str = "\
Exit codes: 0 the boot ended as it did before, or was recorded for the first time; 4 it ended in \
another way; 64 it can't be recorded; 65 the folder holds no boot, or half a recording; 69 gdb or QEMU \
is missing or fails; the others as for `run`.";

/// Options of `debug`.
#[derive(Debug, Args)]
#[command(after_help = DEBUG_EXIT_CODES)]
pub struct DebugArgs {
    /// Folder with the logs of a boot, or of a recording; or a program, such as a finding of `fuzz`; or
    /// what selects the tests of one boot, as for `run`
    #[arg(value_name = "LOGDIR|FILE|SELECTOR", required = true)]
    pub what: Vec<String>,

    /// Xen, for a program or a selection: a name from the configuration, or a xen, xen.gz, package or folder
    #[arg(long, value_name = "NAME|PATH")]
    pub xen: Option<String>,

    /// Environment, for a program or a selection
    #[arg(long, value_name = "ENV", default_value = "pv64")]
    pub env: Environment,

    /// xen-syms of the same build, or the package with it [default: from the configuration]
    #[arg(long, value_name = "PATH")]
    pub symbols: Option<PathBuf>,

    /// Commands for gdb, which executes them at the end of the boot; repeatable
    #[arg(long, value_name = "FILE")]
    pub commands: Vec<PathBuf>,

    /// Leave gdb when the commands are done
    #[arg(long)]
    pub batch: bool,

    /// Start no gdb: print how to connect one, and wait
    #[arg(long, conflicts_with_all = ["commands", "batch"])]
    pub no_gdb: bool,

    /// Start no gdb: print the last calls of a function of Xen's or the guest's, or the last writes to
    /// a variable, a number or NUMBER+SIZE, on the way to the end; repeatable
    #[arg(long, value_name = "FUNCTION|ADDRESS", conflicts_with_all = ["commands", "batch", "no_gdb"])]
    pub trace: Vec<String>,

    /// Start no gdb: print who wrote last to a variable, a number or NUMBER+SIZE, and what; repeatable
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["commands", "batch", "no_gdb"])]
    pub why: Vec<String>,

    /// So many of the last ones [default: 20 for --trace, 3 for --why]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub last: Option<u16>,

    /// QEMU's plugin that counts instructions [default: the workspace's build, else beside the runner]
    #[arg(long, value_name = "PATH")]
    pub plugin: Option<PathBuf>,

    /// QEMU [default: the one of the logs; else from the configuration]
    #[arg(long, value_name = "PATH")]
    pub qemu: Option<PathBuf>,

    /// Where things are.
    #[command(flatten)]
    pub places: InputPaths,

    /// Whether to use the network.
    #[command(flatten)]
    pub fetch: FetchArgs,

    /// Where logs go.
    #[command(flatten)]
    pub logs: LogsArgs,
}

//! Options of `xtf-runner doctor`.

use std::path::PathBuf;

use clap::Args;

use super::InputPaths;

/// Exit codes of `doctor`.
const DOCTOR_EXIT_CODES: &str = "\
Exit codes: 0 nothing is in the way of a run, 69 something is; 64 and 74 as of `run`.";

/// Options of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = DOCTOR_EXIT_CODES)]
pub struct DoctorArgs {
    /// Where things are.
    #[command(flatten)]
    pub places: InputPaths,

    /// QEMU [default: from the configuration]
    #[arg(long, value_name = "PATH")]
    pub qemu: Option<PathBuf>,
}

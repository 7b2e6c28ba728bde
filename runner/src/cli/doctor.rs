//! Options of `xtf-runner doctor`.

use std::path::PathBuf;

use clap::Args;

use super::InputPaths;

/// Exit codes of `doctor`.
const DOCTOR_EXIT_CODES: &str = "\
Exit codes: 0 a run can start, 69 something is missing; 64 and 74 as for `run`.";

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

//! `xtf-runner payload`: live patches as files.

mod show;
mod write;

use crate::base::exit::{Exit, Result};
use crate::cli::{PayloadArgs, PayloadCommand};

/// Runs the command.
pub fn payload(args: &PayloadArgs) -> Result<Exit> {
    match &args.command {
        PayloadCommand::Show(args) => show::show(args),
        PayloadCommand::Write(args) => write::write(args),
    }
}

//! `xtf-runner payload`: live patches as files.

mod files;
mod show;
mod try_it;
mod write;

use crate::base::exit::{Exit, Result};
use crate::cli::{PayloadArgs, PayloadCommand};

/// Runs the command.
pub fn payload(args: &PayloadArgs) -> Result<Exit> {
    match &args.command {
        PayloadCommand::Show(args) => show::show(args),
        PayloadCommand::Try(args) => try_it::try_it(args),
        PayloadCommand::Write(args) => write::write(args),
    }
}

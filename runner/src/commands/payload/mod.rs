//! `xtf-runner payload`: live patches as files.

mod files;
mod show;
mod try_it;
mod write;

use std::path::Path;

use crate::base::exit::{Error, Exit, Result};
use crate::cli::{FetchArgs, PayloadArgs, PayloadCommand};
use crate::machine::testbed::ChosenXen;

/// Runs the command.
pub fn payload(args: &PayloadArgs) -> Result<Exit> {
    match &args.command {
        PayloadCommand::Show(args) => show::show(args),
        PayloadCommand::Try(args) => try_it::try_it(args),
        PayloadCommand::Write(args) => write::write(args),
    }
}

/// The Xens that are `wanted`, or the defaults; `symbols` belong to one.
fn chosen(
    config: Option<&Path>,
    wanted: &[String],
    fetch: &FetchArgs,
    symbols: Option<&Path>,
) -> Result<Vec<ChosenXen>> {
    let chosen = ChosenXen::each(config, wanted, fetch.look())?;
    if symbols.is_some() && chosen.len() > 1 {
        return Err(Error::Usage("--symbols is for one --xen".into()));
    }
    Ok(chosen)
}

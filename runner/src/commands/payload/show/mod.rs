//! `payload show`: what is in payloads, and what Xens will answer to them. Boots nothing.

pub mod file;
pub mod prospect;
#[cfg(test)]
mod tests;
mod text;
pub mod verdict;

use std::path::Path;

use serde::Serialize;

use self::file::Contents;
use self::verdict::{Answer, OnXen, Subject};
use super::files::read;
use crate::base::exit::{Exit, Result};
use crate::base::output::{json, write_out};
use crate::cli::ShowArgs;
use crate::machine::testbed::ChosenXen;

/// The form of the document.
const SCHEMA: &str = "xtf-rs/payload/1";

/// What is shown.
#[derive(Serialize)]
pub struct Shown<'a> {
    schema: &'static str,
    files: Vec<OfFile<'a>>,
    xens: Vec<OnXen>,
}

/// A file.
#[derive(Serialize)]
struct OfFile<'a> {
    path: &'a Path,
    #[serde(flatten)]
    contents: &'a Contents,
}

/// Runs the command.
pub fn show(args: &ShowArgs) -> Result<Exit> {
    let files = read(&args.files)?;
    let mut xens = Vec::new();
    if !args.xen.is_empty() {
        for chosen in ChosenXen::each(args.config.as_deref(), &args.xen, args.fetch.look())? {
            xens.push(Subject::obtain(&chosen)?.judge(&files, args.each));
        }
    }
    let paths = args.files.iter().zip(&files);
    let files = paths.map(|(path, (_, contents))| OfFile { path, contents }).collect();
    let shown = Shown { schema: SCHEMA, files, xens };
    write_out(&if args.json { json(&shown)? } else { text::text(&shown) })?;
    Ok(exit(&shown))
}

fn exit(shown: &Shown<'_>) -> Exit {
    let all = || shown.xens.iter().flat_map(|on| &on.files);
    if all().any(|verdict| verdict.upload == Answer::Refused) {
        Exit::Failure
    } else if all().any(|verdict| verdict.upload == Answer::Unknown) {
        Exit::Error
    } else {
        Exit::Success
    }
}

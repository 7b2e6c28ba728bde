//! `payload show`: what is in payloads, and what Xens will answer to them. Boots nothing.

pub mod file;
#[cfg(test)]
mod fuzz;
pub mod prospect;
#[cfg(test)]
mod tests;
mod text;
pub mod verdict;

use std::borrow::Cow;

use serde::Serialize;

use self::file::Contents;
use self::verdict::{Answer, OnXen, Subject, Verdict};
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
    #[serde(skip)]
    each: bool,
}

/// A file.
#[derive(Serialize)]
struct OfFile<'a> {
    path: Cow<'a, str>,
    #[serde(flatten)]
    contents: &'a Contents,
}

/// Runs the command.
pub fn show(args: &ShowArgs) -> Result<Exit> {
    let files = read(&args.files)?;
    let mut xens = Vec::new();
    if !args.xen.is_empty() {
        for chosen in ChosenXen::each(
            args.config.as_deref(),
            &args.xen,
            args.loader.loader,
            args.fetch.look(),
        )? {
            xens.push(Subject::read(&chosen, &chosen.obtain()?)?.judge(&files, args.each));
        }
    }
    let paths = args.files.iter().zip(&files);
    let files = paths
        .map(|(path, (_, contents))| OfFile { path: path.to_string_lossy(), contents })
        .collect();
    let shown = Shown { schema: SCHEMA, files, xens, each: args.each };
    write_out(&if args.json { json(&shown)? } else { text::text(&shown) })?;
    Ok(exit(&shown))
}

fn exit(shown: &Shown<'_>) -> Exit {
    let all = || shown.xens.iter().flat_map(|on| &on.files);
    // A file that is taken alone may belong upon another one.
    let refused = |verdict: &Verdict| {
        let apply = verdict.then.iter().any(|then| then.refuses_apply().is_some());
        verdict.upload == Answer::Refused || apply && !shown.each
    };
    if all().any(refused) {
        Exit::Failure
    } else if all().any(|verdict| verdict.upload == Answer::Unknown) {
        Exit::Error
    } else {
        Exit::Success
    }
}

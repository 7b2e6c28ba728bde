//! `xtf-runner diff`: the differences between the results of two runs.

use std::path::{Path, PathBuf};

use crate::base::exit::{Error, Exit, Result};
use crate::base::output::{json, note, write_out, write_to};
use crate::cli::{DiffArgs, ReportFiles};
use crate::report::told;
use crate::results::Document;
use crate::results::compare::{Baseline, SLOWER, Times, compare};
use crate::results::merge::{Source, merge};

/// What a partial document can be used for, in a message.
const PARTIAL: &str = "use --allow-partial to compare it";

/// Runs the command.
pub fn diff(args: &DiffArgs) -> Result<Exit> {
    let partial = |allowed: bool| (!allowed).then_some(PARTIAL);
    let old = side(&args.old, &args.with_old, partial(args.allow_partial))?;
    let new = side(&args.new, &args.with_new, partial(args.allow_partial))?;
    let times = Times {
        factor: args.slower.unwrap_or(SLOWER),
        floor: args.slower_floor,
        regress: args.slower.is_some(),
    };
    let diff = compare(old, &new, &args.map, times)?;
    if args.json {
        write_out(&json(&diff)?)?;
    } else {
        // Where colour is not wanted, the stream takes it out.
        let mut out = anstream::AutoStream::auto(std::io::stdout());
        write_to(&mut out, &told(&diff, usize::MAX))?;
    }
    Ok(if diff.regressed { Exit::Failure } else { Exit::Success })
}

/// The run that `--baseline` names, perhaps in several files.
pub fn baseline(args: &ReportFiles) -> Result<Option<Baseline>> {
    let Some((first, further)) = args.baseline.split_first() else { return Ok(None) };
    let remedy = "--baseline needs the results of a whole run, or of all its shares";
    Ok(Some(Baseline::of(side(first, further, Some(remedy))?)))
}

/// One side: a file, and others that belong to it. What is partial is refused if there is a `remedy`.
fn side(first: &Path, further: &[PathBuf], remedy: Option<&str>) -> Result<Document> {
    if further.is_empty() {
        return whole(Document::read(first)?, first, remedy);
    }
    let mut sources = vec![Source::read(first)?];
    for file in further {
        sources.push(Source::read(file)?);
    }
    let (document, remarks) = merge(&sources);
    remarks.iter().for_each(|remark| note(&remark.to_string()));
    whole(document, first, remedy)
}

fn whole(document: Document, path: &Path, remedy: Option<&str>) -> Result<Document> {
    match (&document.incomplete_because, remedy) {
        (Some(why), Some(remedy)) => {
            Err(Error::Data(format!("{} is partial ({why}); {remedy}", path.display())))
        }
        _ => Ok(document),
    }
}

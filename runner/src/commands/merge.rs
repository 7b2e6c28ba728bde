//! `xtf-runner merge`: several runs become one.

use std::collections::BTreeSet;

use crate::base::exit::{Error, Exit, Result};
use crate::base::output::note;
use crate::cli::MergeArgs;
use crate::commands::diff::baseline;
use crate::commands::run::report_files;
use crate::report;
use crate::results::merge::{self, Source};

/// Runs the command.
pub fn merge(args: &MergeArgs) -> Result<Exit> {
    let files = report_files(&args.reports)?;
    let baseline = baseline(&args.reports)?;
    let mut seen = BTreeSet::new();
    for file in &args.files {
        if !seen.insert(file) {
            return Err(Error::Usage(format!("{} is named twice", file.display())));
        }
    }
    let sources = args.files.iter().map(|file| Source::read(file)).collect::<Result<Vec<_>>>()?;
    let (document, remarks) = merge::merge(&sources);
    for remark in remarks {
        note(&remark.to_string());
    }
    report::tell(&document, files, baseline.as_ref())?;
    Ok(Exit::of_code(document.run.exit_code))
}

//! The files that the user asked for.
//!
//! The report files exist from before the first step of the run and say that they are partial until
//! it has ended, so that nobody takes the remains of a killed run, or of an earlier one, for
//! complete results.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::target::Target;
use super::{html, json, junit, ktap};
use crate::base::exit::{Error, Result};
use crate::results::Document;
use crate::results::compare::Diff;

/// While a run goes on, files are renewed after this time,
const INTERVAL: Duration = Duration::from_secs(2);
/// and after so many times the time that the last writing took: with a run, its reports grow.
const PATIENCE: u32 = 20;

/// A form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The document itself.
    Json,
    /// JUnit XML.
    Junit,
    /// KTAP.
    Ktap,
    /// A page.
    Html,
}

/// Files to write.
#[derive(Debug, Default)]
pub struct Files {
    wanted: Vec<(Form, Target)>,
    /// When they are to be renewed.
    due: Option<Instant>,
    /// What was written last is final.
    ended: bool,
    error: Option<Error>,
}

impl Files {
    /// `wanted` files, each of its own.
    pub fn new(wanted: Vec<(Form, PathBuf)>) -> Result<Files> {
        let mut files = Files::default();
        for (form, path) in wanted {
            let target = Target::at(&path)?;
            if let Some((other, _)) = files.wanted.iter().find(|(_, known)| known.is_same(&target))
            {
                let (one, other, path) = (other.option(), form.option(), path.display());
                return Err(Error::Usage(format!(
                    "{one} and {other} name the same file, {path}: one report would be lost; name \
                     another file"
                )));
            }
            files.wanted.push((form, target));
        }
        Ok(files)
    }

    /// Whether a report goes to standard output.
    pub fn take_stdout(&self) -> bool {
        self.wanted.iter().any(|(_, target)| matches!(target, Target::Out))
    }

    /// Whether the last writing was some time ago.
    pub fn are_old(&self) -> bool {
        self.due.is_none_or(|due| due <= Instant::now())
    }

    /// Whether the run that they are about has ended.
    pub fn are_final(&self) -> bool {
        self.ended
    }

    /// Writes them all; the page also has how `document` differs from a baseline. What is written in
    /// place is final.
    pub fn write(&mut self, document: &Document, diff: Option<&Diff>) {
        let start = Instant::now();
        self.ended = document.run.exit_code.is_some();
        for (form, target) in &self.wanted {
            if !self.ended && !matches!(target, Target::File(_)) {
                continue;
            }
            let text = form.text(document, diff, target.folder());
            if let Err(error) = text.and_then(|text| target.write(&text)) {
                self.error.get_or_insert(error);
            }
        }
        self.due = Some(Instant::now() + INTERVAL.max(PATIENCE * start.elapsed()));
    }

    /// The first error on the way.
    pub fn finish(&mut self) -> Result<()> {
        self.error.take().map_or(Ok(()), Err)
    }
}

impl Form {
    /// All of them.
    pub const ALL: [Form; 4] = [Form::Json, Form::Junit, Form::Ktap, Form::Html];

    /// The option that asks for it.
    fn option(self) -> &'static str {
        match self {
            Form::Json => "--json",
            Form::Junit => "--junit",
            Form::Ktap => "--ktap",
            Form::Html => "--html",
        }
    }

    /// The report of that form, to be put into `folder`.
    pub fn text(self, document: &Document, diff: Option<&Diff>, folder: &Path) -> Result<String> {
        match self {
            Form::Json => json::text(document),
            Form::Junit => junit::text(document),
            Form::Ktap => Ok(ktap::text(document)),
            Form::Html => Ok(html::text(document, diff, folder)),
        }
    }
}

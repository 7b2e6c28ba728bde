//! Reports of a run: the live [`display`], and files.
//!
//! Every file is made from the one [`Document`]; each form has a module. A new form is a new module
//! and an entry in [`Form`].
//!
//! This room may write to the terminal and to the files that the user named. It decides no verdict.

mod differences;
mod display;
mod files;
#[cfg(test)]
mod fuzz;
mod html;
mod json;
mod junit;
mod ktap;
mod matrix;
mod target;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

pub use differences::told;
pub use display::Display;
pub use files::{Files, Form};

use crate::base::exit::{Error, Result};
use crate::base::output::note;
use crate::results::compare::{Baseline, Diff};
use crate::results::event::{Listener, RunEvent};
use crate::results::{About, Document, Recorder, Run};

/// What is remembered of a run, and the files that hold it.
pub struct Record {
    recorder: Recorder,
    files: Files,
    /// An earlier run, with which this one is compared.
    baseline: Option<Baseline>,
}

/// Shows a run, remembers it, and keeps the files up to date.
pub struct Reporter<'r, W: Write + Send + 'static> {
    display: Display<W>,
    record: &'r mut Record,
}

impl Record {
    /// A run that begins now. Makes `files` say that no test has a result yet, before its first
    /// step: nobody shall take for its results what an earlier run left.
    pub fn open(files: Files) -> Record {
        let recorder = Recorder::new(Run::of_this_process());
        let mut record = Record { recorder, files, baseline: None };
        record.write();
        record
    }

    /// Compares the run with the `baseline` that was read, if one was to be read.
    pub fn compare_with(&mut self, baseline: Result<Option<Baseline>>) -> Result<()> {
        self.baseline = baseline?;
        Ok(())
    }

    /// A run of a command that does not write reports.
    pub fn without_files() -> Record {
        Record::open(Files::default())
    }

    /// Shows the run, of which it is now known what it is `about`, on standard output, or on
    /// standard error where a report goes to the former.
    pub fn show(
        &mut self,
        about: About<'_>,
        verbose: bool,
    ) -> Reporter<'_, Box<dyn Write + Send + 'static>> {
        let display =
            Display::new(screen(&self.files), verbose, about.slow, io::stderr().is_terminal());
        self.recorder.is_about(about);
        Reporter { display, record: self }
    }

    /// Makes the files say that the run did not start because of `error`. A run that did start has
    /// said itself how it ended.
    pub fn give_up(mut self, error: &Error) {
        if self.files.are_final() {
            return;
        }
        self.recorder.did_not_start(error);
        self.baseline = None;
        self.write();
        if let Err(error) = self.files.finish() {
            note(&error.to_string());
        }
    }

    fn write(&mut self) {
        let (document, diff) = self.results();
        self.files.write(&document, diff.as_ref());
    }

    /// All that is known so far, and what is different in it.
    fn results(&self) -> (Document, Option<Diff>) {
        let document = self.recorder.document();
        let tests = self.recorder.tests();
        let diff = self.baseline.as_ref().map(|baseline| baseline.against(&document, tests));
        (document, diff)
    }
}

/// Writes a document that is complete already to `files`, and shows it as the run itself would have.
pub fn tell(document: &Document, mut files: Files, baseline: Option<&Baseline>) -> Result<()> {
    let diff = baseline.map(|baseline| baseline.against(document, &[]));
    let out: Box<dyn Write + Send> = screen(&files);
    let mut display = Display::new(out, false, Duration::ZERO, false);
    display.summary(document, diff.as_ref());
    files.write(document, diff.as_ref());
    files.finish()?;
    shown(&mut display)
}

/// Standard output, or standard error where a report goes to the former.
fn screen(files: &Files) -> Box<dyn Write + Send + 'static> {
    if files.take_stdout() {
        Box::new(anstream::AutoStream::auto(io::stderr()))
    } else {
        Box::new(anstream::AutoStream::auto(io::stdout()))
    }
}

/// An error if nothing could be shown.
fn shown<W: Write + Send>(display: &mut Display<W>) -> Result<()> {
    match display.take_error() {
        Some(source) => Err(Error::Io { what: "cannot show the results".into(), source }),
        None => Ok(()),
    }
}

impl<W: Write + Send> Reporter<'_, W> {
    /// What happened; an error if a file could not be written, or nothing could be shown.
    pub fn finish(mut self) -> Result<Document> {
        self.record.files.finish()?;
        shown(&mut self.display)?;
        Ok(self.record.recorder.document())
    }
}

impl<W: Write + Send> Listener for Reporter<'_, W> {
    fn event(&mut self, event: &RunEvent<'_>) {
        let record = &mut *self.record;
        record.recorder.event(event);
        self.display.event(event);
        if matches!(event, RunEvent::RunEnded { .. }) {
            let (document, diff) = record.results();
            self.display.summary(&document, diff.as_ref());
        }
        let renew = match event {
            RunEvent::RunStarted { .. }
            | RunEvent::ListeningStarted { .. }
            | RunEvent::RunEnded { .. }
            // Which comes behind the end.
            | RunEvent::Recorded { .. } => true,
            RunEvent::BootEnded { .. } => record.files.are_old(),
            _ => false,
        };
        if renew {
            record.write();
        }
    }
}

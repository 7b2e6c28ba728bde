//! Reports of a run: the live [`display`], and files.
//!
//! Every file is made from the one [`Document`]; each form has a module. A new form is a new module
//! and an entry in [`Form`].
//!
//! This room may write to the terminal and to the files that the user named. It decides no verdict.

mod display;
mod files;
mod html;
mod json;
mod junit;
mod ktap;
mod matrix;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

pub use display::Display;
pub use files::{Files, Form};

use crate::base::exit::{Error, Result};
use crate::base::output::note;
use crate::image::Image;
use crate::results::event::{Listener, RunEvent};
use crate::results::{About, Document, Recorder};

/// Shows a run, remembers it, and keeps the files up to date.
pub struct Reporter<'f, W: Write + Send + 'static> {
    display: Display<W>,
    recorder: Recorder,
    files: Option<&'f mut Files>,
}

/// Makes `files` say that no test has a result yet, before the first step of a run: nobody shall
/// take for its results what an earlier run left.
pub fn open(files: &mut Files) -> Recorder {
    let recorder = Recorder::new(About::of_this_process());
    files.write(&recorder.document());
    recorder
}

/// Makes `files` say that the run did not start because of `error`. A run that did start has said
/// itself how it ended.
pub fn give_up(files: &mut Files, mut recorder: Recorder, error: &Error) {
    if files.are_final() {
        return;
    }
    recorder.did_not_start(error);
    files.write(&recorder.document());
    if let Err(error) = files.finish() {
        note(&error.to_string());
    }
}

/// A reporter on standard output, or on standard error where a report goes to the former.
pub fn to_terminal(
    about: About,
    files: Option<&mut Files>,
    verbose: bool,
) -> Reporter<'_, Box<dyn Write + Send + 'static>> {
    let out: Box<dyn Write + Send> = if files.as_ref().is_some_and(|files| files.take_stdout()) {
        Box::new(anstream::AutoStream::auto(io::stderr()))
    } else {
        Box::new(anstream::AutoStream::auto(io::stdout()))
    };
    let slow = Duration::from_secs_f64(about.run.slow_s);
    let display = Display::new(out, verbose, slow, io::stderr().is_terminal());
    Reporter { display, recorder: Recorder::new(about), files }
}

/// A reporter for a command that runs tests, but does not write reports.
pub fn without_files(
    image: &Image,
    qemu: &str,
) -> Result<Reporter<'static, Box<dyn Write + Send + 'static>>> {
    let about = About::run_of(image, qemu)?;
    Ok(to_terminal(about, None, false))
}

impl<W: Write + Send> Reporter<'_, W> {
    /// What happened; an error if a file could not be written, or nothing could be shown.
    pub fn finish(mut self) -> Result<Document> {
        if let Some(files) = &mut self.files {
            files.finish()?;
        }
        if let Some(source) = self.display.take_error() {
            return Err(Error::Io { what: "cannot show the results".into(), source });
        }
        Ok(self.recorder.document())
    }
}

impl<W: Write + Send> Listener for Reporter<'_, W> {
    fn event(&mut self, event: &RunEvent<'_>) {
        self.recorder.event(event);
        self.display.event(event);
        if matches!(event, RunEvent::RunEnded { .. }) {
            self.display.summary(&self.recorder.document());
        }
        let Some(files) = &mut self.files else { return };
        let renew = match event {
            RunEvent::RunStarted { .. } | RunEvent::RunEnded { .. } => true,
            RunEvent::BootEnded { .. } => files.are_old(),
            _ => false,
        };
        if renew {
            files.write(&self.recorder.document());
        }
    }
}

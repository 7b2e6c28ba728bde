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
use crate::image::Image;
use crate::results::event::{Listener, RunEvent};
use crate::results::{About, Document, Recorder};

/// Shows a run, remembers it, and keeps the files up to date.
pub struct Reporter<W: Write + Send + 'static> {
    display: Display<W>,
    recorder: Recorder,
    files: Files,
}

/// A reporter on standard output, or on standard error where a report goes to the former.
pub fn to_terminal(
    about: About,
    files: Files,
    verbose: bool,
) -> Reporter<Box<dyn Write + Send + 'static>> {
    let out: Box<dyn Write + Send> = if files.take_stdout() {
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
) -> Result<Reporter<Box<dyn Write + Send + 'static>>> {
    let about = About::run_of(image, qemu)?;
    Ok(to_terminal(about, Files::default(), false))
}

impl<W: Write + Send> Reporter<W> {
    /// What happened; an error if a file could not be written, or nothing could be shown.
    pub fn finish(mut self) -> Result<Document> {
        self.files.finish()?;
        if let Some(source) = self.display.take_error() {
            return Err(Error::Io { what: "cannot show the results".into(), source });
        }
        Ok(self.recorder.document())
    }
}

impl<W: Write + Send> Listener for Reporter<W> {
    fn event(&mut self, event: &RunEvent<'_>) {
        self.recorder.event(event);
        self.display.event(event);
        match event {
            RunEvent::RunStarted { .. } => self.files.write(&self.recorder.document()),
            RunEvent::BootEnded { .. } if self.files.are_old() => {
                self.files.write(&self.recorder.document());
            }
            RunEvent::RunEnded { .. } => {
                let document = self.recorder.document();
                self.display.summary(&document);
                self.files.write(&document);
            }
            _ => {}
        }
    }
}

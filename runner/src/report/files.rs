//! The files that the user asked for.
//!
//! The report files exist from before the first step of the run and say that they are partial until
//! it has ended, so that nobody takes the remains of a killed run, or of an earlier one, for
//! complete results. Each is replaced in one step.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use super::{html, json, junit, ktap};
use crate::base::exit::{Error, IoContext, Result};
use crate::results::Document;
use crate::results::compare::Diff;

/// Instead of a path: standard output.
const STDOUT: &str = "-";
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
    wanted: Vec<(Form, PathBuf)>,
    /// When they are to be renewed.
    due: Option<Instant>,
    /// What was written last is final.
    ended: bool,
    error: Option<Error>,
}

impl Files {
    /// `wanted` files, of which one may be `-`.
    pub fn new(wanted: Vec<(Form, PathBuf)>) -> Result<Files> {
        let to_stdout = wanted.iter().filter(|(_, path)| is_stdout(path)).count();
        if to_stdout > 1 {
            let [all @ .., last] = Form::ALL.map(Form::option);
            let all = all.join(", ");
            return Err(Error::Usage(format!("only one of {all} and {last} can be `-`")));
        }
        let mut files = Files { wanted, ..Files::default() };
        // Better now than after an hour.
        for (_, path) in files.wanted.iter_mut().filter(|(_, path)| !is_stdout(path)) {
            *path = std::path::absolute(&path).io("find", path)?;
            if let Some(kind) = device(path) {
                // Who opens a pipe waits for its reader.
                if !kind.is_fifo() {
                    OpenOptions::new().append(true).open(&path).io("write", path)?;
                }
                continue;
            }
            check(path)?;
            fs::create_dir_all(folder(path)).io("create", folder(path))?;
            NamedTempFile::new_in(folder(path)).io("write", path)?;
        }
        Ok(files)
    }

    /// Whether a report goes to standard output.
    pub fn take_stdout(&self) -> bool {
        self.wanted.iter().any(|(_, path)| is_stdout(path))
    }

    /// Whether the last writing was some time ago.
    pub fn are_old(&self) -> bool {
        self.due.is_none_or(|due| due <= Instant::now())
    }

    /// Whether the run that they are about has ended.
    pub fn are_final(&self) -> bool {
        self.ended
    }

    /// Writes them all; the page also has how `document` differs from a baseline. Standard output and devices only get what is final.
    pub fn write(&mut self, document: &Document, diff: Option<&Diff>) {
        let start = Instant::now();
        self.ended = document.run.exit_code.is_some();
        for (form, path) in &self.wanted {
            let text = || form.text(document, diff, Path::new("/"));
            let done = match (is_stdout(path), device(path).is_some()) {
                (false, false) => {
                    form.text(document, diff, folder(path)).and_then(|text| replace(path, &text))
                }
                _ if !self.ended => Ok(()),
                (true, _) => text().and_then(|text| crate::base::output::write_out(&text)),
                (_, true) => text().and_then(|text| append(path, &text)),
            };
            if let Err(error) = done {
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

fn is_stdout(path: &Path) -> bool {
    path == Path::new(STDOUT)
}

/// Refuses what nobody wants to be replaced by a report.
fn check(path: &Path) -> Result<()> {
    let mut start = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    let what = if path.is_dir() {
        "a folder"
    } else if read.is_ok() && start == *b"\x7fELF" {
        "an ELF file"
    } else {
        return Ok(());
    };
    let path = path.display();
    Err(Error::Usage(format!("a report would replace {path}, which is {what}; name another file")))
}

/// What is there, if it is no file that can be replaced: a device, a pipe.
fn device(path: &Path) -> Option<FileType> {
    let found = fs::metadata(path).ok()?.file_type();
    (!found.is_file() && !found.is_dir()).then_some(found)
}

fn append(path: &Path, text: &str) -> Result<()> {
    let device = OpenOptions::new().append(true).open(path).io("write", path)?;
    (&device).write_all(text.as_bytes()).io("write", path)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Puts `text` at `path` in one step.
pub fn replace(path: &Path, text: &str) -> Result<()> {
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .tempfile_in(folder(path))
        .io("write", path)?;
    file.write_all(text.as_bytes()).io("write", path)?;
    file.persist(path).map_err(|e| e.error).io("write", path)?;
    Ok(())
}

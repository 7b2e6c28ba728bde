//! How the process ends: one table of exit codes, and the error type that maps onto it.
//!
//! Codes up to 7 speak about the tests (0, 3, 4, 5 and 6 are upstream XTF's); from 64 on they speak
//! about the runner and its surroundings, numbered as in sysexits.h. Where several apply, the
//! highest wins: a broken tool makes the results below it incomplete.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::{ExitCode, Termination};

use crate::base::status::Status;

/// Every way for `xtf-runner` to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Everything selected succeeded; skips with a reason are allowed beside at least one success.
    Success = 0,
    /// Everything selected was skipped.
    Skip = 3,
    /// A test could not do its work, or broke the console protocol.
    Error = 4,
    /// Xen broke a claim.
    Failure = 5,
    /// Xen or the guest died.
    Crash = 6,
    /// A test exceeded its time limit.
    Timeout = 7,
    /// Bad command line or bad configuration.
    Usage = 64,
    /// The image or the Xen file is not what it should be.
    Data = 65,
    /// Nothing matches the selection.
    EmptySelection = 66,
    /// QEMU, apt or dpkg-deb is missing or fails.
    Tool = 69,
    /// Reading or writing a file failed.
    Io = 74,
    /// SIGINT: 128 + 2.
    Interrupted = 130,
    /// SIGTERM: 128 + 15.
    Terminated = 143,
}

/// What `git bisect run` is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bisected {
    /// This commit is good.
    Good = 0,
    /// It is bad.
    Bad = 1,
    /// It can't be judged.
    Skip = 125,
    /// Nor can any other: the bisection ends.
    Abort = 128,
}

impl From<Exit> for Bisected {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => Bisected::Good,
            Exit::Failure | Exit::Crash | Exit::Timeout => Bisected::Bad,
            Exit::Skip | Exit::Error | Exit::Data => Bisected::Skip,
            Exit::Usage
            | Exit::EmptySelection
            | Exit::Tool
            | Exit::Io
            | Exit::Interrupted
            | Exit::Terminated => Bisected::Abort,
        }
    }
}

impl Exit {
    /// All of them, by their codes.
    const ALL: [Exit; 13] = [
        Exit::Success,
        Exit::Skip,
        Exit::Error,
        Exit::Failure,
        Exit::Crash,
        Exit::Timeout,
        Exit::Usage,
        Exit::Data,
        Exit::EmptySelection,
        Exit::Tool,
        Exit::Io,
        Exit::Interrupted,
        Exit::Terminated,
    ];

    /// The one with that code.
    pub fn from_code(code: u8) -> Option<Exit> {
        Exit::ALL.into_iter().find(|exit| *exit as u8 == code)
    }

    /// The one with that code; a run without one, or with one that is not known, has not come to its end.
    pub fn of_code(code: Option<u8>) -> Exit {
        code.and_then(Exit::from_code).unwrap_or(Exit::Error)
    }
}

impl From<Status> for Exit {
    fn from(status: Status) -> Self {
        match status {
            Status::Success => Exit::Success,
            Status::Skip => Exit::Skip,
            Status::Error => Exit::Error,
            Status::Failure => Exit::Failure,
            Status::Crash => Exit::Crash,
            Status::Timeout => Exit::Timeout,
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// What stops the runner itself. The text names the file or option at fault and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Bad command line or bad configuration.
    #[error("{0}")]
    Usage(String),
    /// Bad image or bad Xen file.
    #[error("{0}")]
    Data(String),
    /// Nothing to run.
    #[error("{0}")]
    EmptySelection(String),
    /// A tool is missing or fails.
    #[error("{0}")]
    Tool(String),
    /// The operating system refused a file operation.
    #[error("{what}: {source}")]
    Io {
        /// The operation and its path.
        what: String,
        /// The system's own answer.
        source: io::Error,
    },
}

impl Error {
    /// The exit code of this error.
    pub fn exit(&self) -> Exit {
        match self {
            Error::Usage(_) => Exit::Usage,
            Error::Data(_) => Exit::Data,
            Error::EmptySelection(_) => Exit::EmptySelection,
            Error::Tool(_) => Exit::Tool,
            Error::Io { .. } => Exit::Io,
        }
    }
}

/// Shorthand of every fallible path here.
pub type Result<T> = std::result::Result<T, Error>;

/// Gives an `io::Error` the operation and path that it lacks.
pub trait IoContext<T> {
    /// Maps the error to [`Error::Io`] as "cannot DO PATH: why".
    fn io(self, action: impl fmt::Display, path: &Path) -> Result<T>;
}

impl<T, E: Into<io::Error>> IoContext<T> for std::result::Result<T, E> {
    fn io(self, action: impl fmt::Display, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io {
            what: format!("cannot {action} {}", path.display()),
            source: source.into(),
        })
    }
}

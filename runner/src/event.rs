//! What happens in a run, as a stream that displays and reports listen to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::Environment;
use crate::exit::Exit;
use crate::judge::TestReport;

/// One test on one Xen in one environment, settled.
#[derive(Clone, Debug)]
pub struct TestOutcome {
    /// Which Xen, as the user calls it.
    pub xen: String,
    /// Where.
    pub environment: Environment,
    /// The judge's report.
    pub report: TestReport,
    /// The guest's backtrace in words.
    pub frames: Vec<String>,
    /// The boot's folder.
    pub logs: PathBuf,
}

/// Something that happened.
#[derive(Debug)]
pub enum RunEvent<'a> {
    /// Something takes time, or is worth knowing.
    Note(&'a str),
    /// The first boot comes next.
    RunStarted {
        /// Planned boots.
        boots: usize,
        /// Tests in them.
        tests: usize,
        /// Folder of the logs.
        logs: &'a Path,
    },
    /// A boot begins.
    BootStarted {
        /// Which Xen.
        xen: &'a str,
        /// Where.
        environment: Environment,
        /// What will run.
        tests: &'a [&'a str],
    },
    /// The guest printed a line.
    GuestLine(&'a str),
    /// A boot ended; its outcomes follow.
    BootEnded,
    /// A test is settled.
    TestSettled(&'a TestOutcome),
    /// Nothing more comes.
    RunEnded {
        /// Time of the whole run.
        elapsed: Duration,
        /// The signal that ended it early.
        stopped: Option<Exit>,
    },
}

/// Whoever wants to know.
pub trait Listener {
    /// Takes the next event.
    fn event(&mut self, event: &RunEvent<'_>);
}

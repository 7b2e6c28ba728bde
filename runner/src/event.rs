//! What happens in a run, as a stream that displays and reports listen to.
//!
//! Several boots may be under way at a time: their events mix, and each bears its boot's number.

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
    /// Where the plan has it: boots end in any order, but final results are sorted by this.
    pub place: usize,
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
        /// The boot's number, as in its folder's name; all its events bear it.
        boot: usize,
        /// Which Xen.
        xen: &'a str,
        /// Where.
        environment: Environment,
        /// What will run.
        tests: &'a [&'a str],
    },
    /// The guest printed a line.
    GuestLine {
        /// In which boot.
        boot: usize,
        /// The line.
        text: &'a str,
    },
    /// A boot ended; its outcomes follow, and no other boot's event comes between them.
    BootEnded {
        /// Which one.
        boot: usize,
    },
    /// A test is settled.
    TestSettled {
        /// In which boot.
        #[expect(dead_code, reason = "for reports that group tests by boot")]
        boot: usize,
        /// What came of it.
        outcome: &'a TestOutcome,
    },
    /// Nothing more comes.
    RunEnded {
        /// Time of the whole run.
        elapsed: Duration,
        /// The signal that ended it early.
        stopped: Option<Exit>,
    },
}

/// Whoever wants to know. Called by one thread at a time, not always the same one.
pub trait Listener: Send {
    /// Takes the next event.
    fn event(&mut self, event: &RunEvent<'_>);
}

//! What happens in a run, as a stream that displays and reports listen to.
//!
//! Events of several boots interleave; each has the number of its boot.

use std::path::Path;
use std::time::{Duration, Instant};

use protocol::metadata::Environment;

use crate::base::exit::Exit;
use crate::judge::{Cause, Sights, TestReport};
use crate::results::expect::Weighed;
use crate::results::{Evidence, PayloadStep, Unit};

/// One test on one Xen in one environment, settled.
#[derive(Clone, Debug)]
pub struct SettledTest {
    /// Which Xen, as the user calls it.
    pub xen: String,
    /// Where.
    pub environment: Environment,
    /// The judge's report.
    pub report: TestReport,
    /// The same in the light of what is known.
    pub weighed: Weighed,
    /// It passed, and had failed before.
    pub flaky: bool,
    /// What was seen in the boot in which it began, and in each that went on with it, with the
    /// places in the source where they can be told.
    pub evidence: Vec<Evidence>,
    /// From 1 on.
    pub attempt: usize,
    /// It failed, and is booted again.
    pub again: bool,
    /// It was told of before: the end of its boot made it worse, or another boot went on with it.
    pub amended: bool,
    /// Where the plan has it: boots end in any order, but final results are sorted by this.
    pub index: usize,
}

/// How a boot came about.
#[derive(Clone, Copy, Debug)]
pub struct BootFacts<'a> {
    /// Where its Xen came from.
    pub provenance: &'a str,
    /// The build-id of that Xen in hexadecimal.
    pub build_id: Option<&'a str>,
    /// How Xen was booted.
    pub backend: &'a str,
    /// What loaded Xen, where that is known.
    pub loader: Option<&'a str>,
    /// How time runs, and on what.
    pub mode: &'a str,
    /// The exact command.
    pub command: &'a str,
    /// The boot's folder.
    pub logs: &'a Path,
    /// When it began; nothing where somebody else recorded it.
    pub power_on: Option<Instant>,
}

/// Something that happened.
#[derive(Debug)]
pub enum RunEvent<'a> {
    /// The first boot comes next.
    RunStarted {
        /// Planned boots.
        boots: usize,
        /// The tests in them; an outcome has its index in this.
        plan: &'a [Unit],
        /// Folder of the logs.
        logs: &'a Path,
    },
    /// A console comes next that somebody else records. Nothing is planned: tests are told of as
    /// soon as they are heard of.
    ListeningStarted {
        /// What the console is called.
        console: &'a str,
        /// Folder of the logs.
        logs: &'a Path,
    },
    /// There is a test that was not planned.
    TestHeardOf {
        /// In which boot.
        boot: usize,
        /// Its place among all tests.
        index: usize,
        /// The test.
        unit: &'a Unit,
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
        /// More about it.
        facts: &'a BootFacts<'a>,
    },
    /// The guest printed a line.
    GuestLine {
        /// In which boot.
        boot: usize,
        /// The line.
        text: &'a str,
    },
    /// Something that a person has to know at once.
    Note {
        /// Of which boot.
        boot: usize,
        /// Lines.
        text: &'a str,
    },
    /// Something came of making a boot again that ended early, to keep it.
    Recorded {
        /// Of which boot.
        boot: usize,
        /// Lines: where it is kept, or why it is not.
        text: &'a str,
    },
    /// The guest told what it found out about Xen.
    XenSeen {
        /// In which boot.
        boot: usize,
        /// What.
        sights: &'a Sights,
    },
    /// A test begins.
    TestStarted {
        /// In which boot.
        boot: usize,
        /// Its name.
        test: &'a str,
    },
    /// A test is settled: when the next one begins, or at the end of its boot. It comes once more,
    /// as a whole, for each boot that goes on with it, and in the rare case that the end of a boot
    /// casts doubt on what it said before.
    TestSettled {
        /// In which boot it began.
        boot: usize,
        /// What came of it.
        outcome: &'a SettledTest,
    },
    /// A boot that is about to be told as ended did this with live patches.
    PayloadSteps {
        /// In which boot.
        boot: usize,
        /// What.
        steps: &'a [PayloadStep],
    },
    /// A boot ended, and all its outcomes have been told.
    BootEnded {
        /// Which one.
        boot: usize,
        /// From power on to power off.
        elapsed: Duration,
        /// The Xen's version, as the guest was told.
        version: Option<&'a str>,
        /// What ended it early.
        ended_by: Option<Cause>,
    },
    /// Nothing more comes.
    RunEnded {
        /// Time of the whole run.
        elapsed: Duration,
        /// The signal that ended it early.
        stopped: Option<Exit>,
        /// The error that ended it early.
        error: Option<&'a str>,
        /// How the runner will end, as far as the results are concerned.
        exit: Exit,
    },
}

/// Whoever wants to know. Called by one thread at a time, not always the same one.
pub trait Listener: Send {
    /// Takes the next event.
    fn event(&mut self, event: &RunEvent<'_>);
}

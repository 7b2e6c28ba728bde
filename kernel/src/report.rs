//! The console protocol: XTF's banner and last line around nested KTAP.
//!
//! Statuses are XTF's, and only ever worsen.

use core::fmt;

use arch::trap;

use crate::println;
use crate::test::{Outcome, Stop, Test};
use crate::xen::{CommandLine, LivepatchSupport, Xen};

/// The status of a test or of the whole run, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Status {
    /// Every claim that was checked holds.
    Success,
    /// Nothing was checked, for a stated reason.
    Skip,
    /// A test could not do its work.
    Error,
    /// Xen broke a claim.
    Failure,
}

impl Status {
    const fn word(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::Skip => "SKIP",
            Self::Error => "ERROR",
            Self::Failure => "FAILURE",
        }
    }
}

impl From<&Outcome> for Status {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            // A tolerated deviation is no news; it stays visible in its own line.
            Ok(()) | Err(Stop::Deviation(..)) => Self::Success,
            Err(Stop::Skip(_)) => Self::Skip,
            Err(Stop::Error(_)) => Self::Error,
            Err(Stop::Failure(_)) => Self::Failure,
        }
    }
}

/// Collects statuses: the worst one counts, where a skip beside a success is no skip.
#[derive(Clone, Copy, Default)]
pub struct Tally {
    worst: Option<Status>,
    any_success: bool,
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, status: Status) {
        self.any_success |= status == Status::Success;
        self.worst = self.worst.max(Some(status));
    }

    /// The status of all together; none at all is an error.
    pub fn status(self) -> Status {
        match self.worst {
            None => Status::Error,
            Some(Status::Skip) if self.any_success => Status::Success,
            Some(worst) => worst,
        }
    }
}

/// Everything before the first result. Only the control domain knows Xen's `command_line`.
pub fn header(
    xen: &Xen,
    environment: impl fmt::Display,
    command_line: Option<&CommandLine>,
    tests: usize,
) {
    println!("--- Xen Test Framework ---");
    println!("Environment: {environment}");
    println!("xtf-rs {}: {tests} tests selected", env!("CARGO_PKG_VERSION"));
    println!("KTAP version 1");
    let (major, minor) = (xen.release.major, xen.release.minor);
    println!("# xen: {major}.{minor}{} ({})", xen.extraversion, xen.changeset);
    println!("# capabilities: {}", xen.capabilities);
    match &xen.build_id {
        Ok(id) => println!("# build-id: {}", Hex(id)),
        Err(errno) => println!("# build-id: not available ({errno})"),
    }
    match xen.livepatch {
        LivepatchSupport::Available(version) => {
            println!("# livepatch: sysctl interface version {version}");
        }
        LivepatchSupport::Denied(version, errno) => {
            println!("# livepatch: sysctl interface version {version}, denied ({errno})");
        }
        LivepatchSupport::NotBuilt => println!("# livepatch: not built into this Xen"),
        LivepatchSupport::UnknownVersion => {
            println!("# livepatch: no known sysctl interface version, or all denied (FLASK)");
        }
    }
    if !trap::fault_addresses_hold() {
        println!("# page faults: addresses unknown, CR2 reads as something else");
    }
    if let Some(command_line) = command_line {
        println!("# xen command line: {}", command_line.text);
        for complaint in &command_line.complaints {
            println!("# xen refuses: {complaint}");
        }
    }
    println!("1..{tests}");
}

/// The beginning of a test of which `cases` are going to run.
pub fn begin(test: &Test, cases: usize) {
    println!("  KTAP version 1");
    println!("  # Subtest: {}", test.name);
    println!("  1..{cases}");
}

/// The end of a case.
pub fn case(number: usize, name: &str, outcome: &Outcome) {
    result("  ", number, name, outcome);
}

/// The end of a test that ran. What its cases said has been printed; `leftover` is what the
/// framework found wrong afterwards.
pub fn end(number: usize, test: &Test, status: Status, leftover: &Outcome) {
    let name = test.name;
    match (status, leftover) {
        // A broken claim weighs more than what it left behind.
        (Status::Failure, Err(Stop::Error(why))) => {
            result("", number, name, &Err(Stop::Failure(why.clone())));
        }
        (_, Err(stop)) => result("", number, name, &Err(stop.clone())),
        (Status::Success, _) => println!("ok {number} {name}"),
        (Status::Skip, _) => println!("ok {number} {name} # SKIP every case was skipped"),
        (Status::Error, _) => {
            println!("not ok {number} {name} # ERROR a case could not do its work")
        }
        (Status::Failure, _) => println!("not ok {number} {name}"),
    }
}

/// A test that does not run at all.
pub fn skipped(number: usize, test: &Test, why: &str) {
    println!("ok {number} {} # SKIP {why}", test.name);
}

/// The last line.
pub fn verdict(status: Status) {
    println!("Test result: {}", status.word());
}

fn result(indent: &str, number: usize, name: &str, outcome: &Outcome) {
    match outcome {
        Ok(()) => println!("{indent}ok {number} {name}"),
        Err(Stop::Skip(why)) => println!("{indent}ok {number} {name} # SKIP {why}"),
        Err(Stop::Error(why)) => println!("{indent}not ok {number} {name} # ERROR {why}"),
        Err(Stop::Deviation(id, how)) => {
            println!("{indent}not ok {number} {name} # XFAIL {id}: {how}");
        }
        Err(Stop::Failure(how)) => {
            // KTAP: what explains a result comes before it.
            for line in how.lines() {
                println!("{indent}# {line}");
            }
            println!("{indent}not ok {number} {name}");
        }
    }
}

/// Bytes as hexadecimal digits.
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

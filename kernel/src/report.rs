//! Reports results on the console, in the words of [`protocol::console`].
//!
//! A status only ever worsens.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use arch::trap;
use livepatch::change::{Change, Entry};
use protocol::change::{CHANGES, NOTE, Sight};
use protocol::console::{
    BANNER, BUILD_ID, DIAGNOSTIC, DIRECTIVE, ENVIRONMENT, ERROR, INDENT, KTAP, KTAP_VERSION, NEWS,
    NOT_OK, OK, PLAN, RESULT, SKIP, SUBTEST, Status, TELLS_TOTALS, TOTALS, Totals, XEN,
    XEN_COMMAND_LINE, XEN_REFUSES, XFAIL,
};

use protocol::metadata::Environment;

use crate::outcome::{Outcome, Stop};
use crate::println;
use crate::test::Test;
use crate::xen::{CommandLine, LivepatchSupport, Xen};

/// What an outcome counts as.
pub fn status(outcome: &Outcome) -> Status {
    match outcome {
        // A tolerated deviation is no news; it stays visible in its own line.
        Ok(()) | Err(Stop::Deviation(..)) => Status::Success,
        Err(Stop::Skip(_)) => Status::Skip,
        Err(Stop::Error(_)) => Status::Error,
        Err(Stop::Failure(_)) => Status::Failure,
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

/// Whether the case that runs told of [`news`].
static TOLD_NEWS: AtomicBool = AtomicBool::new(false);

/// Counts the end of a case that ran just now.
pub fn count(totals: &mut Totals, outcome: &Outcome) {
    let news = TOLD_NEWS.swap(false, Ordering::Relaxed);
    *match outcome {
        Ok(()) if news => &mut totals.xpass,
        Ok(()) => &mut totals.pass,
        Err(Stop::Skip(_)) => &mut totals.skip,
        Err(Stop::Error(_)) => &mut totals.error,
        Err(Stop::Failure(_)) => &mut totals.fail,
        Err(Stop::Deviation(..)) => &mut totals.xfail,
    } += 1;
}

/// Everything before the first result. Only the control domain knows Xen's `command_line`.
pub fn header(
    xen: &Xen,
    environment: Environment,
    command_line: Option<&CommandLine>,
    tests: usize,
) {
    println!("{BANNER}");
    println!("{ENVIRONMENT}{environment}");
    let plural = if tests == 1 { "" } else { "s" };
    println!("xtf-rs {}: {tests} test{plural} selected", env!("CARGO_PKG_VERSION"));
    println!("{KTAP}{KTAP_VERSION}");
    let (major, minor) = (xen.release.major, xen.release.minor);
    println!("{DIAGNOSTIC}{XEN}{major}.{minor}{} ({})", xen.extraversion, xen.changeset);
    println!("# capabilities: {}", xen.capabilities);
    match &xen.build_id {
        Ok(id) => println!("{DIAGNOSTIC}{BUILD_ID}{}", Hex(id)),
        Err(errno) => println!("{DIAGNOSTIC}{BUILD_ID}not available ({errno})"),
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
            println!("# livepatch: no known sysctl interface version, or every sysctl is denied");
        }
    }
    sights(xen);
    if environment.has_paging() && !trap::fault_addresses_hold() {
        println!("# page faults: addresses are unknown, because CR2 cannot be read reliably");
    }
    if let Some(command_line) = command_line {
        println!("{DIAGNOSTIC}{XEN_COMMAND_LINE}{}", command_line.text);
        for complaint in &command_line.complaints {
            println!("{DIAGNOSTIC}{XEN_REFUSES}{complaint}");
        }
    }
    println!("{DIAGNOSTIC}{TELLS_TOTALS}");
    println!("{PLAN}{tests}");
}

/// What was observed of Xen's changes, and what is to be known about it.
fn sights(xen: &Xen) {
    let seen = |entry: &Entry| {
        let present = xen.findings.observed(entry.change)?;
        let surprising = present != xen.findings.expects(entry.change);
        Some(format!(" {}", Sight { name: entry.name, present, surprising }))
    };
    let words: String = Change::TABLE.iter().filter_map(seen).collect();
    if !words.is_empty() {
        println!("{DIAGNOSTIC}{}{words}", CHANGES.trim_end());
    }
    for note in xen.notes() {
        println!("{DIAGNOSTIC}{NOTE}{note}");
    }
}

/// The beginning of a test of which `cases` are going to run.
pub fn begin(test: &Test, cases: usize) {
    println!("{INDENT}{KTAP}{KTAP_VERSION}");
    println!("{INDENT}{DIAGNOSTIC}{SUBTEST}{}", test.name);
    println!("{INDENT}{PLAN}{cases}");
}

/// The end of a case.
pub fn case(number: usize, name: &str, outcome: &Outcome) {
    result(INDENT, number, name, outcome);
}

/// What a test's cases came to: each of their lines may get lost on a console.
pub fn totals(totals: &Totals) {
    println!("{INDENT}{DIAGNOSTIC}{TOTALS}{totals}");
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
        (Status::Success, _) => println!("{OK}{number} {name}"),
        (Status::Skip, _) => {
            println!("{OK}{number} {name}{DIRECTIVE}{SKIP} every case was skipped");
        }
        (Status::Error, _) => {
            println!("{NOT_OK}{number} {name}{DIRECTIVE}{ERROR} a case could not do its work");
        }
        (Status::Failure, _) => println!("{NOT_OK}{number} {name}"),
    }
}

/// A test that does not run at all.
pub fn skipped(number: usize, test: &Test, why: &str) {
    println!("{OK}{number} {}{DIRECTIVE}{SKIP} {why}", test.name);
}

/// The last line.
pub fn verdict(status: Status) {
    println!("{RESULT} {}", status.word());
}

fn result(indent: &str, number: usize, name: &str, outcome: &Outcome) {
    match outcome {
        Ok(()) => println!("{indent}{OK}{number} {name}"),
        Err(Stop::Skip(why)) => println!("{indent}{OK}{number} {name}{DIRECTIVE}{SKIP} {why}"),
        Err(Stop::Error(why)) => {
            println!("{indent}{NOT_OK}{number} {name}{DIRECTIVE}{ERROR} {why}");
        }
        Err(Stop::Deviation(id, how)) => {
            println!("{indent}{OK}{number} {name}{DIRECTIVE}{XFAIL} {id}: {how}");
        }
        Err(Stop::Failure(how)) => {
            // KTAP: what explains a result comes before it.
            explain(indent, how);
            println!("{indent}{NOT_OK}{number} {name}");
        }
    }
}

/// The case that runs met what is not expected of this Xen any more, and is no failure.
pub fn news(deviation: &str, how: fmt::Arguments<'_>) {
    TOLD_NEWS.store(true, Ordering::Relaxed);
    explain(INDENT, &format!("{NEWS}{deviation}: {how}"));
}

/// Lines that explain what comes after them, or what is going on.
pub fn explain(indent: &str, text: &str) {
    for line in text.lines() {
        println!("{indent}{DIAGNOSTIC}{line}");
    }
}

/// Bytes as hexadecimal digits.
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

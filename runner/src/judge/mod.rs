//! The judge: console bytes in, results out. No clock, no files, no processes.
//!
//! The judge checks everything that it can compute: plans, numbers and names against the image's
//! metadata, a test's result line and its totals against its cases, the last line against the tests.
//! A contradiction is an ERROR of that test, or of all tests of the boot where it concerns the whole.
//! It never improves a status.
//!
//! When a boot ends early, the judge blames one test, so that booting the rest again makes
//! progress: the test that was running; else the last one that reported; else, if the plan was
//! printed, the first expected one; else all of them. In the test that was running, the end of the
//! boot is the verdict on the case that was under way; those behind it are not run.
//!
//! [`splitter`] makes lines of bytes, `line` takes them in, and `grammar` says what each means.
//! `running` follows the test that is under way, `command_line` and [`xen`] follow what Xen says,
//! with or without the time in front of it (`timestamp`), `sights` keeps what the guest found out
//! about Xen, and `end` settles the boot. `firmware` hears what comes before Xen, and `inability`
//! knows the ends that say what a Xen cannot do.
//!
//! Of a boot that nobody here planned, the console alone tells which tests there are (`catalogue`).
//! What else such a console holds, a [`recording`] takes away: other boots, and what its recorder
//! put in front of each line (`prefix`).

mod catalogue;
mod command_line;
mod end;
mod firmware;
mod grammar;
mod inability;
mod judgement;
mod line;
mod prefix;
mod reason;
pub mod recording;
mod running;
mod sights;
pub mod splitter;
mod state;
mod timestamp;
pub mod xen;

pub use catalogue::NO_TEST;
pub use firmware::GRUB_GIVES_UP;
pub use judgement::{
    CaseReport, Catalogue, Cause, End, EndedIn, Event, Judgement, PlannedTest, TestReport, Verdict,
    WentOn,
};
pub use sights::{SeenChange, Sights};
pub use state::{FLOOD_LIMIT, GUEST_FLOOD_LIMIT, Judge};
pub use xen::Vitals;

#[cfg(test)]
mod tests;

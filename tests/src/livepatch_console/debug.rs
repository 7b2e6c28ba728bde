//! What a debug build says besides.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use kernel::{Answer, Context, Outcome, Stop};
use livepatch::abi::ActionCmd;

use super::key::{BASE, Shown, address_of};
use super::said::{Ear, are_lines};
use crate::support::{action_with, load_marker};

/// What is heard of a payload on behalf of Xen's developers. In front of it is the place in the
/// source.
fn details(ear: &Ear, name: &str) -> Result<Vec<String>, Stop> {
    let begins = format!(": livepatch: {name}: ");
    let detail = |line: &String| line.split_once(&*begins).map(|(_, rest)| String::from(rest));
    let details: Vec<String> = ear.lines()?.iter().filter_map(detail).collect();
    if details.is_empty() {
        return Err(Stop::skip("this Xen is no debug build, or its command line lacks loglvl=all"));
    }
    Ok(details)
}

/// Each symbol of a payload's own, with its address and its section.
pub fn symbols(context: &Context) -> Outcome {
    let ear = Ear::new(context)?;
    let _loaded = Shown::load(context, "symbols")?;
    let details = details(&ear, "symbols")?;
    let begins = format!("Symbol resolved: {BASE} ");
    let of_base: Vec<String> = details.into_iter().filter(|l| l.starts_with(&begins)).collect();
    let base = address_of(context, BASE)?;
    are_lines("the symbol", &of_base, &[format!("{begins}=> {base:#x} (.text)")])
}

/// How long Xen may wait for other CPUs: 30 ms, if the call says nothing (`schedule_work`).
pub fn timeout(context: &Context) -> Outcome {
    let loaded = load_marker(context, "-time")?;
    for (asked, told) in [(0, 30_000_000), (2_000_000_000, 2_000_000_000)] {
        for action in [ActionCmd::Apply, ActionCmd::Revert] {
            let ear = Ear::new(context)?;
            action_with(context, &loaded, action, asked, 0).must_be(Answer::SUCCESS)?;
            let details = details(&ear, "-time")?;
            are_lines("the details", &details, &[format!("timeout is {told}ns")])?;
        }
    }
    Ok(())
}

//! The ring itself, which everything else here relies on.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use kernel::hypercall::console_ring;
use kernel::{Context, Outcome, Stop, expect, expect_that};
use livepatch::payload::{Function, code};

use super::said::{Ear, lines_of, press};
use crate::support::{load, payload};

/// What is heard from a moment on begins with what comes next, and is not used up.
pub fn goes_on(context: &Context) -> Outcome {
    let before = Ear::new(context)?;
    expect("bytes before anything is said", before.lines()?.len(), 0)?;
    press(context)?;
    let once = before.lines()?;
    let between = Ear::new(context)?;
    press(context)?;
    expect("what is said the second time", between.lines()?, once.clone())?;
    expect("both times", before.lines()?, [&*once, &once].concat())
}

/// How large a ring this fills: the default is 16 KiB on one CPU.
const LARGEST: usize = 64 << 10;

/// The same is said again and again. Each time it is heard whole, also when it goes over the end of
/// the ring to its beginning; and what was heard first is lost in the end.
pub fn wraps(context: &Context) -> Outcome {
    let mut patch = payload(context, "many")?;
    // As much as half of the smallest ring.
    for _ in 0..100 {
        patch = patch.function(Function::named("xen_extra_version", code::ret()));
    }
    // A debug build says more than its ring holds when it takes that.
    let _loaded = load(context, "many", &patch)?;
    let first = Ear::new(context)?;
    press(context)?;
    let said = first.try_bytes()?.ok_or_else(|| Stop::error("the ring is too small"))?;
    let mut total = said.len();
    while first.try_bytes()?.is_some() {
        if total > LARGEST {
            return Err(Stop::skip(format_args!("Xen's ring is larger than {LARGEST} bytes")));
        }
        let ear = Ear::new(context)?;
        press(context)?;
        let again = ear.try_bytes()?.ok_or_else(|| Stop::error("the ring is too small"))?;
        let place = format!("after {total} bytes");
        expect(&place, lines_of(&again), lines_of(&said))?;
        total += again.len();
    }
    // All of it is full of what was said last.
    let (ring, _) = console_ring::read_all(context.livepatch().version)
        .map_err(|errno| Stop::skip(format_args!("XEN_SYSCTL_readconsole answers {errno}")))?;
    expect_that(ring.len().is_power_of_two(), "a ring of a power of two bytes that is full")?;
    let (ring, said) = (lines_of(&ring), lines_of(&said));
    // Of the oldest line there may be only the end.
    let pairs = ring.iter().skip(1).rev().zip(said.iter().rev().cycle());
    let odd = pairs.filter(|(actual, expected)| actual != expected).map(|(actual, _)| actual);
    expect("lines in the ring that were not said last", odd.collect(), Vec::<&String>::new())
}

//! # payload-try
//!
//! Takes the live patches that `xtf-runner payload try` hands over through their life, as a stack:
//! all of them are uploaded and applied in the order given, and reverted and unloaded in the reverse
//! order. Each step is on the console before it is made (`#>`), and what Xen answered behind it
//! (`#=`). The cases build upon each other. When one of them fails, those after it are skipped, and the
//! first of them removes what is loaded. Only `as_foretold` runs nevertheless: it compares Xen's first
//! answers with those that the runner foretold.
//!
//! Somebody who looks from outside of the machine is asked to remember Xen's code before the first
//! upload, and to compare it with what it is while all payloads are applied, and in the end. No
//! other case depends on these two.
//!
//! The first life warms Xen's allocators up. Memory is compared over the `cycles` further ones.
#![forbid(unsafe_code)]

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use kernel::hypercall::version::{Text, text};
use kernel::livepatch::Entry;
use kernel::payloads::{self, Stack, Step};
use kernel::{
    Case, Category, Context, Environment, Need, Outcome, Stop, Test, expect, lookout, smp,
};
use protocol::lookout::{LOOKOUT, Request};
use protocol::payloads::{Answered, FORETOLD as FORETOLD_FOLDER};
use protocol::programs::{CYCLES, FORETOLD, PAYLOAD_TRY, REPLACES};
use spin::Mutex;

use crate::support::free_pages;

/// The test.
pub const TEST: Test = Test {
    name: PAYLOAD_TRY,
    title: "Given live patches, from their upload to the last trace of them",
    category: Category::Utility,
    environments: &Environment::DOM0,
    needs: &[Need::Privileged, Need::Livepatch, Need::Payloads],
    default: false,
    timeout_s: 60,
    parameters: &[CYCLES, FORETOLD, LOOKOUT, REPLACES],
    cases: &ON_ONE_CPU,
    ..Test::DEFAULT
};

/// How many there are.
const CASES: usize = 11;

const ON_ONE_CPU: [Case; CASES] = cases::<1>();

/// The cases for a machine with so many CPUs, the last of which is busy meanwhile if there are
/// several.
pub const fn cases<const CPUS: usize>() -> [Case; CASES] {
    [
        Case::new("upload", |c| stage::<CPUS>(c, "upload", upload)),
        Case::new("listed", |c| stage::<CPUS>(c, "listed", |stack, _| stack.listed())),
        Case::new("apply", |c| stage::<CPUS>(c, "apply", |stack, _| stack.apply())),
        Case::new("code_while_applied", |c| {
            stage::<1>(c, "code_while_applied", |_, _| Ok(()))?;
            lookout::ask(Request::Patched)
        }),
        Case::new("revert", |c| stage::<CPUS>(c, "revert", |stack, _| stack.revert())),
        Case::new("apply_again", |c| {
            stage::<CPUS>(c, "apply_again", |stack, _| stack.apply_again())
        }),
        Case::new("unload", |c| stage::<CPUS>(c, "unload", unload)),
        Case::new("cycles", |c| stage::<CPUS>(c, "cycles", |stack, _| cycles(stack))),
        Case::new("nothing_is_left", |c| stage::<CPUS>(c, "nothing_is_left", nothing_is_left)),
        Case::new("code_restored", code_restored),
        Case::new("as_foretold", as_foretold),
    ]
}

/// How many cycles there are if nobody says it.
const CYCLES_DEFAULT: u64 = 3;

/// What the cases know of those before them.
struct Progress {
    /// So many of them have passed.
    passed: usize,
    /// The version stamp before the first upload.
    stamp: u32,
    /// Xen's free pages after the first life.
    free_pages: u64,
    /// What Xen answered first to each step with each payload.
    answers: Vec<Step>,
}

impl Progress {
    const NONE: Self = Self { passed: 0, stamp: 0, free_pages: 0, answers: Vec::new() };

    fn remember(&mut self, steps: Vec<Step>) {
        for step in steps {
            let same = |other: &Step| (other.payload, other.step) == (step.payload, step.step);
            if !self.answers.iter().any(same) {
                self.answers.push(step);
            }
        }
    }
}

static PROGRESS: Mutex<Progress> = Mutex::new(Progress::NONE);

/// The case `name`, unless one before it did not pass.
fn stage<const CPUS: usize>(
    context: &Context,
    name: &str,
    work: fn(&Stack<'_>, &mut Progress) -> Outcome,
) -> Outcome {
    let stack = context.payloads()?;
    let mut progress = PROGRESS.lock();
    let number = TEST.cases.iter().position(|case| case.name == name).unwrap_or_default();
    if number == 0 {
        *progress = Progress::NONE;
    }
    if progress.passed < number {
        let missing = TEST.cases[progress.passed].name;
        context.livepatch().remove_all()?;
        return Err(Stop::skip(format_args!("`{missing}` did not pass before")));
    }
    let others = (CPUS > 1).then(|| smp::repeat(CPUS - 1, something_harmless)).transpose()?;
    let outcome = work(&stack, &mut progress);
    drop(others);
    progress.remember(stack.take_answers());
    if outcome.is_ok() {
        progress.passed = number + 1;
    }
    outcome
}

/// Enters Xen, through code that a payload may replace at this moment, and computes a while.
fn something_harmless() {
    const ROUNDS: usize = 1000;
    // What it answers depends on the payloads.
    let _ = text(Text::Extraversion);
    (0..ROUNDS).for_each(|_| core::hint::spin_loop());
}

fn upload(stack: &Stack<'_>, progress: &mut Progress) -> Outcome {
    // If that fails, `code_restored` says so: whoever looks remembers that, too.
    let _ = lookout::ask(Request::Remember);
    progress.stamp = stack.context.livepatch().totals()?.version;
    stack.upload()
}

fn unload(stack: &Stack<'_>, progress: &mut Progress) -> Outcome {
    stack.unload()?;
    progress.free_pages = free_pages(stack.context)?;
    Ok(())
}

fn number_of_cycles(context: &Context) -> Result<u64, Stop> {
    context.parameter(CYCLES, CYCLES_DEFAULT)
}

fn cycles(stack: &Stack<'_>) -> Outcome {
    let total = number_of_cycles(stack.context)?;
    for number in 1..=total {
        stack.live().map_err(|stop| stop.at(format_args!("cycle {number} of {total}")))?;
    }
    Ok(())
}

fn nothing_is_left(stack: &Stack<'_>, progress: &mut Progress) -> Outcome {
    let Stack { context, files, .. } = stack;
    let left = context.livepatch().payload_list()?;
    expect("payloads", left.entries.iter().map(Entry::display_name).collect(), Vec::new())?;
    // An upload and an unload for each file and life.
    let lives = 1 + number_of_cycles(context)?;
    let moves = (2 * files.len() as u64).wrapping_mul(lives) as u32;
    expect("version stamp", left.totals.version, progress.stamp.wrapping_add(moves))?;
    expect("free pages", free_pages(context)?, progress.free_pages)
}

/// Also after a step that failed, once what it left behind is removed.
fn code_restored(context: &Context) -> Outcome {
    context.livepatch().remove_all()?;
    lookout::ask(Request::Restored)
}

fn as_foretold(context: &Context) -> Outcome {
    compare(context, &PROGRESS.lock().answers)
}

/// Compares the first answer to each step with what was foretold of it.
pub fn compare(context: &Context, answers: &[Step]) -> Outcome {
    const NOTHING: &str = "nothing was foretold for this Xen";
    let number = context.parameter(FORETOLD, u64::MAX)?;
    let file = payloads::file(&format!("{FORETOLD_FOLDER}{number}"))?;
    let file = file.ok_or_else(|| Stop::skip(NOTHING))?;
    let lines = core::str::from_utf8(file).map_err(Stop::error)?;
    let (mut compared, mut different) = (0, Vec::new());
    for line in lines.lines() {
        let Some(Answered { payload, step, answer }) = Answered::parse(line) else {
            return Err(Stop::error(format_args!("what is foretold is not understood: {line}")));
        };
        let same = |made: &&Step| (made.payload, made.step) == (payload, step);
        let Some(made) = answers.iter().find(same) else { continue };
        compared += 1;
        let actual = made.answer;
        if actual.to_string() != answer {
            different
                .push(format!("{payload}: {step}: expected {answer} as foretold, got {actual}"));
        }
    }
    match (compared, different.is_empty()) {
        (0, _) if lines.is_empty() => Err(Stop::skip(NOTHING)),
        (0, _) => Err(Stop::skip("no step that was foretold has been made in this boot")),
        (_, true) => Ok(()),
        (_, false) => Err(Stop::Failure(different.join("\n"))),
    }
}

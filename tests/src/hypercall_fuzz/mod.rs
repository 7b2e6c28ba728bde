//! # hypercall-fuzz
//!
//! Every hypercall, with random arguments of the right shape and of none, from a domain without
//! privileges. Each call is on the console before it is made. That the domain dies of one is its
//! own affair; that Xen lives on, and that what only a control domain may do is refused, is the
//! claim.
//!
//! The same seed makes the same calls in the same kind of domain. Words of the command line:
//! `seed=`, `steps=` how many, `from=` the first that is made (those before are only counted),
//! `every=` how many are made for each that is on the console before: 1, since that takes longer
//! than the call, `only=` and `except=` which ones, as in `only=grant_table_op.copy,kexec_op`. What
//! is never made is listed, with the reason, in [`protocol::hypercalls::LEFT_OUT`].
#![forbid(unsafe_code)]

mod source;

use alloc::vec::Vec;

use kernel::buffer::{FILL, Guarded};
use kernel::{
    Answer, Case, Category, Context, Environment, Need, Outcome, Stop, Test, console, expect_that,
    println,
};
use protocol::console::INDENT;
use protocol::hypercalls::{CALLS, PRIVILEGED, Selector};
use protocol::programs::{EVERY, EXCEPT, FROM, HYPERCALL_FUZZ, ONLY, PERFORMED, SEED, STEP, STEPS};

use source::{Made, Source};

/// The test.
pub const TEST: Test = Test {
    name: HYPERCALL_FUZZ,
    title: "Random hypercalls from a domain without privileges",
    category: Category::Special,
    // What may be told of is known for words of 64 bits.
    environments: &Environment::WIDE,
    needs: &[Need::Unprivileged],
    own_boot: true,
    default: false,
    timeout_s: 300,
    parameters: &[SEED, STEPS, FROM, EVERY, ONLY, EXCEPT],
    cases: &[Case::new("xen_lives_on_and_grants_nothing", fuzz)],
    ..Test::DEFAULT
};

/// Memory that no call is told of.
const CANARY: usize = 64 << 10;

fn fuzz(context: &Context) -> Outcome {
    let seed = context.parameter(SEED, 1)?;
    let steps = context.parameter(STEPS, 1000)?;
    let from = context.parameter(FROM, 0)?;
    let every = context.parameter(EVERY, 1)?.max(1);
    let (only, except) = (selectors(context, ONLY)?, selectors(context, EXCEPT)?);
    let canary = Guarded::new(CANARY)?;
    let mut source = Source::new(seed, &only, except)?;
    let mut accepted = 0u64;
    for step in 0..steps {
        let made = source.next();
        if step < from {
            continue;
        }
        if step == from || step % every == 0 {
            println!("{INDENT}{PERFORMED}{SEED}={seed} {STEP}={step} {made}");
            console::drain();
        }
        accepted += match &made {
            Made::Alone(call) => {
                let answer = source.arena.perform(*call);
                must_be_refused(step, call.0, "", answer)?;
                u64::from(answer.result().is_ok())
            }
            Made::Together(calls) => {
                let (answer, answers) = source.arena.perform_together(calls);
                for ((number, _), answer) in calls.iter().zip(answers) {
                    must_be_refused(step, *number, "in a multicall, ", answer)?;
                }
                u64::from(answer.result().is_ok())
            }
        };
    }
    println!("  # {} calls made, {accepted} of them accepted", steps.saturating_sub(from));
    expect_that(
        canary.bytes().iter().all(|&byte| byte == FILL),
        "memory that no call named, as it was",
    )
}

/// The calls that a word of the command line lists.
fn selectors(context: &Context, name: &str) -> Result<Vec<Selector>, Stop> {
    let list = context.word(name).unwrap_or_default().split_terminator(',');
    let complain = |what| Stop::error(format_args!("command line: {name}: {what}"));
    list.map(|word| Selector::parse(word).map_err(complain)).collect()
}

/// What only a control domain may do.
fn must_be_refused(step: u64, number: u32, how: &str, answer: Answer) -> Outcome {
    if !PRIVILEGED.contains(&number) || answer.result().is_err() {
        return Ok(());
    }
    let name = CALLS[number as usize].0;
    Err(Stop::failure(format_args!("step {step}: {name}: {how}answers {answer}, not an error")))
}

//! # bench-hypercall
//!
//! How long Xen takes to answer: for `xtf-runner bench`, which boots this in real time and reads
//! the diagnostics. In a fast boot the clock counts instructions, and so do these figures.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use kernel::hypercall::version;
use kernel::{Case, Category, Context, Outcome, Stop, Test, clock, expect, println};
use livepatch::abi::{Call, List};
use protocol::console::{DIAGNOSTIC, INDENT};
use protocol::programs::{BENCH_HYPERCALL, FIGURE};

/// Calls in a round.
const CALLS: u64 = 2000;
/// Rounds, of which the median counts.
const ROUNDS: usize = 9;

/// The test.
pub const TEST: Test = Test {
    name: BENCH_HYPERCALL,
    title: "How long a hypercall takes",
    category: Category::Special,
    default: false,
    cases: &[
        Case::new("xen_version/answers_the_same_every_time", xen_version),
        Case::new("livepatch_list/answers_success_every_time", livepatch_list),
    ],
    ..Test::DEFAULT
};

fn xen_version(_: &Context) -> Outcome {
    let first = version::version();
    measure("xen_version", || expect("version", version::version(), first))
}

/// LIST of no entry: the shortest sysctl, which copies its structure in and out.
fn livepatch_list(context: &Context) -> Outcome {
    let Some(livepatch) = context.try_livepatch() else {
        return Err(Stop::skip("no livepatch sysctl in this domain"));
    };
    let call = Call::list(livepatch.version, List { nr: 0, ..List::EMPTY });
    measure("livepatch_list", || livepatch.call(&call).needed_to("LIST").map(|_| ()))
}

/// Prints `# bench: WHAT NS`, the time of a call, as the runner reads it.
fn measure(what: &str, mut call: impl FnMut() -> Outcome) -> Outcome {
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = clock::now_ns();
        for _ in 0..CALLS {
            call()?;
        }
        rounds.push((clock::now_ns() - start) / CALLS);
    }
    rounds.sort_unstable();
    println!("{INDENT}{DIAGNOSTIC}{FIGURE}{what} {}", rounds[ROUNDS / 2]);
    Ok(())
}

//! # fuzz-executor
//!
//! The guest's half of `xtf-runner fuzz`: performs the programs that the fuzzer sends, each
//! beginning with an empty list of payloads and an unpatched Xen, compares what Xen answers with
//! the model, and says how it went. Without a fuzzer on the other side it has nothing to do.
#![forbid(unsafe_code)]

use kernel::{Case, Category, Context, Environment, Need, Outcome, Stop, Test, letterbox, println};
use livepatch::program::{self, Program};

use crate::program::{Session, Went, failure, what_it_says};

/// The test.
pub const TEST: Test = Test {
    name: "fuzz-executor",
    title: "Performs what `xtf-runner fuzz` sends",
    category: Category::Special,
    environments: &[Environment::Pv64, Environment::Pvh64],
    needs: &[Need::Privileged, Need::Livepatch],
    own_boot: true,
    default: false,
    cases: &[Case::new("inputs_are_served", serve)],
    ..Test::DEFAULT
};

/// More steps than this are cut off: a hang is to be told from a long program.
const STEPS_MAX: usize = 64;
/// A veto of a hook's may have to be used up first.
const TIDY_STEPS_MAX: usize = 100;

/// How a program went: the answer's first word.
#[derive(Clone, Copy)]
enum Verdict {
    /// Well, and everything was undone.
    Done = 0,
    /// What was loaded or applied could not be undone: the machine is of no more use.
    Dirty = 1,
    /// A step could not be performed, for want of memory.
    Unable = 2,
    /// Xen answered something else than the model.
    Diverged = 3,
}

fn serve(c: &Context) -> Outcome {
    let unpatched = what_it_says();
    let mut session = Session::new(c)?;
    let served = letterbox::serve(|input| {
        let program = program::decode(input, STEPS_MAX);
        let went = perform(&mut session, &program).unwrap_or(Verdict::Unable);
        let clean = clean_up(&mut session, went);
        let went = match clean {
            Ok(()) if what_it_says() == unpatched => went,
            _ => Verdict::Dirty,
        };
        [went as u64, 0, 0, 0]
    });
    if served { Ok(()) } else { Err(Stop::skip("no fuzzer is there")) }
}

fn perform(session: &mut Session<'_>, program: &Program) -> Result<Verdict, Stop> {
    for (number, step) in (1..).zip(&program.steps) {
        if session.would_stay(step) {
            continue;
        }
        match session.step(step)? {
            Went::Well(_) => {}
            // What nobody can predict is what this is for.
            Went::Unforeseen(_) => drop(session.step_blindly(step)?),
            Went::Wrong(divergence) => {
                println!("  # {:?}", failure(number, step, &divergence));
                return Ok(Verdict::Diverged);
            }
        }
    }
    Ok(Verdict::Done)
}

/// Empties the list: by what the model says is loaded, as long as it knows.
fn clean_up(session: &mut Session<'_>, went: Verdict) -> Result<(), Stop> {
    for _ in 0..TIDY_STEPS_MAX {
        if session.is_lost() || !matches!(went, Verdict::Done) {
            break;
        }
        let Some(step) = session.tidy_step() else { return Ok(()) };
        if !matches!(session.step(&step)?, Went::Well(_)) {
            break;
        }
    }
    session.begin_anew()
}

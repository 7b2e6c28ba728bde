//! # fuzz-executor
//!
//! The guest's half of `xtf-runner fuzz`: performs the programs that the fuzzer sends, each
//! beginning with an empty list of payloads and an unpatched Xen, compares what Xen answers with
//! the model, and says how it went. Without a fuzzer on the other side it has nothing to do.
#![forbid(unsafe_code)]

use kernel::{Case, Category, Context, Environment, Need, Outcome, Stop, Test, letterbox, report};
use livepatch::program::{self, Program};
use protocol::console::INDENT;
use protocol::programs::{Ending, FUZZ_EXECUTOR, PATIENT, STEPS_MAX};

use crate::program::{Session, Went, describe, what_it_says};

/// The test.
pub const TEST: Test = Test {
    name: FUZZ_EXECUTOR,
    title: "Performs what `xtf-runner fuzz` sends",
    category: Category::Special,
    environments: &[Environment::Pv64, Environment::Pvh64],
    needs: &[Need::Privileged, Need::Livepatch],
    own_boot: true,
    default: false,
    parameters: &[PATIENT],
    cases: &[Case::new("inputs_are_served", serve)],
    ..Test::DEFAULT
};

/// A veto of a hook's may have to be used up first.
const TIDY_STEPS_MAX: usize = 100;

fn serve(c: &Context) -> Outcome {
    let unpatched = what_it_says();
    let mut session = Session::new(c)?;
    let patient = c.parameter(PATIENT, 0)? != 0;
    let served = letterbox::serve(patient, |input| {
        let program = program::decode(input, STEPS_MAX);
        let went = perform(&mut session, &program).unwrap_or(Ending::Unable);
        let clean = clean_up(&mut session, went);
        let went = match clean {
            Ok(()) if what_it_says() == unpatched => went,
            _ => Ending::Dirty,
        };
        [went as u64, 0, 0, 0]
    });
    if served { Ok(()) } else { Err(Stop::skip("no fuzzer is connected")) }
}

fn perform(session: &mut Session<'_>, program: &Program) -> Result<Ending, Stop> {
    for (number, step) in (1..).zip(&program.steps) {
        if session.would_stay(step) {
            continue;
        }
        match session.step(step)? {
            Went::Well(_) => {}
            // What nobody can predict is what this is for.
            Went::Unforeseen(_) => drop(session.step_blindly(step)?),
            Went::Wrong(divergence) => {
                report::explain(INDENT, &describe(number, step, &divergence));
                return Ok(Ending::Diverged);
            }
        }
    }
    Ok(Ending::Done)
}

/// Empties the list: by what the model says is loaded, as long as it knows.
fn clean_up(session: &mut Session<'_>, went: Ending) -> Result<(), Stop> {
    for _ in 0..TIDY_STEPS_MAX {
        if session.is_lost() || !matches!(went, Ending::Done) {
            break;
        }
        let Some(step) = session.tidy_step() else { return Ok(()) };
        if !matches!(session.step(&step)?, Went::Well(_)) {
            break;
        }
    }
    session.begin_anew()
}

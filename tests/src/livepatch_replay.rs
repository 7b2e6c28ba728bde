//! # livepatch-replay
//!
//! Performs a program of livepatch calls that `xtf-runner replay` has written into the image, and
//! compares each step with the model. Each step is on the console before it is performed (`#>`),
//! and what Xen answered behind it (`#=`). It stops at the first difference. From a step on whose
//! outcome the model can't tell, nothing is compared any more.
#![forbid(unsafe_code)]

use kernel::{Case, Category, Context, Environment, Need, Outcome, Stop, Test, input, println};
use livepatch::model::Unforeseen;
use livepatch::program::{Program, Step, decode};
use protocol::console::{DIAGNOSTIC, INDENT};
use protocol::programs::{ANSWERED, LIVEPATCH_REPLAY, PERFORMED, UNPREDICTED};

use crate::program::{Session, Went, failure};

/// The test.
pub const TEST: Test = Test {
    name: LIVEPATCH_REPLAY,
    title: "A given program of livepatch calls, compared with a model of Xen",
    category: Category::Utility,
    environments: &Environment::DOM0,
    needs: &[Need::Privileged, Need::Livepatch],
    own_boot: true,
    default: false,
    timeout_s: 30,
    cases: &[Case::new("agrees_with_the_model", replay)],
    ..Test::DEFAULT
};

fn replay(context: &Context) -> Outcome {
    let program = decode(input(), usize::MAX);
    if program.steps.is_empty() {
        return Err(Stop::skip("no program in the image; see `xtf-runner replay`"));
    }
    let mut session = Session::new(context)?;
    let outcome = perform(&mut session, &program);
    session.tidy()?;
    outcome
}

fn perform(session: &mut Session<'_>, program: &Program) -> Outcome {
    (1..).zip(&program.steps).try_for_each(|(number, step)| perform_step(session, number, step))
}

fn perform_step(session: &mut Session<'_>, number: usize, step: &Step) -> Outcome {
    println!("{INDENT}{PERFORMED}{step}");
    let answer = match session.step(step)? {
        Went::Well(answer) => answer,
        Went::Wrong(divergence) => return Err(failure(number, step, &divergence)),
        Went::Unforeseen(unforeseen) => {
            let why = match unforeseen {
                Unforeseen::Effect(why) | Unforeseen::Unknown(why) => why,
            };
            println!("{INDENT}{DIAGNOSTIC}{UNPREDICTED}{why}");
            session.step_blindly(step)?
        }
    };
    println!("{INDENT}{ANSWERED}{answer}");
    Ok(())
}

//! # livepatch-fuzz
//!
//! Random sequences of livepatch calls, right, nearly right and wrong ones, whose answers and
//! every byte that Xen writes are compared with a model of Xen. At the first difference it stops
//! and prints what it did as a text that `xtf-runner replay` performs again.
//!
//! It goes in rounds. Each begins and ends with an empty list and has a seed of its own, which is
//! on the console before anything is done; the same seed does the same on the same Xen. Words of
//! the command line: `seed=` of the first round, `rounds=` how many (0 for no limit), `steps=` in
//! each, `ms=` after how much time to stop (of Xen's clock), `mix=` 0 to 2 for a bit of
//! everything, for short calls, for payloads (else they alternate), `verbose=1` to print each step
//! before it is performed, `blind=1` to perform also what nobody can predict.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use kernel::clock::now_ns;
use kernel::{Case, Category, Context, Environment, Need, Outcome, Stop, Test, println};
use livepatch::program::{Generator, Mix, Op, Step};
use protocol::console::{DIAGNOSTIC, INDENT};
use protocol::programs::{PERFORMED, REPRODUCER};

use crate::program::{Session, Went, failure};

/// The test.
pub const TEST: Test = Test {
    name: "livepatch-fuzz",
    title: "Random livepatch calls, compared with a model of Xen",
    category: Category::Utility,
    environments: &Environment::DOM0,
    needs: &[Need::Privileged, Need::Livepatch],
    own_boot: true,
    default: false,
    timeout_s: 120,
    parameters: &["seed", "rounds", "steps", "ms", "mix", "verbose", "blind"],
    cases: &[Case::new("agrees_with_the_model", agrees)],
    ..Test::DEFAULT
};

const MIXES: [Mix; 3] = [Mix::DEFAULT, Mix::CALLS, Mix::PAYLOADS];
/// A veto of a hook's may have to be used up first.
const TIDY_STEPS_MAX: usize = 200;

/// What the command line says.
struct Options {
    seed: u64,
    rounds: u64,
    steps: u64,
    ms: u64,
    mix: Option<usize>,
    verbose: bool,
    blind: bool,
}

/// What was done, for the last line.
#[derive(Default)]
struct Count {
    steps: u64,
    uploads: u64,
    skipped: u64,
}

fn agrees(context: &Context) -> Outcome {
    let number = |name, otherwise| context.parameter(name, otherwise);
    let options = Options {
        seed: number("seed", 1)?,
        rounds: number("rounds", 20)?,
        steps: number("steps", 1000)?,
        ms: number("ms", 0)?,
        mix: match number("mix", u64::MAX)? {
            u64::MAX => None,
            mix => Some(mix as usize % MIXES.len()),
        },
        verbose: number("verbose", 0)? != 0,
        blind: number("blind", 0)? != 0,
    };
    let mut session = Session::new(context)?;
    let start = now_ns();
    let elapsed = || (now_ns() - start) / 1_000_000;
    let mut count = Count::default();
    let mut round = 0;
    while (options.rounds == 0 || round < options.rounds)
        && (options.ms == 0 || elapsed() < options.ms)
    {
        let seed = options.seed.wrapping_add(round);
        println!("{INDENT}{DIAGNOSTIC}round: seed={seed} steps={}", options.steps);
        one_round(&mut session, seed, &options, &mut count)?;
        if session.is_lost() {
            // Only a new session knows where it is.
            session.remove_all()?;
            session = Session::new(context)?;
        }
        round += 1;
    }
    let Count { steps, uploads, skipped } = count;
    let ms = elapsed().max(1);
    println!(
        "{INDENT}{DIAGNOSTIC}{steps} steps ({uploads} uploads), {skipped} skipped, in {ms} ms: {} \
         steps/s",
        steps * 1000 / ms
    );
    Ok(())
}

/// What a round has done so far.
struct Round<'s, 'c> {
    session: &'s mut Session<'c>,
    options: &'s Options,
    count: &'s mut Count,
    done: Vec<Step>,
}

fn one_round(
    session: &mut Session<'_>,
    seed: u64,
    options: &Options,
    count: &mut Count,
) -> Outcome {
    let mix = MIXES[options.mix.unwrap_or(seed as usize % MIXES.len())];
    let mut generator = Generator::new(seed, Mix { wild: options.blind, ..mix });
    let mut round = Round { session, options, count, done: Vec::new() };
    for _ in 0..options.steps {
        round.step(generator.step())?;
    }
    for _ in 0..TIDY_STEPS_MAX {
        match round.session.tidy_step() {
            Some(step) if !round.session.is_lost() => round.step(step)?,
            _ => return Ok(()),
        }
    }
    Err(Stop::error("the list does not become empty"))
}

impl Round<'_, '_> {
    fn step(&mut self, step: Step) -> Outcome {
        // Nobody can say how what comes after something unforeseen ends.
        if self.options.verbose || self.session.is_lost() {
            println!("{INDENT}{PERFORMED}{step}");
        }
        if self.session.would_stay(&step) && !self.options.blind {
            self.count.skipped += 1;
            return Ok(());
        }
        self.count.steps += 1;
        self.count.uploads += u64::from(matches!(step.op, Op::Upload(_)));
        match self.session.step(&step)? {
            Went::Well(_) => {
                self.done.push(step);
                Ok(())
            }
            Went::Unforeseen(_) if !self.options.blind => {
                self.count.skipped += 1;
                Ok(())
            }
            Went::Unforeseen(_) => {
                println!("{INDENT}{PERFORMED}{step}");
                self.session.step_blindly(&step).map(drop)
            }
            Went::Wrong(divergence) => {
                let number = self.done.len() + 1;
                println!("{INDENT}{DIAGNOSTIC}reproducer:");
                self.done
                    .iter()
                    .chain([&step])
                    .for_each(|step| println!("{INDENT}{REPRODUCER}{step}"));
                Err(failure(number, &step, &divergence))
            }
        }
    }
}

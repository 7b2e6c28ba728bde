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
//! than the call. What is never made is listed, with the reason, in `LEFT_OUT` and on the console.
#![forbid(unsafe_code)]

mod calls;

use kernel::buffer::{FILL, Guarded};
use kernel::hypercall::any::Arena;
use kernel::memory::{NON_CANONICAL, PAGE_SIZE, XEN_RANGE};
use kernel::{Case, Category, Context, Need, Outcome, Stop, Test, console, expect_that, println};
use livepatch::program::Rng;
use protocol::console::INDENT;
use protocol::programs::{EVERY, FROM, HYPERCALL_FUZZ, PERFORMED, SEED, STEP, STEPS};

use calls::{CALLS, Kind, LEFT_OUT, MULTICALL, PRIVILEGED, left_out};

/// The test.
pub const TEST: Test = Test {
    name: HYPERCALL_FUZZ,
    title: "Random hypercalls from a domain without privileges",
    category: Category::Special,
    needs: &[Need::Unprivileged],
    own_boot: true,
    default: false,
    timeout_s: 300,
    parameters: &[SEED, STEPS, FROM, EVERY],
    cases: &[Case::new("xen_lives_on_and_grants_nothing", fuzz)],
    ..Test::DEFAULT
};

/// `DOMID_SELF`, and the special domains beside it.
const SPECIAL_DOMAINS: u64 = 0x7ff0;
/// Words of a multicall's entry: the call, its result, and six arguments.
const ENTRY_WORDS: usize = 8;
const ENTRIES_MAX: u32 = 4;
/// Addresses at which nothing of this guest's is mapped.
const WILD_ADDRESSES: [u64; 3] = [NON_CANONICAL, XEN_RANGE, u64::MAX];
/// Memory that no call is told of.
const CANARY: usize = 64 << 10;

fn fuzz(context: &Context) -> Outcome {
    let seed = context.parameter(SEED, 1)?;
    let steps = context.parameter(STEPS, 1000)?;
    let from = context.parameter(FROM, 0)?;
    let every = context.parameter(EVERY, 1)?.max(1);
    for (number, sub_op, why) in LEFT_OUT {
        let name = CALLS[*number as usize].0;
        match sub_op {
            Some(sub_op) => println!("  # left out: {name}({sub_op}, ...): {why}"),
            None => println!("  # left out: {name}: {why}"),
        }
    }
    let canary = Guarded::new(CANARY)?;
    let mut source = Source { rng: Rng::new(seed), arena: Arena::claim()? };
    let mut accepted = 0u64;
    for step in 0..steps {
        let (number, args) = source.call();
        if step < from {
            continue;
        }
        let name = CALLS[number as usize].0;
        if step == from || step % every == 0 {
            println!("{INDENT}{PERFORMED}{SEED}={seed} {STEP}={step} {name} {args:x?}");
            console::drain();
        }
        let answer = source.arena.perform(number, args);
        accepted += u64::from(answer.result().is_ok());
        if PRIVILEGED.contains(&number) && answer.result().is_ok() {
            let what = format_args!("step {step}: {name}: answers {answer}, not an error");
            return Err(Stop::failure(what));
        }
    }
    println!("  # {} calls made, {accepted} of them accepted", steps.saturating_sub(from));
    expect_that(
        canary.bytes().iter().all(|&byte| byte == FILL),
        "memory that no call named, as it was",
    )
}

/// Where calls come from.
struct Source {
    rng: Rng,
    arena: Arena,
}

impl Source {
    /// The next call that may be made, with what it points at in place.
    fn call(&mut self) -> (u32, [u64; 5]) {
        let Self { rng, arena } = self;
        // The arena borrows itself while it is filled.
        let (memory, lost, bad) = (arena.memory(), arena.page_to_lose(), arena.bad_addresses());
        let numbers = Numbers { start: memory.start, len: memory.len, lost, bad };
        arena.fill(|| numbers.contents(rng));
        let (number, mut args) = self.one(&numbers, true);
        if number == MULTICALL {
            let entries = self.rng.below(ENTRIES_MAX + 1);
            for entry in 0..entries as usize {
                let (number, args) = self.one(&numbers, false);
                let words = [u64::from(number), 0].into_iter().chain(args);
                for (index, word) in words.enumerate() {
                    self.arena.put(entry * ENTRY_WORDS + index, word);
                }
            }
            // More would be entries that nobody looked at.
            args = [numbers.start, entries.into(), 0, 0, 0];
        }
        (number, args)
    }

    /// A call and its arguments.
    fn one(&mut self, numbers: &Numbers, multicall: bool) -> (u32, [u64; 5]) {
        loop {
            let number = self.rng.below(CALLS.len() as u32);
            let shape = CALLS[number as usize].1;
            let shaped = !self.rng.one_in(4);
            let args: [u64; 5] = core::array::from_fn(|index| {
                let kind = shape.get(index).copied().unwrap_or(Kind::Any);
                // What takes a mapping away gets the page for it, whatever else is random.
                let kind = if shaped || matches!(kind, Kind::Mapping) { kind } else { Kind::Any };
                self.allowed(numbers, kind)
            });
            if left_out(number, args[0]).is_none() && (multicall || number != MULTICALL) {
                return (number, args);
            }
        }
    }

    fn allowed(&mut self, numbers: &Numbers, kind: Kind) -> u64 {
        loop {
            let number = numbers.argument(&mut self.rng, kind);
            if self.arena.may_tell(number) {
                return number;
            }
        }
    }
}

/// What numbers there are to choose from.
struct Numbers {
    start: u64,
    len: u64,
    lost: u64,
    bad: [u64; 6],
}

impl Numbers {
    fn argument(&self, rng: &mut Rng, kind: Kind) -> u64 {
        match kind {
            Kind::Sub(known) => rng.below(known + 1).into(),
            Kind::Pointer if rng.one_in(8) => rng.pick(&self.bad),
            Kind::Pointer => self.pointer(rng),
            Kind::Count => rng.below(8).into(),
            Kind::Domain => SPECIAL_DOMAINS + u64::from(rng.below(8)),
            Kind::Mapping if rng.one_in(4) => rng.pick(&WILD_ADDRESSES),
            Kind::Mapping => self.lost,
            Kind::Any => self.any(rng),
        }
    }

    /// An aligned place in the arena, seldom so near its end that a structure does not fit.
    fn pointer(&self, rng: &mut Rng) -> u64 {
        self.start + u64::from(rng.below((self.len / 8) as u32)) * 8
    }

    fn any(&self, rng: &mut Rng) -> u64 {
        match rng.below(10) {
            0..=3 => rng.below(64).into(),
            4 => self.pointer(rng),
            5 => rng.pick(&self.bad),
            6 => SPECIAL_DOMAINS + u64::from(rng.below(8)),
            7 => rng.pick(&[self.lost, self.lost / PAGE_SIZE]),
            8 => (1 << rng.below(64)) - u64::from(rng.below(2)),
            _ => rng.next_u64(),
        }
    }

    /// A word of a structure: one field, two, or four.
    fn contents(&self, rng: &mut Rng) -> u64 {
        match rng.below(4) {
            0 => u64::from(rng.below(64)) | u64::from(rng.below(64)) << 32,
            1 => (0..4).fold(0, |word, field| word | (self.any(rng) & 0xffff) << (field * 16)),
            _ => self.any(rng),
        }
    }
}

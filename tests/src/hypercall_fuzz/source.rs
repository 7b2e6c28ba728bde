//! Random calls, of those that may be made.

use alloc::vec::Vec;
use core::fmt;

use kernel::Stop;
use kernel::hypercall::any::{Arena, Call, ENTRIES_MAX};
use kernel::memory::{NON_CANONICAL, PAGE_SIZE, XEN_RANGE};
use livepatch::program::Rng;
use protocol::hypercalls::{CALLS, Kind, MULTICALL, Selector, candidates};

/// `DOMID_SELF`, and the special domains beside it.
const SPECIAL_DOMAINS: u64 = 0x7ff0;
/// Addresses at which nothing of this guest's is mapped.
const WILD_ADDRESSES: [u64; 3] = [NON_CANONICAL, XEN_RANGE, u64::MAX];

/// What is made in a step.
pub enum Made {
    Alone(Call),
    /// As the entries of a multicall.
    Together(Vec<Call>),
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |number: u32| CALLS[number as usize].0;
        match self {
            Self::Alone((number, args)) => write!(f, "{} {args:x?}", name(*number)),
            Self::Together(calls) => {
                f.write_str(name(MULTICALL))?;
                calls
                    .iter()
                    .try_for_each(|(number, args)| write!(f, " {} {args:x?}", name(*number)))
            }
        }
    }
}

/// Where calls come from.
pub struct Source {
    rng: Rng,
    pub arena: Arena,
    /// What there is to choose from,
    calls: Vec<Selector>,
    /// and for the entries of a multicall.
    entries: Vec<Selector>,
    except: Vec<Selector>,
}

impl Source {
    pub fn new(seed: u64, only: &[Selector], except: Vec<Selector>) -> Result<Self, Stop> {
        let calls: Vec<Selector> = candidates(only, &except).collect();
        let entries = calls.iter().copied().filter(|call| call.number != MULTICALL).collect();
        let source = Self { rng: Rng::new(seed), arena: Arena::claim()?, calls, entries, except };
        if source.entries.is_empty() {
            return Err(Stop::error("command line: it leaves nothing to call"));
        }
        Ok(source)
    }

    /// What is made next, with what it points at in place.
    pub fn next(&mut self) -> Made {
        let Self { rng, arena, .. } = self;
        // The arena borrows itself while it is filled.
        let (memory, lost, bad) = (arena.memory(), arena.page_to_lose(), arena.bad_addresses());
        let numbers = Numbers { start: memory.start, len: memory.len, lost, bad };
        arena.fill(|| numbers.contents(rng));
        let call = self.rng.pick(&self.calls);
        if call.number != MULTICALL {
            return Made::Alone(self.one(&numbers, call));
        }
        let count = self.rng.below(ENTRIES_MAX as u32 + 1);
        let entries = (0..count).map(|_| {
            let call = self.rng.pick(&self.entries);
            self.one(&numbers, call)
        });
        Made::Together(entries.collect())
    }

    /// `call` with its arguments.
    fn one(&mut self, numbers: &Numbers, call: Selector) -> Call {
        let Selector { number, sub_op } = call;
        let shape = CALLS[number as usize].1;
        loop {
            let shaped = !self.rng.one_in(4);
            let mut args: [u64; 5] = core::array::from_fn(|index| {
                let kind = shape.get(index).copied().unwrap_or(Kind::Any);
                // What takes a mapping away gets the page for it, whatever else is random.
                let kind = if shaped || matches!(kind, Kind::Mapping) { kind } else { Kind::Any };
                self.allowed(numbers, kind)
            });
            if let Some(sub_op) = sub_op {
                args[0] = sub_op.into();
            }
            if Selector::of(number, args[0]).is_allowed(&self.except) {
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
            Kind::Op(_, names) => {
                rng.below(names.split_ascii_whitespace().count() as u32 + 1).into()
            }
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

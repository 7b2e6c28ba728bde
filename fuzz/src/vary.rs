//! Varies programs: whole steps, and the parts of payloads. The result is always a valid program.

use std::borrow::Cow;

use libafl::Error;
use libafl::corpus::{Corpus, CorpusId};
use libafl::inputs::{BytesInput, HasMutatorBytes};
use libafl::mutators::{MutationResult, Mutator};
use libafl::state::{HasCorpus, HasRand};
use libafl_bolts::Named;
use libafl_bolts::rands::Rand;
use livepatch::abi::ActionCmd;
use livepatch::program::{
    ActionArg, Defect, Generator, Mix, NameArg, Op, PayloadSpec, Program, RelaField, Rng,
    SectionName, ShdrField, Source, Step, SymField, UploadArg, Word, decode, encode,
};
use protocol::letterbox::INPUT_MAX;
use protocol::programs::STEPS_MAX;

/// Steps of a program to begin with.
const SEED_STEPS: usize = 4;
/// The most steps that are made up at once.
const NEW_STEPS: u32 = 4;

/// What is made up and changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Programs {
    /// Sequences of calls.
    Calls,
    /// The life of one payload.
    Payloads,
}

/// What is made up for a target.
pub fn mix(target: Programs) -> Mix {
    match target {
        Programs::Calls => Mix { wild: true, faulty: 96, ..Mix::DEFAULT },
        Programs::Payloads => Mix { wild: true, faulty: 224, ..Mix::PAYLOADS },
    }
}

/// A program to begin with, of at most `steps`.
pub fn initial_program(target: Programs, seed: u64, steps: usize) -> Program {
    // Nothing is wrong with these: what they reach is the way to everything else.
    let right = Mix { wrong: 0, faulty: 0, ..mix(target) };
    let mut generator = Generator::new(seed, right);
    let mut program = match target {
        Programs::Calls => generator.program(SEED_STEPS),
        Programs::Payloads => life(made_up_payload(&mut generator)),
    };
    program.steps.truncate(steps);
    program
}

/// Loads, applies, reverts and unloads a payload.
fn life(payload: PayloadSpec) -> Program {
    let name = || NameArg::new("p0");
    let action =
        |cmd| Step::from(Op::Action(ActionArg { name: name(), cmd, timeout: 0, flags: 0, pad: 0 }));
    let upload = UploadArg { name: name(), payload, size: None, at: Source::Ample };
    let actions = [ActionCmd::Apply, ActionCmd::Revert, ActionCmd::Unload].map(action);
    let steps = [Step::from(Op::Upload(upload))].into_iter().chain(actions).collect();
    Program { steps }
}

fn made_up_payload(generator: &mut Generator) -> PayloadSpec {
    loop {
        if let Op::Upload(upload) = generator.step().op {
            return upload.payload;
        }
    }
}

/// See the module.
pub struct Variation {
    target: Programs,
    /// The most steps of what comes out.
    steps: usize,
}

impl Variation {
    /// For that target; what comes out has at most so many steps.
    pub fn new(target: Programs, steps: usize) -> Self {
        Variation { target, steps }
    }

    fn change(&self, program: &mut Program, other: &Program, rng: &mut Rng) {
        let mut generator = Generator::new(rng.next_u64(), mix(self.target));
        if self.target == Programs::Payloads {
            if let Some(payload) = payload(program, rng) {
                change_payload(payload, &made_up_payload(&mut generator), rng);
            }
            return;
        }
        let steps = &mut program.steps;
        let place = |rng: &mut Rng, count: usize| rng.below(count.max(1) as u32) as usize;
        match rng.below(12) {
            0 | 1 => {
                let new = generator.program(1 + rng.below(NEW_STEPS) as usize).steps;
                let at = place(rng, steps.len() + 1);
                steps.splice(at..at, new);
            }
            2 if steps.len() > 1 => {
                let from = place(rng, steps.len());
                let to = (from + 1 + rng.below(3) as usize).min(steps.len());
                steps.drain(from..to);
            }
            3 if !steps.is_empty() => {
                let step = steps[place(rng, steps.len())].clone();
                let at = place(rng, steps.len() + 1);
                steps.insert(at, step);
            }
            4 if steps.len() > 1 => {
                let (a, b) = (place(rng, steps.len()), place(rng, steps.len()));
                steps.swap(a, b);
            }
            5 | 6 if !other.steps.is_empty() => {
                let from = place(rng, other.steps.len());
                let to = (from + 1 + rng.below(8) as usize).min(other.steps.len());
                let at = place(rng, steps.len() + 1);
                steps.splice(at..at, other.steps[from..to].iter().cloned());
            }
            7 if !steps.is_empty() => {
                let at = place(rng, steps.len());
                steps[at] = generator.step();
            }
            8 if !steps.is_empty() => {
                // A name is what ties steps together.
                let names: Vec<NameArg> =
                    steps.iter().filter_map(|step| step.op.name().cloned()).collect();
                let at = place(rng, steps.len());
                if let (Some(name), false) = (steps[at].op.name_mut(), names.is_empty()) {
                    *name = names[rng.below(names.len() as u32) as usize].clone();
                }
            }
            _ => {
                if let Some(payload) = payload(program, rng) {
                    change_payload(payload, &made_up_payload(&mut generator), rng);
                }
            }
        }
    }
}

/// One of the payloads in `program`.
fn payload<'p>(program: &'p mut Program, rng: &mut Rng) -> Option<&'p mut PayloadSpec> {
    let mut payloads: Vec<&mut PayloadSpec> = program
        .steps
        .iter_mut()
        .filter_map(|step| match &mut step.op {
            Op::Upload(upload) => Some(&mut upload.payload),
            _ => None,
        })
        .collect();
    let index = rng.below(payloads.len().max(1) as u32) as usize;
    (index < payloads.len()).then(|| payloads.swap_remove(index))
}

/// Gives `payload` something of `other`, or changes a defect.
fn change_payload(payload: &mut PayloadSpec, other: &PayloadSpec, rng: &mut Rng) {
    match rng.below(17) {
        0 => payload.functions.clone_from(&other.functions),
        1 => payload.hooks.clone_from(&other.hooks),
        2 => payload.data = other.data,
        3 => payload.bss = other.bss,
        4 => payload.metadata.clone_from(&other.metadata),
        5 => payload.export = other.export,
        6 => payload.import = other.import,
        7 => payload.depends = other.depends,
        16 => payload.tables.clone_from(&other.tables),
        8 => payload.defects.clear(),
        9 if !payload.defects.is_empty() => {
            let at = rng.below(payload.defects.len() as u32) as usize;
            payload.defects.remove(at);
        }
        10..=12 if !payload.defects.is_empty() => {
            let at = rng.below(payload.defects.len() as u32) as usize;
            change_value(&mut payload.defects[at], rng);
        }
        13 | 14 if payload.defects.len() < PayloadSpec::DEFECTS_MAX => {
            payload.defects.push(telling_defect(rng));
        }
        _ if payload.defects.len() < PayloadSpec::DEFECTS_MAX => {
            payload.defects.extend(other.defects.first());
        }
        _ => {}
    }
}

/// A defect with a number that means something in its field.
fn telling_defect(rng: &mut Rng) -> Defect {
    fn word<T: Word>(rng: &mut Rng) -> T {
        T::from_number(rng.below(256) as u8)
    }
    let index = rng.below(12) as u8;
    let mut defect = match rng.below(8) {
        0..=3 => Defect::Shdr(word(rng), word(rng), 0),
        4 => Defect::Sym(index, word(rng), 0),
        5 => {
            let tables = [SectionName::RelaFuncs, SectionName::RelaText, SectionName::RelaRodata];
            Defect::Rela(rng.pick(&tables), index, word(rng), 0)
        }
        6 => Defect::Func(index, word(rng), 0),
        _ => Defect::Ehdr(word(rng), 0),
    };
    let telling: &[u64] = match &defect {
        // SHT_*
        Defect::Shdr(_, ShdrField::Type, _) => &[0, 1, 2, 3, 4, 7, 8, 9, 14],
        // SHF_*
        Defect::Shdr(_, ShdrField::Flags, _) => &[0, 1, 2, 3, 4, 6, 7, 0x12, 0x32],
        Defect::Shdr(_, ShdrField::Align | ShdrField::Addr, _) => &[1, 2, 3, 4, 8, 4096, 1 << 63],
        // Entries of symbols, relocations and functions; what a payload and a section may be at
        // most.
        Defect::Shdr(..) => {
            &[0, 1, 8, 12, 13, 16, 23, 24, 25, 63, 64, 103, 104, 105, 2 << 20, (2 << 20) + 1]
        }
        // SHN_*
        Defect::Sym(_, SymField::Shndx, _) => {
            &[0, 1, 2, 3, 30, 200, 0xff00, 0xfff1, 0xfff2, 0xffff]
        }
        // R_X86_64_*
        Defect::Rela(_, _, RelaField::Type, _) => &[0, 1, 2, 3, 4, 9, 10, 11, 24],
        _ => &[0, 1, 2, 3, 4, 5, 8, 9, 24, 31, 32, 62, 63, 64, 1023, 1024, 1 << 31, u64::MAX],
    };
    let number = rng.pick(telling);
    if let Some(value) = value_of(&mut defect) {
        *value = number;
    }
    defect
}

/// The number in a defect.
fn value_of(defect: &mut Defect) -> Option<&mut u64> {
    match defect {
        Defect::Ehdr(_, value)
        | Defect::Shdr(_, _, value)
        | Defect::Func(_, _, value)
        | Defect::Sym(_, _, value)
        | Defect::Rela(_, _, _, value)
        | Defect::Note(_, _, value) => Some(value),
        Defect::Byte(..) | Defect::Content(..) | Defect::Remove(_) | Defect::Truncate(_) => None,
    }
}

/// Puts another number into a defect.
fn change_value(defect: &mut Defect, rng: &mut Rng) {
    if let Defect::Byte(_, byte) | Defect::Content(_, _, byte) = defect {
        *byte = rng.below(256) as u8;
    }
    let Some(value) = value_of(defect) else { return };
    *value = match rng.below(6) {
        // Indices of sections, types, flags, small sizes.
        0 => u64::from(rng.below(32)),
        1 => u64::from(rng.below(4096)),
        2 => 1 << rng.below(64),
        3 => value.wrapping_add(1 + u64::from(rng.below(8))),
        4 => value.wrapping_sub(1 + u64::from(rng.below(8))),
        _ => rng.next_u64(),
    };
}

impl Named for Variation {
    fn name(&self) -> &Cow<'static, str> {
        static NAME: Cow<'static, str> = Cow::Borrowed("changes");
        &NAME
    }
}

impl<S: HasRand + HasCorpus<BytesInput>> Mutator<BytesInput, S> for Variation {
    fn mutate(&mut self, state: &mut S, input: &mut BytesInput) -> Result<MutationResult, Error> {
        let mut rng = Rng::new(state.rand_mut().next());
        let mut program = decode(input.mutator_bytes(), STEPS_MAX);
        let other = {
            let nth = rng.below(state.corpus().count().max(1) as u32) as usize;
            let id = state.corpus().nth(nth);
            let testcase = state.corpus().get(id)?.borrow();
            testcase
                .input()
                .as_ref()
                .map_or_else(Program::default, |other| decode(other.mutator_bytes(), STEPS_MAX))
        };
        for _ in 0..1 + rng.below(4) {
            self.change(&mut program, &other, &mut rng);
        }
        // Long programs are slow, and what they do can mostly be done by shorter ones.
        while program.steps.len() > self.steps {
            let at = rng.below(program.steps.len() as u32) as usize;
            program.steps.remove(at);
        }
        let mut bytes = encode(&program);
        if rng.one_in(8) {
            for _ in 0..1 + rng.below(4) {
                let at = rng.below(bytes.len().max(1) as u32) as usize;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = rng.next_u32() as u8;
                }
            }
            // Written down as what it means, since that is what is kept.
            bytes = encode(&decode(&bytes, STEPS_MAX));
        }
        if bytes.len() > INPUT_MAX || bytes == input.mutator_bytes() {
            return Ok(MutationResult::Skipped);
        }
        *input = BytesInput::new(bytes);
        Ok(MutationResult::Mutated)
    }

    fn post_exec(&mut self, _state: &mut S, _new: Option<CorpusId>) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use livepatch::program::parse;

    use super::*;

    #[test]
    fn changed_programs_are_still_programs() {
        for target in [Programs::Calls, Programs::Payloads] {
            let changes = Variation::new(target, STEPS_MAX);
            let mut rng = Rng::new(7);
            let mut program = initial_program(target, 1, STEPS_MAX);
            let other = initial_program(target, 2, STEPS_MAX);
            let mut different = 0;
            for _ in 0..2000 {
                let before = program.clone();
                changes.change(&mut program, &other, &mut rng);
                program.steps.truncate(STEPS_MAX);
                assert_eq!(decode(&encode(&program), STEPS_MAX), program);
                assert_eq!(parse(&program.to_string()).unwrap(), program);
                different += usize::from(before != program);
            }
            assert!(different > 1000, "{target:?}: {different}");
        }
    }

    #[test]
    fn a_payload_keeps_its_life() {
        let changes = Variation::new(Programs::Payloads, STEPS_MAX);
        let mut rng = Rng::new(7);
        let mut program = initial_program(Programs::Payloads, 1, STEPS_MAX);
        for _ in 0..200 {
            changes.change(&mut program, &Program::default(), &mut rng);
        }
        let words: Vec<String> = program.steps.iter().map(Step::to_string).collect();
        assert!(words[0].starts_with("upload \"p0\""), "{words:?}");
        assert_eq!(
            words[1..],
            ["action apply \"p0\"", "action revert \"p0\"", "action unload \"p0\""]
        );
    }
}

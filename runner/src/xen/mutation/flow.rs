//! What is read after an instruction, along all ways that lead from it.
//!
//! Where a way is lost, or gets too long, the answer is that something may be read.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use iced_x86::{
    ConditionCode, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register, RflagsBits,
};

use crate::xen::symbols::code::instructions;
use crate::xen::symbols::{XenFunction, XenSyms};

/// The flags that a comparison sets and a condition reads.
const CONDITION_FLAGS: u32 =
    RflagsBits::OF | RflagsBits::SF | RflagsBits::ZF | RflagsBits::CF | RflagsBits::PF;

/// Ways of so many instructions in all are followed.
const LONGEST: usize = 4096;

/// The code of a Xen, taken apart where somebody goes.
pub struct Flow<'a> {
    symbols: &'a XenSyms,
    decoded: RefCell<HashMap<u64, Rc<[Instruction]>>>,
}

/// Where a way ends or goes on.
enum Step {
    /// At these addresses.
    To(Vec<u64>),
    /// Into a function, and back.
    Into(u64),
    /// Back to whoever called.
    Back,
    /// Into a function that is not known, and back.
    Elsewhere,
    /// Nobody knows.
    Lost,
}

/// Some bits of a register.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The whole register, of 64 bits.
    pub register: Register,
    /// Which.
    pub bits: u64,
}

impl Part {
    /// All that `register` is a part of.
    pub fn whole(register: Register) -> Part {
        Part { register: register.full_register(), bits: u64::MAX }
    }
}

/// What a search does next.
enum Ahead {
    /// It has found what it looked for.
    Found,
    /// This way is of no interest any more.
    End,
    /// It goes on there.
    Go(Vec<u64>),
}

impl<'a> Flow<'a> {
    /// That of a Xen with these `symbols`.
    pub fn of(symbols: &'a XenSyms) -> Flow<'a> {
        Flow { symbols, decoded: RefCell::default() }
    }

    /// The instruction at `address`, if one is there.
    pub fn at(&self, address: u64) -> Option<Instruction> {
        let (_, code) = self.whole(address)?;
        let index = code.binary_search_by_key(&address, Instruction::ip).ok()?;
        Some(code[index])
    }

    /// The function that `address` is in, with its instructions; none if they can't be decoded.
    fn whole(&self, address: u64) -> Option<(&'a XenFunction, Rc<[Instruction]>)> {
        let function = self.around(address)?;
        let mut decoded = self.decoded.borrow_mut();
        let code = decoded
            .entry(function.address)
            .or_insert_with(|| instructions(function).unwrap_or_default().into());
        Some((function, Rc::clone(code)))
    }

    /// `address`, if a function begins there.
    pub fn function(&self, address: u64) -> Option<u64> {
        self.around(address).map(|function| function.address).filter(|start| *start == address)
    }

    /// Whether the function at `start` comes back, as far as that is known.
    pub fn returns(&self, start: u64) -> bool {
        let Some((function, code)) = self.whole(start) else { return true };
        let inside = |target: u64| {
            (function.address..function.address + function.code.len() as u64).contains(&target)
        };
        code.iter().any(|instruction| match instruction.flow_control() {
            FlowControl::Return | FlowControl::IndirectBranch => true,
            // As another function.
            FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => {
                !inside(instruction.near_branch_target())
            }
            _ => false,
        })
    }

    /// Whether any of `part` may be read from `address` on before all of it is written.
    ///
    /// Of what a function leaves in registers that it need not restore, its caller reads RAX only:
    /// RDX holds a part of a result where RAX does, too.
    pub fn is_read(&self, address: u64, part: Part) -> bool {
        let register = part.register;
        let by_caller = register == Register::RAX || !is_volatile(register);
        self.search(address, |instruction, step, info| {
            let (read, written) = access(instruction, part, info);
            let callee_reads = |callee: u64| self.takes(callee, part);
            match step {
                _ if read => Ahead::Found,
                _ if written => Ahead::End,
                Step::To(next) => Ahead::Go(next),
                Step::Into(callee) if callee_reads(callee) => Ahead::Found,
                Step::Into(callee) if is_volatile(register) && self.clobbers(callee, register) => {
                    Ahead::End
                }
                Step::Elsewhere if is_volatile(register) => Ahead::End,
                // The compiler may know that the function leaves the register alone.
                Step::Into(_) | Step::Elsewhere => Ahead::Go(vec![instruction.next_ip()]),
                Step::Back if by_caller => Ahead::Found,
                Step::Back => Ahead::End,
                Step::Lost => Ahead::Found,
            }
        })
    }

    /// Whether the function at `start` takes something in `part`. What it calls is not looked at.
    fn takes(&self, start: u64, part: Part) -> bool {
        self.search(start, |instruction, step, info| {
            let (read, written) = access(instruction, part, info);
            match step {
                _ if read => Ahead::Found,
                _ if written => Ahead::End,
                Step::To(next) => Ahead::Go(next),
                Step::Into(_) | Step::Elsewhere | Step::Back => Ahead::End,
                Step::Lost => Ahead::Found,
            }
        })
    }

    /// Whether the function at `start` surely uses `register` for something of its own.
    fn clobbers(&self, start: u64, register: Register) -> bool {
        let mut info = InstructionInfoFactory::new();
        let Some((_, code)) = self.whole(start) else { return false };
        code.iter().any(|instruction| {
            instruction.flow_control() == FlowControl::IndirectCall
                || access(instruction, Part::whole(register), &mut info).1
        })
    }

    /// Whether `look` finds something on a way from `address` on, or a way is lost.
    fn search(
        &self,
        address: u64,
        mut look: impl FnMut(&Instruction, Step, &mut InstructionInfoFactory) -> Ahead,
    ) -> bool {
        let mut info = InstructionInfoFactory::new();
        let (mut todo, mut seen) = (vec![address], HashSet::new());
        while let Some(at) = todo.pop() {
            if !seen.insert(at) {
                continue;
            }
            let instruction = self.at(at).filter(|_| seen.len() <= LONGEST);
            let Some(instruction) = instruction else { return true };
            match look(&instruction, self.step(&instruction), &mut info) {
                Ahead::Found => return true,
                Ahead::End => {}
                Ahead::Go(next) => todo.extend(next),
            }
        }
        false
    }

    /// The conditions that are read from `address` on before another instruction sets the flags;
    /// `None` if something else may read them.
    pub fn conditions(&self, address: u64) -> Option<Vec<ConditionCode>> {
        let mut found = Vec::new();
        let (mut todo, mut seen) = (vec![(address, CONDITION_FLAGS)], HashSet::new());
        while let Some((at, flags)) = todo.pop() {
            if !seen.insert((at, flags)) {
                continue;
            }
            let instruction = self.at(at).filter(|_| seen.len() <= LONGEST)?;
            if instruction.rflags_read() & flags != 0 {
                let condition = match (instruction.condition_code(), instruction.mnemonic()) {
                    // They read the carry, which is that condition.
                    (ConditionCode::None, Mnemonic::Sbb | Mnemonic::Adc) => ConditionCode::b,
                    (ConditionCode::None, _) => return None,
                    (condition, _) => condition,
                };
                if !found.contains(&condition) {
                    found.push(condition);
                }
            }
            let left = flags & !instruction.rflags_modified();
            match self.step(&instruction) {
                _ if left == 0 => {}
                Step::To(next) => todo.extend(next.into_iter().map(|next| (next, left))),
                // No function hands flags to another one, nor back.
                Step::Into(_) | Step::Elsewhere | Step::Back => {}
                Step::Lost => return None,
            }
        }
        Some(found)
    }

    fn step(&self, instruction: &Instruction) -> Step {
        let next = instruction.next_ip();
        let direct = || {
            (instruction.op0_kind() == OpKind::NearBranch64)
                .then(|| instruction.near_branch_target())
        };
        // A UDB: the decoder does not know it.
        if instruction.is_invalid() {
            return Step::To(vec![next]);
        }
        match instruction.flow_control() {
            FlowControl::Next => Step::To(vec![next]),
            FlowControl::ConditionalBranch => {
                direct().map_or(Step::Lost, |target| Step::To(vec![target, next]))
            }
            FlowControl::UnconditionalBranch => {
                direct().map_or(Step::Lost, |target| Step::To(vec![target]))
            }
            FlowControl::Call => match direct() {
                Some(target) if self.function(target).is_some() => Step::Into(target),
                // Into the midst of something: a jump that leaves its own address on the stack.
                Some(target) => Step::To(vec![target]),
                None => Step::Lost,
            },
            FlowControl::IndirectCall => Step::Elsewhere,
            FlowControl::Return => Step::Back,
            // A UD2 is a WARN, a BUG or an ASSERT: behind the first Xen goes on.
            FlowControl::Exception | FlowControl::Interrupt => Step::To(vec![next]),
            _ => Step::Lost,
        }
    }

    /// The function that `address` is in.
    fn around(&self, address: u64) -> Option<&'a XenFunction> {
        let functions = &self.symbols.functions;
        let after = functions.partition_point(|function| function.address <= address);
        let function = &functions[after.checked_sub(1)?];
        (address - function.address < function.code.len() as u64).then_some(function)
    }
}

/// Whether any function may change `register` without restoring it.
fn is_volatile(register: Register) -> bool {
    use Register::{R8, R9, R10, R11, RAX, RCX, RDI, RDX, RSI};
    matches!(register, RAX | RCX | RDX | RSI | RDI | R8 | R9 | R10 | R11)
}

/// Whether `instruction` reads any of those `bits` of `register`, and whether it writes them all.
fn access(
    instruction: &Instruction,
    Part { register, bits }: Part,
    info: &mut InstructionInfoFactory,
) -> (bool, bool) {
    let by = |other: OpKind| {
        instruction.op0_kind() == OpKind::Register
            && instruction.op1_kind() == other
            && instruction.op0_register().full_register() == register
    };
    // The result is the same whatever the bits were: zero, or they are shifted out.
    let cleared = match instruction.mnemonic() {
        Mnemonic::Xor | Mnemonic::Sub => {
            by(OpKind::Register) && instruction.op0_register() == instruction.op1_register()
        }
        Mnemonic::Shr | Mnemonic::Sar if by(OpKind::Immediate8) => {
            bits.checked_shr(u32::from(instruction.immediate8())) == Some(0)
        }
        _ => false,
    };
    let (mut read, mut written) = (false, cleared);
    for used in info.info(instruction).used_registers() {
        let (part, access) = (used.register(), used.access());
        if part.full_register() != register {
            continue;
        }
        read |= !cleared
            && !matches!(access, OpAccess::Write | OpAccess::CondWrite)
            && bits & held(part) != 0;
        // A write of 32 bits clears the others.
        let whole = if part.size() == 4 { u64::MAX } else { held(part) };
        let writes = matches!(access, OpAccess::Write | OpAccess::ReadWrite);
        written |= writes && bits & !whole == 0;
    }
    (read, written)
}

/// The bits of the whole register that are `part`.
fn held(part: Register) -> u64 {
    match (part, part.size()) {
        (Register::AH | Register::BH | Register::CH | Register::DH, _) => 0xff00,
        (_, 1) => 0xff,
        (_, 2) => 0xffff,
        (_, 4) => 0xffff_ffff,
        _ => u64::MAX,
    }
}

//! Calls whose result nothing reads are removed (statement deletion): NOPs are in their place.
//!
//! A binary does not say what a function returns, and few xen-syms have debug information. But the
//! calling convention does: a result is in RAX, or in RAX and RDX. If on every way from the call
//! both are written before they are read, then nothing is returned, or nobody wants it. What is not
//! known for sure counts as a reader: where an indirect jump leads, and whoever called this
//! function, for RAX. So a call right before a return may be left out, and none is taken too much.
//!
//! A call that does not return is left alone: what is behind it belongs to something else.

use iced_x86::InstructionInfoFactory;
use iced_x86::{FlowControl, Instruction, Mnemonic, OpAccess, OpKind, Register};

use super::flow::{Flow, Part};
use super::{Change, Mutation, Operator, Target};

/// What a function may return something in.
const RESULT: [Register; 2] = [Register::RAX, Register::RDX];

/// NOPs of one byte and more, as the processors' manuals recommend them.
pub(super) const NOPS: [&[u8]; 9] = [
    &[0x90],
    &[0x66, 0x90],
    &[0x0f, 0x1f, 0x00],
    &[0x0f, 0x1f, 0x40, 0x00],
    &[0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
    &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
    &[0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];

pub(super) fn mutations(target: &Target<'_>) -> Vec<Mutation> {
    let (flow, next) = (target.flow, target.instruction.next_ip());
    let callee = match target.instruction.flow_control() {
        FlowControl::IndirectCall => None,
        // A call of anything else only learns where it is.
        FlowControl::Call => match flow.function(target.instruction.near_branch_target()) {
            Some(function) => Some(function),
            None => return Vec::new(),
        },
        _ => return Vec::new(),
    };
    let Some(nop) = target.code.len().checked_sub(1).and_then(|index| NOPS.get(index)) else {
        return Vec::new();
    };
    let returns = callee.is_none_or(|function| flow.returns(function));
    if !returns || RESULT.into_iter().any(|register| flow.is_read(next, Part::whole(register))) {
        return Vec::new();
    }
    let empty = callee.is_some_and(|function| does_nothing(flow, function));
    vec![Mutation {
        operator: Operator::Call,
        change: Change::Removed,
        skip: 0,
        bytes: nop.to_vec(),
        equivalent: empty.then_some("the function that is called does nothing"),
    }]
}

/// Whether the function at `start` returns at once, or after changes that no caller relies on.
fn does_nothing(flow: &Flow<'_>, start: u64) -> bool {
    let mut info = InstructionInfoFactory::new();
    let mut at = start;
    // Longer ones that do nothing are not worth a look.
    for _ in 0..8 {
        let Some(instruction) = flow.at(at) else { return false };
        match instruction.flow_control() {
            FlowControl::Return => return true,
            // To a thunk that returns, or to a function that does nothing either.
            FlowControl::UnconditionalBranch if instruction.op0_kind() == OpKind::NearBranch64 => {
                at = instruction.near_branch_target();
            }
            FlowControl::Next if is_idle(&instruction, &mut info) => at = instruction.next_ip(),
            _ => return false,
        }
    }
    false
}

/// Whether `instruction` changes but registers that any function may change.
fn is_idle(instruction: &Instruction, info: &mut InstructionInfoFactory) -> bool {
    match instruction.mnemonic() {
        Mnemonic::Nop | Mnemonic::Endbr64 => true,
        Mnemonic::Mov | Mnemonic::Xor => {
            let info = info.info(instruction);
            let written = |register: &Register| register.full_register() == Register::RAX;
            let writes = |access: OpAccess| access != OpAccess::Read;
            instruction.op0_kind() == OpKind::Register
                && info.used_memory().is_empty()
                && info
                    .used_registers()
                    .iter()
                    .all(|used| !writes(used.access()) || written(&used.register()))
        }
        _ => false,
    }
}

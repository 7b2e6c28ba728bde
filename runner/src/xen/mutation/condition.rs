//! SETcc and CMOVcc have the opposite condition: where the compiler made a value of a condition, and
//! not a branch.
//!
//! Conditions that became arithmetic (`sbb %eax,%eax`) have no opposite of the same size.

use iced_x86::{ConditionCode, FlowControl};

use super::branch::NEGATES;
use super::{Change, Mutation, Operator, Target};

/// In front of the opcode of both, and in no prefix.
const ESCAPE: u8 = 0x0f;

pub(super) fn mutations(target: &Target<'_>) -> Vec<Mutation> {
    let instruction = target.instruction;
    let is_value = instruction.flow_control() == FlowControl::Next;
    if !is_value || instruction.condition_code() == ConditionCode::None {
        return Vec::new();
    }
    let opcode = target.code.iter().position(|byte| *byte == ESCAPE).map(|escape| escape + 1);
    // CMOVcc and SETcc.
    let opcode = opcode.filter(|at| matches!(target.code[*at], 0x40..=0x4f | 0x90..=0x9f));
    let mutation = |skip: usize| Mutation {
        operator: Operator::Condition,
        change: Change::Inverted,
        skip,
        bytes: vec![target.code[skip] ^ NEGATES],
        equivalent: None,
    };
    opcode.map(mutation).into_iter().collect()
}

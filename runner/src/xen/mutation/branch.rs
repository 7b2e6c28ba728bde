//! Conditional jumps go the other way (negated conditionals).

use super::{Change, Mutation, Operator, Target};

/// The lowest bit of the opcode of a Jcc, SETcc or CMOVcc negates its condition.
pub(super) const NEGATES: u8 = 1;

/// A jump whose opcode has no inverse, such as JRCXZ, has none.
pub(super) fn mutations(target: &Target<'_>) -> Vec<Mutation> {
    if !target.instruction.is_jcc_short_or_near() {
        return Vec::new();
    }
    // Counted from the end, for the sake of prefixes: the opcode is right before the distance, of
    // which a short branch has one byte and a near one four.
    let from_end = if target.instruction.code().is_jcc_short() { 2 } else { 5 };
    let skip = target.code.len() - from_end;
    vec![Mutation {
        operator: Operator::Branch,
        change: Change::Inverted,
        skip,
        bytes: vec![target.code[skip] ^ NEGATES],
        equivalent: None,
    }]
}

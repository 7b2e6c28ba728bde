//! How an instruction of Xen can be broken.
//!
//! Each [`Operator`] has a module of its own, which says what it changes, and which of its changes
//! come to nothing, as far as the code alone shows that. `flow` tells what is read after an
//! instruction, and `operand` where an immediate is.

mod branch;
mod call;
mod condition;
mod flow;
mod immediate;
mod mask;
mod operand;

use std::fmt;
use std::ops::Range;

use clap::ValueEnum;
use iced_x86::Instruction;
use serde::{Deserialize, Serialize};

pub use flow::Flow;

use super::symbols::XenFunction;
use super::symbols::code::instructions;
use crate::base::exit::Result;

/// A kind of change.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Deserialize,
    Serialize,
    ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Operator {
    /// A conditional jump is inverted
    // What journals were about before there were others.
    #[default]
    Branch,
    /// The condition of a setcc or cmovcc is inverted
    Condition,
    /// The immediate of a cmp is one more, or one less
    Immediate,
    /// A bit of the immediate of a test or an and is flipped
    Mask,
    /// A call whose result nothing reads is removed
    Call,
}

impl Operator {
    /// All of them.
    pub const ALL: [Operator; 5] = [
        Operator::Branch,
        Operator::Condition,
        Operator::Immediate,
        Operator::Mask,
        Operator::Call,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Operator::Branch => "branch",
            Operator::Condition => "condition",
            Operator::Immediate => "immediate",
            Operator::Mask => "mask",
            Operator::Call => "call",
        }
    }
}

/// What is changed in an instruction: with the instruction's address it names a mutant.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Its condition.
    #[default]
    Inverted,
    /// Its immediate is one less.
    Less,
    /// Its immediate is one more.
    More,
    /// That bit of its immediate.
    Bit(u8),
    /// Nothing is left of it.
    Removed,
}

impl fmt::Display for Change {
    /// What is behind the name of the instruction; nothing where an instruction has one mutant only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Inverted | Change::Removed => Ok(()),
            Change::Less => f.write_str(":-1"),
            Change::More => f.write_str(":+1"),
            Change::Bit(bit) => write!(f, ":bit{bit}"),
        }
    }
}

/// A way to break an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutation {
    /// What kind of change it is.
    pub operator: Operator,
    /// What is changed.
    pub change: Change,
    /// The first byte that changes, counted from the beginning of the instruction.
    pub skip: usize,
    /// What is there in the mutant.
    pub bytes: Vec<u8>,
    /// Why it makes no difference to anybody, if the code shows that.
    pub equivalent: Option<&'static str>,
}

/// An instruction, one of its function's.
#[derive(Clone, Copy)]
struct Target<'a> {
    instruction: &'a Instruction,
    /// Its bytes.
    code: &'a [u8],
    flow: &'a Flow<'a>,
}

/// The ways in which `operators` break `function`, each with the place of its instruction in it.
///
/// Only what is an instruction when one decodes from the function's start counts, so that no byte
/// of an operand is taken for one.
pub fn of(
    function: &XenFunction,
    operators: &[Operator],
    flow: &Flow<'_>,
) -> Result<Vec<(Range<usize>, Mutation)>> {
    let mut all = Vec::new();
    let mut end = 0;
    for instruction in &instructions(function)? {
        let place = end..end + instruction.len();
        end = place.end;
        if instruction.is_invalid() {
            continue;
        }
        let target = Target { instruction, code: &function.code[place.clone()], flow };
        let of_operator = |operator: &Operator| match operator {
            Operator::Branch => branch::mutations(&target),
            Operator::Condition => condition::mutations(&target),
            Operator::Immediate => immediate::mutations(&target),
            Operator::Mask => mask::mutations(&target),
            Operator::Call => call::mutations(&target),
        };
        let mutations = operators.iter().flat_map(of_operator);
        all.extend(mutations.map(|mutation| (place.clone(), mutation)));
    }
    Ok(all)
}

#[cfg(test)]
mod tests;

//! A bit of a mask is flipped: of the immediate of a TEST or an AND.
//!
//! A mask is a set of flags, or the runs of bits of fields and alignments. Mistakes in it are a flag
//! too few, a flag too many, and a field that begins or ends one bit off. So of each run of set bits
//! the lowest and the highest are cleared, which for a flag alone is the same mutant, and the lowest
//! clear bit is set. The bits within a run are left alone: a mask of pages has 52 of them, of which
//! none tells more than the edge. A bit that the CPU extends stands for all those above it, and is no
//! bit alone.

use iced_x86::{Mnemonic, OpKind, Register};

use super::flow::Part;
use super::operand::Immediate;
use super::{Change, Mutation, Operator, Target};

pub(super) fn mutations(target: &Target<'_>) -> Vec<Mutation> {
    let instruction = target.instruction;
    if !matches!(instruction.mnemonic(), Mnemonic::Test | Mnemonic::And) {
        return Vec::new();
    }
    let Some(immediate) = Immediate::of(target) else { return Vec::new() };
    // The stack's alignment is no mask.
    if instruction.op0_kind() == OpKind::Register
        && instruction.op0_register().full_register() == Register::RSP
    {
        return Vec::new();
    }
    let mutation = |bit: u8| {
        let equivalent = is_dead(target, bit).then_some("nothing reads this bit of the result");
        let bytes = immediate.bytes(immediate.value ^ 1 << bit)?;
        let (operator, change, skip) = (Operator::Mask, Change::Bit(bit), immediate.skip);
        Some(Mutation { operator, change, skip, bytes, equivalent })
    };
    bits(immediate).into_iter().filter_map(mutation).collect()
}

/// The bits to flip.
fn bits(immediate: Immediate) -> Vec<u8> {
    let Immediate { bits, width, value, .. } = immediate;
    let is_set = |bit: u32| bit < width && value >> bit & 1 == 1;
    let alone = if immediate.is_extended() { bits - 1 } else { bits };
    let is_edge = |bit: u32| is_set(bit) && !(bit > 0 && is_set(bit - 1) && is_set(bit + 1));
    let lowest_clear = (0..alone).find(|bit| !is_set(*bit));
    let chosen = (0..alone).filter(|bit| is_edge(*bit) || Some(*bit) == lowest_clear);
    chosen.filter_map(|bit| u8::try_from(bit).ok()).collect()
}

/// Whether neither the flags nor that bit of the result is read.
fn is_dead(target: &Target<'_>, bit: u8) -> bool {
    let (instruction, next) = (target.instruction, target.instruction.next_ip());
    let flags = target.flow.conditions(next).is_some_and(|readers| readers.is_empty());
    let part = Part { bits: 1 << bit, ..Part::whole(instruction.op0_register()) };
    let result = instruction.mnemonic() == Mnemonic::Test
        || instruction.op0_kind() == OpKind::Register && !target.flow.is_read(next, part);
    flags && result
}

//! The immediates of comparisons are one more, and one less (constant replacement; at `<` and `>=` it
//! moves the boundary).
//!
//! A value that the instruction has no room for makes no mutant: an immediate of one byte is never
//! 128.

use iced_x86::{ConditionCode, Mnemonic};

use super::operand::Immediate;
use super::{Change, Mutation, Operator, Target};

/// From here on an address is the negative of an error number (`IS_ERR` in xen/err.h).
const ERRORS: u64 = -4096_i64 as u64;

pub(super) fn mutations(target: &Target<'_>) -> Vec<Mutation> {
    if target.instruction.mnemonic() != Mnemonic::Cmp {
        return Vec::new();
    }
    let Some(immediate) = Immediate::of(target) else { return Vec::new() };
    let equivalent = reason(target, immediate);
    let changes = [(Change::Less, -1), (Change::More, 1)];
    let mutation = |(change, by): (Change, i64)| {
        let bytes = immediate.bytes(immediate.value.wrapping_add_signed(by))?;
        let (operator, skip) = (Operator::Immediate, immediate.skip);
        Some(Mutation { operator, change, skip, bytes, equivalent })
    };
    changes.into_iter().filter_map(mutation).collect()
}

/// Why nobody can tell the comparison from one with a neighbour of its immediate.
///
/// As long as the other operand may have any value, each condition on it is another one with another
/// immediate.
fn reason(target: &Target<'_>, immediate: Immediate) -> Option<&'static str> {
    let readers = target.flow.conditions(target.instruction.next_ip())?;
    let unsigned = |reader: &ConditionCode| {
        use ConditionCode::{a, ae, b, be};
        matches!(reader, a | be | b | ae)
    };
    if readers.is_empty() {
        return Some("nothing reads the result of the comparison");
    }
    (immediate.width == u64::BITS && immediate.value == ERRORS && readers.iter().all(unsigned))
        .then_some("it tells pointers from error numbers, none of which is near 4095")
}

//! The immediate of an instruction: where it is, how wide, and what a change of it looks like.

use iced_x86::{Decoder, DecoderOptions, OpKind};

use super::Target;

/// The immediate that is the second operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Immediate {
    /// Its place in the instruction.
    pub skip: usize,
    /// Its size in the instruction, in bits.
    pub bits: u32,
    /// The size of what it is compared or combined with, in bits.
    pub width: u32,
    /// Its value, in so many bits.
    pub value: u64,
}

impl Immediate {
    /// That of `target`, if it has one.
    pub fn of(target: &Target<'_>) -> Option<Immediate> {
        let instruction = target.instruction;
        let width = match instruction.op_kind(1) {
            OpKind::Immediate8 => 8,
            OpKind::Immediate16 | OpKind::Immediate8to16 => 16,
            OpKind::Immediate32 | OpKind::Immediate8to32 => 32,
            OpKind::Immediate8to64 | OpKind::Immediate32to64 => 64,
            _ => return None,
        };
        let mut decoder = Decoder::with_ip(64, target.code, instruction.ip(), DecoderOptions::NONE);
        let decoded = decoder.decode();
        let offsets = decoder.get_constant_offsets(&decoded);
        let bits = u32::try_from(8 * offsets.immediate_size()).ok()?;
        let value = instruction.immediate(1) & ones(width);
        Some(Immediate { skip: offsets.immediate_offset(), bits, width, value })
    }

    /// Whether the CPU extends its highest bit.
    pub fn is_extended(&self) -> bool {
        self.bits < self.width
    }

    /// The bytes of `value` instead; `None` if they would stand for another value.
    pub fn bytes(&self, value: u64) -> Option<Vec<u8>> {
        let value = value & ones(self.width);
        let extended = match value >> (self.bits - 1) & 1 {
            1 => value | !ones(self.bits),
            _ => value & ones(self.bits),
        };
        let same = !self.is_extended() || extended & ones(self.width) == value;
        same.then(|| value.to_le_bytes()[..self.bits as usize / 8].to_vec())
    }
}

/// The lowest `bits` bits.
fn ones(bits: u32) -> u64 {
    u64::MAX >> (u64::BITS - bits)
}

//! A function's instructions, its basic blocks, and how people read them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Formatter, GasFormatter, Instruction, Mnemonic, OpKind,
    SymbolResolver, SymbolResult,
};

use super::files::{Function, Symbols};

/// The instructions of `function`.
pub fn instructions(function: &Function) -> Vec<Instruction> {
    let options = DecoderOptions::NONE;
    Decoder::with_ip(64, &function.code, function.address, options).into_iter().collect()
}

/// The instructions of `function` without those that only fill up space: basic blocks of nothing
/// but NOPs, to which no branch leads.
pub fn body(function: &Function) -> Vec<Instruction> {
    let all = instructions(function);
    let targets = targets(&all);
    let fills = |instruction: &Instruction| {
        // An INT3 stops processors that speculate past a return.
        matches!(instruction.mnemonic(), Mnemonic::Nop | Mnemonic::Int3)
    };
    let useful = blocks(&all).into_iter().filter(|block| {
        targets.contains(&block.address) || !all[block.instructions.clone()].iter().all(fills)
    });
    useful.flat_map(|block| all[block.instructions].to_vec()).collect()
}

/// A basic block: instructions that run all or none, but for a fault in their midst.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where it begins.
    pub address: u64,
    /// Its instructions, as indices into the function's.
    pub instructions: Range<usize>,
}

/// The basic blocks of a function's [`body`].
///
/// A block ends before whatever a branch of the function leads to, and after whatever does not
/// simply go on. A call goes on. Where an indirect jump leads is not known, but a compiler begins
/// what it leads to after something that does not go on.
pub fn blocks(body: &[Instruction]) -> Vec<Block> {
    let targets = targets(body);
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (index, instruction) in body.iter().enumerate() {
        match blocks.last_mut() {
            Some(block) if open && !targets.contains(&instruction.ip()) => {
                block.instructions.end += 1;
            }
            _ => blocks.push(Block { address: instruction.ip(), instructions: index..index + 1 }),
        }
        open = goes_on(instruction);
    }
    blocks
}

/// Whether what comes after `instruction` is always next.
fn goes_on(instruction: &Instruction) -> bool {
    let flow = instruction.flow_control();
    matches!(flow, FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall)
}

/// Where direct branches lead.
fn targets(instructions: &[Instruction]) -> BTreeSet<u64> {
    let branches = instructions.iter().filter(|instruction| !goes_on(instruction));
    let direct = branches.filter(|branch| branch.op0_kind() == OpKind::NearBranch64);
    direct.map(Instruction::near_branch_target).collect()
}

/// The instruction in words.
pub fn assembly(symbols: &Symbols, instruction: &Instruction) -> String {
    /// Names what an instruction refers to.
    struct Names(BTreeMap<u64, String>);
    impl SymbolResolver for Names {
        fn symbol(
            &mut self,
            _: &Instruction,
            _: u32,
            _: Option<u32>,
            address: u64,
            _: u32,
        ) -> Option<SymbolResult<'_>> {
            Some(SymbolResult::with_str(address, self.0.get(&address)?))
        }
    }
    let data = instruction.is_ip_rel_memory_operand().then(|| instruction.ip_rel_memory_address());
    let places = [Some(instruction.near_branch_target()), data].into_iter().flatten();
    let names = places.filter_map(|place| Some((place, symbols.describe(place)?))).collect();
    let mut formatter = GasFormatter::with_options(Some(Box::new(Names(names))), None);
    formatter.options_mut().set_uppercase_hex(false);
    let mut line = String::new();
    formatter.format(instruction, &mut line);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_end_at_branches_and_before_their_targets() {
        let code = [
            &[0x85, 0xc0][..],               // 0: test
            &[0x74, 0x05],                   // 2: je 9
            &[0xe8, 0x00, 0x00, 0x00, 0x00], // 4: call: goes on
            &[0x90],                         // 9: nop, a target
            &[0x0f, 0x0b],                   // a: ud2
            &[0xff, 0xe0],                   // c: jmp *%rax
            &[0xcc, 0x66, 0x90],             // e: fills up
            &[0x75, 0x01],                   // 11: jne 14
            &[0x90],                         // 13: fills up
            &[0xeb, 0xfb],                   // 14: jmp 11
            &[0xc3],                         // 16
        ]
        .concat();
        let function = Function {
            name: "f".into(),
            file: None,
            label: "f".into(),
            address: 0x2000,
            physical: 0x1000,
            code,
        };
        let shape: Vec<(u64, Range<usize>)> = blocks(&body(&function))
            .into_iter()
            .map(|block| (block.address - 0x2000, block.instructions))
            .collect();
        let expected = [
            (0, 0..2),
            (4, 2..3),
            (9, 3..5),
            (0xc, 5..6),
            (0x11, 6..7),
            (0x14, 7..8),
            (0x16, 8..9),
        ];
        assert_eq!(shape, expected);
    }
}

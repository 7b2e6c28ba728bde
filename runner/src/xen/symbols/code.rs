//! A function's instructions, its basic blocks, and how people read them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Formatter, GasFormatter, Instruction, Mnemonic, OpKind,
    SymbolResolver, SymbolResult,
};

use super::files::{XenFunction, XenSyms};
use crate::base::exit::{Error, Result};

/// The instructions of `function`.
///
/// Whatever of them is [invalid](Instruction::is_invalid) is a UDB; other code that is none is an
/// error.
pub fn instructions(function: &XenFunction) -> Result<Vec<Instruction>> {
    let mut instructions = Vec::new();
    let (mut code, mut address) = (function.code.as_slice(), function.address);
    while !code.is_empty() {
        let mut instruction = Decoder::with_ip(64, code, address, DecoderOptions::NONE).decode();
        if instruction.is_invalid() {
            let size = udb(code).ok_or_else(|| {
                Error::Data(format!(
                    "cannot decode the code of {} at {address:#x}; exclude it from --functions",
                    function.label
                ))
            })?;
            instruction.set_len(size);
            instruction.set_ip(address);
        }
        code = &code[instruction.len()..];
        address = instruction.next_ip();
        instructions.push(instruction);
    }
    Ok(instructions)
}

/// The size of the UDB, with its prefixes, that `code` begins with, if it does.
///
/// Since 4.22, BUG, WARN and ASSERT of Xen are this byte (asm/bug.h). The decoder knows it as
/// invalid only, and takes the byte behind it along as if it were an operand
/// (findings/decoders-and-udb.sh).
fn udb(code: &[u8]) -> Option<usize> {
    const UDB: u8 = 0xd6;
    /// No instruction of any processor is longer.
    const LONGEST: usize = 15;
    let prefix = |byte: &u8| matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x40..=0x4f | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3);
    let prefixes = code.iter().take_while(|byte| prefix(byte)).count();
    (prefixes < LONGEST && code.get(prefixes) == Some(&UDB)).then_some(prefixes + 1)
}

/// Where the direct branches of a Xen lead.
///
/// Those of all its functions: the compiler splits what is rarely executed off a function
/// (`.cold`), and each of the two jumps into the midst of the other.
#[derive(Debug)]
pub struct Targets(BTreeSet<u64>);

impl Targets {
    /// Those of `symbols`; of a function that can't be decoded, nothing is known.
    pub fn of(symbols: &XenSyms) -> Targets {
        let functions = symbols.functions.iter().filter_map(|function| instructions(function).ok());
        let branches = functions.flatten().filter(|instruction| !goes_on(instruction));
        let direct = branches.filter(|branch| branch.op0_kind() == OpKind::NearBranch64);
        Targets(direct.map(|branch| branch.near_branch_target()).collect())
    }

    fn contains(&self, instruction: &Instruction) -> bool {
        self.0.contains(&instruction.ip())
    }
}

/// The instructions of `function` without those that only fill up space: basic blocks of nothing
/// but NOPs, to which no branch leads.
pub fn body(function: &XenFunction, targets: &Targets) -> Result<Vec<Instruction>> {
    let all = instructions(function)?;
    let fills = |instruction: &Instruction| {
        // An INT3 stops processors that speculate past a return.
        matches!(instruction.mnemonic(), Mnemonic::Nop | Mnemonic::Int3)
    };
    let useful = blocks(&all, targets).into_iter().filter(|block| {
        let instructions = &all[block.instructions.clone()];
        targets.contains(&instructions[0]) || !instructions.iter().all(fills)
    });
    Ok(useful.flat_map(|block| all[block.instructions].to_vec()).collect())
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
/// A block ends before whatever a branch leads to, and after whatever does not
/// simply go on. A call goes on. Where an indirect jump leads is not known, but a compiler begins
/// what it leads to after something that does not go on.
pub fn blocks(body: &[Instruction], targets: &Targets) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (index, instruction) in body.iter().enumerate() {
        match blocks.last_mut() {
            Some(block) if open && !targets.contains(instruction) => {
                block.instructions.end += 1;
            }
            _ => blocks.push(Block { address: instruction.ip(), instructions: index..index + 1 }),
        }
        open = goes_on(instruction);
    }
    blocks
}

/// Whether what comes after `instruction` is always next.
///
/// Not so after a UD2 or, since 4.22, a UDB: behind that of a WARN Xen goes on, behind that of a
/// BUG or an ASSERT it never does, and which of them it is, the code does not tell. With a block of
/// its own, what is behind counts only if it is executed.
fn goes_on(instruction: &Instruction) -> bool {
    let flow = instruction.flow_control();
    matches!(flow, FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall)
}

/// The instruction, one of [`instructions`], in words.
pub fn assembly(symbols: &XenSyms, instruction: &Instruction) -> String {
    if instruction.is_invalid() {
        return "udb".into();
    }
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

    fn function(address: u64, code: &[&[u8]]) -> XenFunction {
        XenFunction::sample("f", None, address, &code.concat())
    }

    fn symbols(functions: Vec<XenFunction>) -> XenSyms {
        XenSyms { build_id: Vec::new(), functions, names: Vec::new() }
    }

    /// The blocks of the first of `functions`.
    fn shape(functions: Vec<XenFunction>) -> Vec<(u64, Range<usize>)> {
        let symbols = symbols(functions);
        let (function, targets) = (&symbols.functions[0], Targets::of(&symbols));
        let body = body(function, &targets).unwrap();
        let blocks = blocks(&body, &targets).into_iter();
        blocks.map(|block| (block.address - function.address, block.instructions)).collect()
    }

    #[test]
    fn a_udb_is_one_byte_and_its_prefixes() {
        // As objdump of binutils 2.47 takes the same bytes apart.
        let expected = [
            (&[0xd6][..], "udb"),
            (&[0x48, 0x89, 0xc3], "mov %rax,%rbx"),
            (&[0xd6], "udb"),
            (&[0x66, 0x90], "xchg %ax,%ax"),
            (&[0xd6], "udb"),
            (&[0xf3, 0x0f, 0x1e, 0xfa], "endbr64"),
            (&[0xd6], "udb"),
            (&[0x55], "push %rbp"),
            (&[0xd6], "udb"),
            (&[0xf0, 0xff, 0x07], "lock incl (%rdi)"),
            (&[0xd6], "udb"),
            (&[0xd6], "udb"),
            (&[0xb8, 0xd6, 0xd6, 0x00, 0xd6], "mov $0xd600d6d6,%eax"),
            (&[0x66, 0x0f, 0xd6, 0xc1], "movq %xmm0,%xmm1"),
            (&[0x66, 0xd6], "udb"),
            (&[0x48, 0xd6], "udb"),
            (&[0xf0, 0xd6], "udb"),
            (&[0x2e, 0x3e, 0xd6], "udb"),
            (&[0x66, 0x48, 0xd6], "udb"),
            (&[0xc3], "ret"),
            (&[0xd6], "udb"),
        ];
        let function = function(0x2000, &expected.map(|(bytes, _)| bytes));
        let found = instructions(&function).unwrap();
        assert_eq!(found.len(), expected.len());
        let symbols = symbols(Vec::new());
        let mut address = function.address;
        for (instruction, (bytes, words)) in found.iter().zip(expected) {
            let (start, size) = (instruction.ip(), instruction.len());
            assert_eq!((start, size), (address, bytes.len()), "{words}");
            let found = assembly(&symbols, instruction);
            assert!(found.ends_with(words), "{found} for {words}");
            address += bytes.len() as u64;
        }
    }

    #[test]
    fn other_code_that_is_none_is_an_error() {
        for code in [
            &[0x90, 0x06, 0x74, 0x00][..], // a push of 32-bit code
            &[0x90, 0x0f, 0xd6, 0xc1],     // what movq is without its prefix
            &[0x90, 0x62, 0xd6],           // too short
            &[0x90, 0x66],                 // nothing behind a prefix
        ] {
            let error = instructions(&function(0x2000, &[code])).unwrap_err().to_string();
            assert!(error.contains("cannot decode the code of f at 0x2001"), "{error}");
        }
    }

    #[test]
    fn a_udb_ends_a_block_as_ud2_does() {
        for (bug, size) in [(&[0xd6][..], 1), (&[0x0f, 0x0b], 2)] {
            let code = [&[0x85, 0xc0][..], bug, &[0x48, 0x89, 0xc3], &[0xc3]];
            let shape = shape(vec![function(0x2000, &code)]);
            assert_eq!(shape, [(0, 0..2), (2 + size, 2..4)]);
        }
    }

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
        ];
        let expected = [
            (0, 0..2),
            (4, 2..3),
            (9, 3..5),
            (0xc, 5..6),
            (0x11, 6..7),
            (0x14, 7..8),
            (0x16, 8..9),
        ];
        assert_eq!(shape(vec![function(0x2000, &code)]), expected);
    }

    #[test]
    fn a_block_begins_where_another_function_jumps_to() {
        let cold = function(
            0x3000,
            &[
                &[0x89, 0xc3], // 0: mov
                &[0x89, 0xc1], // 2: mov, where f comes to
                &[0xc3],       // 4
            ],
        );
        let hot = function(
            0x2000,
            &[
                &[0x0f, 0x84, 0xfc, 0x0f, 0x00, 0x00], // 0: je cold+2
                &[0xe8, 0xf9, 0x0f, 0x00, 0x00],       // 6: call cold+4: no jump
                &[0xc3],                               // b
            ],
        );
        // One that can't be decoded is none of theirs.
        let other = function(0x4000, &[&[0x06]]);
        assert_eq!(shape(vec![cold, hot, other]), [(0, 0..1), (2, 1..3)]);
    }
}

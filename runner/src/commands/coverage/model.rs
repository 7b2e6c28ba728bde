//! What was counted, by function, basic block and instruction.

use std::collections::HashMap;

use iced_x86::Instruction;

use crate::base::exit::Result;
use crate::machine::plugin::Counts;
use crate::xen::symbols::code::{self, Block, Targets};
use crate::xen::symbols::{Build, XenFunction, XenSyms};

/// How much of something was executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// How many were executed.
    pub hit: usize,
    /// How many there are.
    pub of: usize,
}

impl Share {
    fn count(mut self, hit: bool) -> Share {
        self.hit += usize::from(hit);
        self.of += 1;
        self
    }

    /// In hundredths, rounded down: 100 means all.
    pub fn percent(self) -> usize {
        (100 * self.hit).checked_div(self.of).unwrap_or(100)
    }
}

impl std::ops::Add for Share {
    type Output = Share;
    fn add(self, other: Share) -> Share {
        Share { hit: self.hit + other.hit, of: self.of + other.of }
    }
}

/// A function and its counts.
#[derive(Debug)]
pub struct Covered<'a> {
    /// Which.
    pub function: &'a XenFunction,
    /// Its code.
    pub instructions: Vec<Instruction>,
    /// How often each of those was executed.
    pub counts: Vec<u64>,
    /// Its basic blocks.
    pub blocks: Vec<Block>,
}

impl<'a> Covered<'a> {
    /// Not executed yet.
    pub fn new(function: &'a XenFunction, targets: &Targets) -> Result<Covered<'a>> {
        let instructions = code::body(function, targets)?;
        let blocks = code::blocks(&instructions, targets);
        Ok(Covered { function, counts: vec![0; instructions.len()], instructions, blocks })
    }

    /// How often the function was entered: executions of its first instruction.
    pub fn entered(&self) -> u64 {
        self.counts.first().copied().unwrap_or(0)
    }

    /// How often `block` was entered.
    pub fn block_count(&self, block: &Block) -> u64 {
        self.counts[block.instructions.start]
    }

    /// Of the instructions.
    pub fn instructions_hit(&self) -> Share {
        self.counts.iter().fold(Share::default(), |share, &count| share.count(count > 0))
    }

    /// Of the basic blocks.
    pub fn blocks_hit(&self) -> Share {
        let hit = self.blocks.iter().map(|block| self.block_count(block) > 0);
        hit.fold(Share::default(), Share::count)
    }
}

/// All that was measured.
#[derive(Debug)]
pub struct Coverage<'a> {
    /// Which Xen, as the user calls it.
    pub xen: &'a str,
    /// Where it came from.
    pub provenance: &'a str,
    /// Its names.
    pub symbols: &'a XenSyms,
    /// The functions, by address.
    pub functions: Vec<Covered<'a>>,
}

impl<'a> Coverage<'a> {
    /// Nothing was executed yet.
    pub fn new(xen: &'a str, build: &'a Build, functions: Vec<&'a XenFunction>) -> Result<Self> {
        let targets = Targets::of(&build.symbols);
        let covered = functions.into_iter().map(|function| Covered::new(function, &targets));
        let functions = covered.collect::<Result<_>>()?;
        let provenance = &build.ready.provenance;
        Ok(Coverage { xen, provenance, symbols: &build.symbols, functions })
    }

    /// Where to count: the instructions of all functions, rising.
    pub fn addresses(&self) -> Vec<u64> {
        let mut addresses: Vec<u64> = self
            .functions
            .iter()
            .flat_map(|f| f.instructions.iter().map(Instruction::ip))
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// Adds what a boot counted at [`Coverage::addresses`].
    pub fn add(&mut self, counts: &Counts) {
        let addresses = self.addresses();
        let counted: HashMap<u64, u64> =
            addresses.into_iter().zip(counts.0.iter().copied()).collect();
        for covered in &mut self.functions {
            for (instruction, count) in covered.instructions.iter().zip(&mut covered.counts) {
                let new = counted.get(&instruction.ip()).copied().unwrap_or(0);
                *count = count.saturating_add(new);
            }
        }
    }

    /// Of the functions.
    pub fn functions_hit(&self) -> Share {
        let hit = self.functions.iter().map(|function| function.entered() > 0);
        hit.fold(Share::default(), Share::count)
    }

    /// Of all instructions.
    pub fn instructions_hit(&self) -> Share {
        self.functions.iter().map(Covered::instructions_hit).fold(Share::default(), |a, b| a + b)
    }

    /// Of all basic blocks.
    pub fn blocks_hit(&self) -> Share {
        self.functions.iter().map(Covered::blocks_hit).fold(Share::default(), |a, b| a + b)
    }
}

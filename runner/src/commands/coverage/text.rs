//! Coverage for people at a terminal.

use std::fmt::Write as _;

use super::model::{Coverage, Share};
use crate::xen::symbols::code::assembly;

/// The table of functions.
pub fn table(coverage: &Coverage<'_>) -> String {
    let mut text = String::from("\n");
    let head = ["instructions", "executed", "blocks", "executed"];
    text += &row("Function", head.map(String::from));
    for covered in &coverage.functions {
        let shares = [covered.instructions_hit(), covered.blocks_hit()];
        text += &row(&covered.function.label, cells(shares));
    }
    let (instructions, blocks) = (coverage.instructions_hit(), coverage.blocks_hit());
    text += &row("all", cells([instructions, blocks]));
    let functions = coverage.functions_hit();
    let _ = writeln!(
        text,
        "\n{} of {} functions, {} of {} blocks ({} %), {} of {} instructions ({} %) executed",
        functions.hit,
        functions.of,
        blocks.hit,
        blocks.of,
        blocks.percent(),
        instructions.hit,
        instructions.of,
        instructions.percent()
    );
    text
}

fn cells([instructions, blocks]: [Share; 2]) -> [String; 4] {
    let executed = |share: Share| format!("{} {:>3} %", share.hit, share.percent());
    [instructions.of.to_string(), executed(instructions), blocks.of.to_string(), executed(blocks)]
}

fn row(name: &str, [instructions, executed, blocks, reached]: [String; 4]) -> String {
    format!("{name:<44} {instructions:>12} {executed:>12} {blocks:>7} {reached:>12}\n")
}

/// The disassembly with a count before each instruction; `-` marks what was never executed.
pub fn listing(coverage: &Coverage<'_>) -> String {
    let mut text = format!("Xen {}: {}\n", coverage.xen, coverage.provenance);
    for covered in &coverage.functions {
        let blocks = covered.blocks_hit();
        let _ = writeln!(
            text,
            "\n{} at {:#x}: {} of {} blocks executed",
            covered.function.label, covered.function.address, blocks.hit, blocks.of
        );
        for block in &covered.blocks {
            text.push('\n');
            for index in block.instructions.clone() {
                let instruction = &covered.instructions[index];
                let count = match covered.counts[index] {
                    0 => "-".to_owned(),
                    count => count.to_string(),
                };
                let offset = instruction.ip() - covered.function.address;
                let words = assembly(coverage.symbols, instruction);
                let _ = writeln!(text, "{count:>12}  +{offset:<#7x} {words}");
            }
        }
    }
    text
}

//! Coverage for programs.

use serde_json::{Value, json};

use super::model::{Coverage, Covered, Share};
use crate::base::hash::hex;

/// The document: an object with totals, and an array of functions with their blocks.
///
/// Addresses are text, since not every reader's numbers hold 64 bits.
pub fn document(coverage: &Coverage<'_>) -> String {
    let functions: Vec<Value> = coverage.functions.iter().map(function).collect();
    let build_id = hex(&coverage.symbols.build_id);
    let document = json!({
        "xen": coverage.xen,
        "origin": coverage.provenance,
        "build_id": build_id,
        "totals": {
            "functions": share(coverage.functions_hit()),
            "blocks": share(coverage.blocks_hit()),
            "instructions": share(coverage.instructions_hit()),
        },
        "functions": functions,
    });
    format!("{document:#}\n")
}

fn share(share: Share) -> Value {
    json!({ "executed": share.hit, "all": share.of })
}

fn function(covered: &Covered<'_>) -> Value {
    let function = covered.function;
    let blocks: Vec<Value> = covered
        .blocks
        .iter()
        .map(|block| {
            json!({
                "address": format!("{:#x}", block.address),
                "offset": block.address - function.address,
                "count": covered.block_count(block),
                "instructions": block.instructions.clone().map(|at| covered.counts[at]).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "name": function.name,
        "file": function.file,
        "address": format!("{:#x}", function.address),
        "size": function.code.len(),
        "entered": covered.entered(),
        "instructions": share(covered.instructions_hit()),
        "executed_blocks": share(covered.blocks_hit()),
        "blocks": blocks,
    })
}

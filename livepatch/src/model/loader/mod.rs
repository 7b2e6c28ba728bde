//! What Xen makes of a payload's bytes: the checks of its loader, in their order.
//!
//! The functions of Xen that are followed here are in `xen/common/livepatch_elf.c` and, from
//! `load_payload_data` on, in `xen/common/livepatch.c`. Where the real ones work with addresses,
//! these work with a base (the payload itself, a symbol of Xen, another payload) and an offset, so
//! that nothing depends on where Xen puts things. What cannot be predicted then is [`Unforeseen`].

mod contents;
mod memory;
mod sections;
mod terms;

use super::rules::Rules;
use crate::change::Change;
use contents::Contents;
use memory::Memory;
use sections::Sections;
use terms::Result;

pub use contents::{Function, HookCode, Image, Returns};
pub(super) use terms::{Neighbours, Refusal};
pub use terms::{Unforeseen, XenSymbol};

/// Loads a payload.
pub(super) fn load(
    file: &[u8],
    rules: &Rules,
    endbr: Option<bool>,
    xen_build_id: &[u8],
    neighbours: &dyn Neighbours,
) -> Result<Image> {
    let elf = Sections::read(file, rules)?;
    if rules.has(Change::XenDependsFirst) {
        contents::check_xen_early(&elf, xen_build_id)?;
    }
    let mut memory = Memory::new(&elf, rules)?;
    memory.resolve_symbols(&elf, rules, neighbours)?;
    memory.relocate(&elf)?;
    Contents { elf: &elf, memory: &memory, rules, endbr }.read(xen_build_id, neighbours)
}

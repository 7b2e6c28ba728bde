//! What Xen makes of a payload's bytes: the checks of its loader, in their order.
//!
//! The functions of Xen that are followed here are in `xen/common/livepatch_elf.c` and, from
//! `load_payload_data` on, in `xen/common/livepatch.c`. Where the real ones work with addresses,
//! these work with a base (the payload itself, a symbol of Xen, another payload) and an offset, so
//! that nothing depends on where Xen puts things. What cannot be predicted then is [`Unforeseen`].

mod checks;
mod contents;
mod memory;
mod sections;
mod tables;
mod terms;

pub use tables::elements;

use super::rules::Rules;
use crate::abi::PAYLOAD_SIZE_MAX;
use crate::change::Change;
use contents::Contents;
use memory::Memory;
use sections::Sections;
use terms::{Result, check};

pub use checks::Check;
pub use contents::{Function, HookCode, Image, Returns};
pub(super) use terms::{FourFunctions, Surroundings};
pub use terms::{Item, KnownXen, Neighbours, Refusal, Refused, Unforeseen, XenSymbol};

/// Loads a payload.
pub(super) fn load(file: &[u8], rules: &Rules, around: Surroundings<'_>) -> Result<Image> {
    check(around.xen.takes_payloads(), Check::Built)?;
    check(!file.is_empty(), Check::NotEmpty)?;
    check(file.len() <= PAYLOAD_SIZE_MAX, Check::FileSize)?;
    let elf = Sections::read(file, rules)?;
    if rules.has(Change::XenDependsFirst) {
        contents::check_xen_early(&elf, around.build_id)?;
    }
    let mut memory = Memory::new(&elf, rules)?;
    memory.resolve_symbols(&elf, rules, around)?;
    memory.relocate(&elf)?;
    Contents { elf: &elf, memory: &memory, rules, around }.read()
}

//! # livepatch-elf
//!
//! What Xen takes for a payload and what it does not: every field that it checks is broken alone,
//! in a payload that works otherwise, and both sides of each limit are tried. A refusal is
//! answered with its errno and leaves no trace; what is accepted is in state CHECKED, and where
//! it could have been linked wrongly, it is applied and its effect looked at.
//!
//! | File | What | Where the checks are |
//! |---|---|---|
//! | `header` | the ELF header | `livepatch_header_check`, `arch_livepatch_verify_elf` |
//! | `sections` | section headers, names, string tables, loading | `elf_resolve_sections`, `elf_resolve_section_names`, `elf_verify_strtab`, `move_payload` |
//! | `symbols` | the symbol table | `elf_get_sym`, `livepatch_elf_resolve_symbols`, `build_symbol_table` |
//! | `relocations` | relocation sections and types | `livepatch_elf_perform_relocs`, `arch_livepatch_perform_rela` |
//! | `notes` | build-id and dependencies | `check_special_sections`, `xen_build_id_check`, `prepare_payload` |
//! | `funcs` | `.livepatch.funcs` | `check_patching_sections`, `prepare_payload`, `arch_livepatch_verify_func` |
//! | `hooks` | `.livepatch.hooks.*` | `check_patching_sections`, `prepare_payload` |
//! | `alt_calls` | `.alt_call_sites` | `prepare_payload`, `apply_alt_calls` |
//! | `special` | `.bug_frames`, `.altinstructions`, `.ex_table`, `.modinfo` | `prepare_payload`, `apply_alternatives` |
//! | `stages` | which of two faults wins | `load_payload_data` |
//! | `memory` | refused payloads cost nothing | all of them |
//!
//! They are in xen/common/livepatch.c, livepatch_elf.c and version.c, and in
//! xen/arch/x86/livepatch.c and alternative.c.
#![forbid(unsafe_code)]

mod alt_calls;
mod claims;
mod funcs;
mod header;
mod hooks;
mod memory;
mod notes;
mod probe;
mod relocations;
mod sections;
mod special;
mod stages;
mod symbols;

use kernel::{Case, Need, Test};

/// The test.
pub const TEST: Test = Test {
    name: "livepatch-elf",
    title: "Livepatch payloads: what Xen accepts, and how it refuses the rest",
    needs: &[Need::Privileged, Need::Livepatch],
    cases: &CASES,
    ..Test::DEFAULT
};

const THEMES: &[&[Case]] = &[
    header::CASES,
    sections::CASES,
    symbols::CASES,
    relocations::CASES,
    notes::CASES,
    funcs::CASES,
    hooks::CASES,
    special::CASES,
    alt_calls::CASES,
    stages::CASES,
    memory::CASES,
];
const CASES: [Case; count(THEMES)] = join(THEMES);

const fn count(themes: &[&[Case]]) -> usize {
    let mut count = 0;
    let mut theme = 0;
    while theme < themes.len() {
        count += themes[theme].len();
        theme += 1;
    }
    count
}

const fn join<const COUNT: usize>(themes: &[&[Case]]) -> [Case; COUNT] {
    let mut joined = [Case::new("", |_| Ok(())); COUNT];
    let mut next = 0;
    let mut theme = 0;
    while theme < themes.len() {
        let mut case = 0;
        while case < themes[theme].len() {
            joined[next] = themes[theme][case];
            next += 1;
            case += 1;
        }
        theme += 1;
    }
    joined
}

//! # livepatch-history
//!
//! What was once wrong with live patching, or once missing, and was changed: a case per change
//! that a guest can see, named after what it changed. A Xen that has the change must show it. On
//! one that is too old the case is a tolerated deviation that carries the commit in its name. A valid
//! payload that a release does not survive is skipped there, with the commit that it lacks.
//!
//! The first release with each change, and the point releases that got it too, are those of
//! Xen's own branches. Where it is in Xen today: xen/common/livepatch.c,
//! xen/common/livepatch_elf.c, xen/arch/x86/livepatch.c.
//!
//! Not here, because one guest cannot see it:
//! - 75dfe7c566 (an inverted trylock behind a debug key), 3bc5cf73d7 (the unit of the timeout,
//!   wrong in the header only), c30021be30 (speed), a8dc4ec942 and 8c81423038 (tidying);
//! - ca4cd36682 (EBUSY while a domain's memory events are in use) needs a second domain;
//! - 92167e9430 and 8676092a0f (control-flow enforcement) need a CPU that has it.
#![forbid(unsafe_code)]

use kernel::{Case, Need, Test};

mod behaviour;
mod format;

/// The test.
pub const TEST: Test = Test {
    name: "livepatch-history",
    title: "What was fixed in live patching stays fixed",
    needs: &[Need::Privileged, Need::Livepatch],
    cases: &[
        Case::new("alignment_of_3_is_eopnotsupp", format::alignment_3),
        Case::new("misaligned_section_address_is_einval", format::misaligned_address),
        Case::new("empty_exception_table_is_fine", format::empty_ex_table),
        Case::new("payload_for_another_xen_is_refused", format::another_xen),
        Case::new("payload_for_another_xen_is_refused_first", format::another_xen_first),
        Case::new("payload_without_functions_is_fine", format::no_functions),
        Case::new("metadata_must_end_in_nul", format::metadata_end),
        Case::new("unknown_name_beats_a_small_size", format::unknown_name),
        Case::new("jump_needs_room_behind_an_endbr", format::endbr_size),
        Case::new("symbol_in_an_empty_section_has_an_address", format::empty_section_symbol),
        Case::new("symbol_in_an_unloaded_section_is_einval", format::unloaded_section_symbol),
        Case::new("alternative_outside_the_payload_is_einval", format::alternative_outside),
        Case::new("alternative_without_replacements_is_einval", format::alternative_without),
        Case::new("foreign_build_id_note_is_enodata", format::foreign_note),
        Case::new("second_section_of_a_name_is_ignored", format::second_section),
        Case::new("alternative_calls_are_checked", format::alternative_calls),
        Case::new("applies_again_with_nothing_writable", behaviour::nothing_writable),
        Case::new("nodeps_ignores_what_is_below", behaviour::nodeps),
        Case::new("pre_hooks_are_asked", behaviour::pre_hooks),
        Case::new("action_hooks_are_called", behaviour::action_hooks),
        Case::new("expectations_are_checked", behaviour::expectations),
        Case::new("list_returns_metadata", behaviour::list_metadata),
        Case::new("list_packs_names", behaviour::list_packs_names),
        Case::new("list_keeps_to_the_stated_sizes", behaviour::list_sizes),
        Case::new("action_is_over_when_it_returns", behaviour::action_is_over),
        Case::new("replace_minds_each_ones_own_rc", behaviour::replace_rc),
        Case::new("jump_leaves_an_endbr", behaviour::jump_leaves_endbr),
        Case::new("nop_leaves_an_endbr", behaviour::nop_leaves_endbr),
        Case::new("read_only_functions_apply", behaviour::read_only_functions),
        Case::new("bug_frame_of_a_hook_is_found", behaviour::bug_frames),
        Case::new("code_of_more_than_2_mib_is_fine", behaviour::large_text),
        Case::new("constants_of_xen_can_be_patched", behaviour::constants_of_xen),
        Case::new("constants_of_a_payload_can_be_patched", behaviour::constants_of_a_payload),
        Case::new("op_flag_force_is_accepted", behaviour::op_flag_force),
    ],
    ..Test::DEFAULT
};

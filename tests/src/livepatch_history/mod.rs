//! # livepatch-history
//!
//! What was once wrong with live patching, or once missing, and was changed: a case per change that
//! a guest can see, named after what it changed. A Xen whose release has the change must show it,
//! and one that is stated to have it; a lack is a failure here and nowhere else. On a Xen that is
//! too old the case is a tolerated deviation that carries the commit in its name. A valid payload
//! that a release does not survive is skipped there, with the commit that it lacks.
//!
//! The first release with each change, and the point releases that got it too, are in the table of
//! changes (docs/changes.md). Where it is in Xen today: xen/common/livepatch.c,
//! xen/common/livepatch_elf.c, xen/arch/x86/livepatch.c; one is in xen/arch/x86/include/asm/uaccess.h.
//!
//! Not here, because one guest cannot see it:
//! - 75dfe7c566 (an inverted trylock behind a debug key), 3bc5cf73d7 (the unit of the timeout,
//!   wrong in the header only), c30021be30 (speed), a8dc4ec942 and 8c81423038 (tidying);
//! - ca4cd36682 (EBUSY while a domain's memory events are in use): see livepatch-life;
//! - 92167e9430 (control-flow enforcement) needs a CPU that has it;
//! - aa5a06d5d6, 2ff229643b, bd53b85156, bf570f5935 are not looked for.
#![forbid(unsafe_code)]

use core::fmt;

use kernel::xen::Change;
use kernel::{Case, Context, Need, Outcome, Stop, Test};

mod behaviour;
mod format;

/// The test.
pub const TEST: Test = Test {
    name: "livepatch-history",
    title: "What was fixed in live patching stays fixed",
    needs: &[Need::Privileged, Need::Livepatch],
    cases: &[
        Case::new("symbol_of_a_known_name_is_eexist", format::known_symbol),
        Case::new("alignment_of_3_is_eopnotsupp", format::alignment_3),
        Case::new("misaligned_section_address_is_einval", format::misaligned_address),
        Case::new("empty_exception_table_is_fine", format::empty_ex_table),
        Case::new("payload_for_another_xen_is_refused", format::another_xen),
        Case::new("payload_for_another_xen_is_refused_first", format::another_xen_first),
        Case::new("payload_without_functions_is_fine", format::no_functions),
        Case::new("function_of_version_2_is_fine", format::function_version),
        Case::new("static_symbol_has_its_whole_path", format::symbol_path),
        Case::new("metadata_must_end_in_nul", format::metadata_end),
        Case::new("unknown_name_beats_a_small_size", format::unknown_name),
        Case::new("jump_needs_room_behind_an_endbr", format::endbr_size),
        Case::new("jump_needs_room_behind_a_poisoned_endbr", format::poison_size),
        Case::new("symbol_in_an_empty_section_has_an_address", format::empty_section_symbol),
        Case::new("symbol_in_an_unloaded_section_is_einval", format::unloaded_section_symbol),
        Case::new("alternative_has_a_padding", format::alternative_size),
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
        Case::new("list_writes_what_fits", behaviour::list_writes_what_fits),
        Case::new("action_is_over_when_it_returns", behaviour::action_is_over),
        Case::new("replace_minds_each_ones_own_rc", behaviour::replace_rc),
        Case::new("jump_leaves_an_endbr", behaviour::jump_leaves_endbr),
        Case::new("nop_leaves_an_endbr", behaviour::nop_leaves_endbr),
        Case::new("permissions_are_relaxed_to_patch", behaviour::permissions),
        Case::new("read_only_functions_apply", behaviour::read_only_functions),
        Case::new("bug_frame_of_a_hook_is_found", behaviour::bug_frames),
        Case::new("code_of_more_than_2_mib_is_fine", behaviour::large_text),
        Case::new("constants_of_xen_can_be_patched", behaviour::constants_of_xen),
        Case::new("constants_of_a_payload_can_be_patched", behaviour::constants_of_a_payload),
        Case::new("op_flag_force_is_accepted", behaviour::op_flag_force),
    ],
    ..Test::DEFAULT
};

/// Goes on only on a Xen with the change that the case is about, and that it can't be tried
/// without.
fn own(context: &Context, change: Change) -> Outcome {
    if context.xen.has(change) {
        return Ok(());
    }
    match context.judge_change(change, false, format_args!("not seen at the start")) {
        Err(Stop::Deviation(..)) => context.needs(change),
        outcome => outcome,
    }
}

/// Passes if `actual` is what a Xen `with` the change shows; is the tolerated deviation of one
/// without it if it is `without` and Xen is not expected to have it.
fn judge<T: PartialEq + fmt::Debug>(
    context: &Context,
    change: Change,
    actual: T,
    with: T,
    without: T,
) -> Outcome {
    let how = format_args!("expected {with:?}, got {actual:?}");
    if actual != with && actual != without {
        return Err(Stop::failure(format_args!("{how}; {without:?} would be as before {change}")));
    }
    context.judge_change(change, actual == with, how)
}

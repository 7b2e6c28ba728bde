//! # livepatch-console
//!
//! What Xen says about live patches is a claim as well: an administrator reads there what is
//! applied, why something was refused, and whose code a trace went through. As control domain the
//! guest reads Xen's console ring, and presses the debug key that lists all payloads.
//!
//! Payloads are brought into known states, and Xen's lines must be exactly those that its source
//! has: names, states, addresses, sizes, build-ids, errors. Where releases differ, the table of
//! changes says so. Only of the trace of a WARN are the lines about the machine left out.
//!
//! A case is skipped where Xen keeps its ring to itself, and where its command line lacks
//! `loglvl=all` (or `info`, or `debug`): most lines are of the level INFO.
//!
//! Where this is in Xen: `livepatch_printall`, `livepatch_display_metadata`, `apply_payload`,
//! `revert_payload`, `livepatch_do_action`, `check_for_livepatch_work`, `livepatch_action`,
//! `livepatch_symbols_lookup`, `is_patch` (xen/common/livepatch.c); `do_invalid_op`
//! (xen/arch/x86/traps.c), `do_bug_frame` (xen/common/bug.c) since 4.18; `pointer`
//! (xen/common/vsprintf.c); `read_console_ring` (xen/drivers/char/console.c).
#![forbid(unsafe_code)]

use kernel::{Case, Need, Test};

mod action;
mod debug;
mod key;
mod refusal;
mod ring;
mod said;
mod trace;

/// The test.
pub const TEST: Test = Test {
    name: "livepatch-console",
    title: "What Xen says about live patches on its console",
    needs: &[Need::Privileged, Need::Livepatch],
    cases: &[
        Case::new("ring/goes_on_where_it_was", ring::goes_on),
        Case::new("ring/loses_the_oldest_bytes_first", ring::wraps),
        Case::new("key/lists_nothing_while_empty", key::nothing),
        Case::new("key/tells_sections_functions_and_ids", key::one),
        Case::new("key/tells_whether_one_is_applied", key::states),
        Case::new("key/lists_in_the_order_of_upload", key::order),
        Case::new("key/tells_what_one_depends_on", key::depends),
        Case::new("key/tells_addresses_and_sizes_of_functions", key::functions),
        Case::new("key/lists_all_of_130_functions", key::many_functions),
        Case::new("key/lets_others_in_after_64_functions", key::lets_others_in),
        Case::new("key/lists_no_function_of_a_hook", key::no_function),
        Case::new("key/counts_the_pages_of_each_part", key::pages),
        Case::new("key/shows_metadata", key::metadata),
        Case::new("key/shows_any_name_as_it_is", key::odd_names),
        Case::new("action/apply_and_revert_are_told", action::apply_and_revert),
        Case::new("action/no_function_is_told", action::no_function),
        Case::new("action/any_name_is_told_as_it_is", action::names),
        Case::new("action/apply_shows_metadata", action::metadata),
        Case::new("action/replace_tells_who_goes", action::replaces),
        Case::new("action/nodeps_is_told_as_apply", action::nodeps),
        Case::new("action/nothing_to_do_is_not_told", action::silence),
        Case::new("hook/pre_and_post_are_told", action::hooks),
        Case::new("hook/apply_and_revert_are_told", action::action_hooks),
        Case::new("hook/the_error_of_a_pre_hook_is_told", action::pre_hooks_fail),
        Case::new("hook/the_error_of_an_action_hook_is_told", action::action_hooks_fail),
        Case::new("hook/that_reverts_again_is_told", action::reverts_again),
        Case::new("hook/a_vetoing_one_prevents_replace", action::vetoing_hooks),
        Case::new("refusal/revert_tells_who_is_on_top", action::not_on_top),
        Case::new("refusal/apply_tells_what_it_compared_with", action::dependency),
        Case::new("refusal/apply_tells_that_data_are_stale", action::not_pristine),
        Case::new("refusal/apply_shows_the_bytes_that_differ", action::expectation),
        Case::new("refusal/apply_tells_of_a_nameless_function", action::nameless_expectation),
        Case::new("refusal/replace_tells_that_it_failed", action::replace_fails),
        Case::new("refusal/upload_tells_why", action::refused_uploads),
        Case::new("refusal/upload_tells_what_is_wrong_with_a_header", refusal::headers),
        Case::new("refusal/upload_tells_what_is_wrong_with_sections", refusal::sections),
        Case::new("refusal/upload_tells_what_is_wrong_with_symbols", refusal::symbols),
        Case::new("refusal/upload_tells_what_is_wrong_with_relocations", refusal::relocations),
        Case::new("refusal/upload_tells_what_is_wrong_with_contents", refusal::contents),
        Case::new("refusal/upload_tells_what_is_wrong_with_alternatives", refusal::alternatives),
        Case::new("trace/names_payload_and_functions", trace::names_functions),
        Case::new("trace/names_the_nearest_symbol", trace::nearest_symbol),
        Case::new("trace/names_the_right_payload", trace::right_payload),
        Case::new("trace/shows_an_address_without_symbol", trace::no_symbol),
        Case::new("trace/names_the_file", trace::file),
        Case::new("trace/shortens_the_name_of_a_payload", trace::long_name),
        Case::new("trace/tells_on_whose_behalf_it_is", trace::context),
        Case::new("debug/symbols_are_told", debug::symbols),
        Case::new("debug/the_timeout_of_an_action_is_told", debug::timeout),
    ],
    ..Test::DEFAULT
};

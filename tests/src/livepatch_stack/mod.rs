//! # livepatch-stack
//!
//! Several payloads at a time: which one may go on top of which, what is seen of each, what
//! REPLACE takes away and whether it may come back, which ones exclude each other, and what is
//! left of a payload that others were linked against.
//!
//! Where this is in Xen: `build_id_dep`, `livepatch_action`, `livepatch_do_action`,
//! `has_payload_any_vetoing_hooks`, `livepatch_applied_have_vetoing_hooks`, `move_payload`,
//! `build_symbol_table`, `livepatch_symbols_lookup_by_name` (xen/common/livepatch.c).
#![forbid(unsafe_code)]

use kernel::{Case, Need, Test};

mod chain;
mod duplicate;
mod reapply;
mod replace;

/// The test.
pub const TEST: Test = Test {
    name: "livepatch-stack",
    title: "Payloads on top of payloads",
    needs: &[Need::Privileged, Need::Livepatch],
    cases: &[
        Case::new("chain/the_top_of_three_is_seen", chain::top_is_seen),
        Case::new("chain/wrong_order_is_einval", chain::wrong_order),
        Case::new("chain/the_second_on_xen_is_einval", chain::second_on_xen),
        Case::new("chain/one_for_xen_on_top_is_einval", chain::one_for_xen_on_top),
        Case::new("chain/ids_are_compared_whole", chain::ids_are_compared_whole),
        Case::new("chain/nodeps_ignores_the_order", chain::nodeps),
        Case::new("chain/revert_not_from_the_top_is_ebusy", chain::revert_not_from_the_top),
        Case::new("chain/two_at_once_are_independent", chain::independent_functions),
        Case::new("chain/unload_of_the_middle_is_einval", chain::unload_applied_middle),
        Case::new("chain/unload_of_a_loaded_middle", chain::unload_loaded_middle),
        Case::new("chain/order_of_upload_does_not_matter", chain::order_of_upload),
        Case::new("replace/one", replace::one),
        Case::new("replace/nothing", replace::nothing),
        Case::new("replace/a_stack_of_three", replace::stack_of_three),
        Case::new("replace/reverts_newest_first", replace::newest_first),
        Case::new("replace/with_itself_does_nothing", replace::itself),
        Case::new("replace/twice", replace::twice),
        Case::new("replace/by_a_stacked_one_is_einval", replace::by_a_stacked_one),
        Case::new("replace/nodeps_does_not_help", replace::nodeps_does_not_help),
        Case::new("replace/own_pre_or_post_hook_is_eopnotsupp", replace::own_hook),
        Case::new("replace/an_applied_ones_hook_is_eopnotsupp", replace::applied_ones_hook),
        Case::new("replace/null_hooks_do_not_matter", replace::null_hooks),
        Case::new("replace/hooks_of_others_do_not_matter", replace::hooks_of_others),
        Case::new("replace/wrong_depends_beats_hooks", replace::depends_beats_hooks),
        Case::new("replace/action_hooks_run", replace::action_hooks),
        Case::new("replace/own_apply_hook_may_fail", replace::apply_hook_fails),
        Case::new("replace/a_failed_revert_stops_it", replace::failed_revert),
        Case::new("replace/failed_expectation_leaves_nothing", replace::failed_expectation),
        Case::new("replace/malformed_expectation_leaves_nothing", replace::malformed_expectation),
        Case::new("replace/expectations_see_the_original", replace::expectations_see_the_original),
        Case::new("reapply/functions_alone_may", reapply::functions_alone),
        Case::new("reapply/data_forbids", reapply::data),
        Case::new("reapply/bss_forbids", reapply::bss),
        Case::new("reapply/data_alone_forbids", reapply::data_alone),
        Case::new("reapply/nothing_writable_may", reapply::nothing_writable),
        Case::new("reapply/a_replaced_one_may", reapply::replaced_one),
        Case::new("reapply/a_replaced_one_with_data_may_not", reapply::replaced_one_with_data),
        Case::new("reapply/replace_does_not_ask", reapply::replace_does_not_ask),
        Case::new("reapply/the_refusal_beats_the_order", reapply::refusal_beats_order),
        Case::new("duplicate/name_is_eexist", duplicate::name),
        Case::new("duplicate/build_id_is_eexist", duplicate::build_id),
        Case::new("duplicate/build_ids_are_compared_whole", duplicate::build_ids_whole),
        Case::new("duplicate/symbol_of_a_payload_is_eexist", duplicate::symbol_of_a_payload),
        Case::new("duplicate/symbol_of_xen_is_eexist", duplicate::symbol_of_xen),
        Case::new("duplicate/replacements_may_share_a_symbol", duplicate::replacements),
        Case::new("duplicate/made_up_symbols_may_repeat", duplicate::made_up_symbols),
        Case::new("duplicate/a_refused_one_leaves_nothing", duplicate::refused_leaves_nothing),
        Case::new("symbol/of_a_loaded_payload_is_found", duplicate::found_when_loaded),
        Case::new("symbol/of_an_unloaded_payload_is_enoent", duplicate::gone_when_unloaded),
        Case::new("symbol/of_a_replacement_is_enoent", duplicate::of_a_replacement),
        Case::new("symbol/may_be_left_dangling", duplicate::dangling),
    ],
    ..Test::DEFAULT
};

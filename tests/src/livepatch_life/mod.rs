//! # livepatch-life
//!
//! The life of a payload from UPLOAD to ENOENT, with its effect seen from outside: functions are
//! replaced in every way that the payload format knows, by code that uses Xen, its own data and
//! other payloads; hooks run when and in the order in which they should; expectations are met or
//! refuse; metadata comes back. After each REVERT the original is seen again.
//!
//! What is patched is what a hypercall shows: the functions behind XENVER_version and
//! XENVER_extraversion (xen/common/version.c), a static of the scheduler behind SCHEDOP_poll, and
//! functions of other payloads, whose bytes are known exactly on every build of Xen.
//!
//! Where this is in Xen: `prepare_payload`, `livepatch_action`, `livepatch_do_action`,
//! `apply_payload`, `revert_payload`, `livepatch_verify_expectation_fn`
//! (xen/common/livepatch.c); `arch_livepatch_apply`, `arch_livepatch_revert`
//! (xen/arch/x86/livepatch.c); `livepatch_insn_len` (xen/include/xen/livepatch.h).
#![forbid(unsafe_code)]

use kernel::{Case, Need, Test};

mod cpu;
mod data;
mod domain;
mod expectation;
mod function;
mod hook;
mod nop;

/// The test.
pub const TEST: Test = Test {
    name: "livepatch-life",
    title: "Payloads take effect, and cease to",
    needs: &[Need::Privileged, Need::Livepatch],
    cases: &[
        Case::new("function/by_name", function::by_name),
        Case::new("function/by_address", function::by_address),
        Case::new("function/by_undefined_symbol", function::by_undefined_symbol),
        Case::new("function/static_by_file_and_name", function::static_by_file_and_name),
        Case::new("function/of_another_payload", function::of_another_payload),
        Case::new("function/three_in_one_payload", function::three_in_one_payload),
        Case::new("function/forty_in_one_payload", function::forty_in_one_payload),
        Case::new("function/by_a_function_of_xen", function::by_a_function_of_xen),
        Case::new("function/by_an_address_in_xen", function::by_an_address_in_xen),
        Case::new("function/by_a_function_of_another_payload", function::by_another_payloads),
        Case::new("function/applied_reverted_and_applied_again", function::applied_again),
        Case::new("function/behind_an_endbr", function::behind_an_endbr),
        Case::new("function/behind_a_poisoned_endbr", function::behind_a_poisoned_endbr),
        Case::new("function/two_behind_and_without_endbr", function::mixed_endbr),
        Case::new("code/calls_a_function_of_xen", data::calls_a_function_of_xen),
        Case::new("code/jumps_to_a_function_of_xen", data::jumps_to_a_function_of_xen),
        Case::new("code/reads_a_static_of_xen", data::reads_a_static_of_xen),
        Case::new("code/reads_another_payloads_data", data::reads_another_payloads_data),
        Case::new("code/calls_another_payloads_function", data::calls_another_payloads_function),
        Case::new("code/follows_a_pointer", data::follows_a_pointer),
        Case::new("data/rodata_is_readable", data::rodata_is_readable),
        Case::new("data/data_has_its_value", data::data_has_its_value),
        Case::new("data/data_is_writable", data::data_is_writable),
        Case::new("data/bss_is_zero_and_writable", data::bss_is_zero_and_writable),
        Case::new("data/bss_is_zero_after_a_reload", data::bss_is_zero_after_a_reload),
        Case::new("data/rodata_is_write_protected", data::rodata_is_write_protected),
        Case::new("data/text_is_write_protected", data::text_is_write_protected),
        Case::new("data/text_is_executable_and_not_writable", data::text_is_executable),
        Case::new("data/data_is_not_executable", data::data_is_not_executable),
        Case::new(
            "data/rodata_is_neither_writable_nor_executable",
            data::rodata_is_neither_writable_nor_executable,
        ),
        Case::new("data/nothing_need_be_constant", data::nothing_need_be_constant),
        Case::new("data/a_region_spans_pages", data::a_region_spans_pages),
        Case::new("data/alignment_is_kept", data::alignment_is_kept),
        Case::new("metadata/comes_back_in_list", data::metadata_comes_back),
        Case::new("metadata/none_is_empty", data::metadata_none_is_empty),
        Case::new("metadata/goes_with_its_payload", data::metadata_goes_with_its_payload),
        Case::new("nop/a_function_of_xen", nop::a_function_of_xen),
        Case::new("nop/every_length", nop::every_length),
        Case::new("nop/behind_an_endbr", nop::behind_an_endbr),
        Case::new("nop/shorter_than_the_function", nop::shorter_than_the_function),
        Case::new("nop/size_0_changes_nothing", nop::size_0_changes_nothing),
        Case::new("nop/longer_than_the_function_is_einval", nop::longer_than_the_function),
        Case::new("nop/size_32_is_eopnotsupp", nop::size_32),
        Case::new("expectation/right_bytes_apply", expectation::right_bytes),
        Case::new("expectation/bytes_of_xen", expectation::bytes_of_xen),
        Case::new("expectation/a_wrong_first_byte_is_einval", expectation::wrong_first_byte),
        Case::new("expectation/a_wrong_last_byte_is_einval", expectation::wrong_last_byte),
        Case::new("expectation/bytes_past_the_length_are_ignored", expectation::past_the_length),
        Case::new("expectation/length_0_always_applies", expectation::length_0),
        Case::new("expectation/length_above_old_size_is_erange", expectation::above_old_size),
        Case::new("expectation/length_of_old_size_applies", expectation::length_of_old_size),
        Case::new("expectation/reserved_bits_are_einval", expectation::reserved_bits),
        Case::new("expectation/disabled_ones_are_ignored", expectation::disabled),
        Case::new("expectation/every_function_is_checked", expectation::every_function),
        Case::new("expectation/sees_what_is_patched_now", expectation::sees_patches),
        Case::new("hook/load_runs_while_applying", hook::load_hook),
        Case::new("hook/unload_runs_while_reverting", hook::unload_hook),
        Case::new("hook/pre_apply_runs_before_applying", hook::pre_apply),
        Case::new("hook/apply_runs_while_applying", hook::apply),
        Case::new("hook/post_apply_runs_after_applying", hook::post_apply),
        Case::new("hook/pre_revert_runs_before_reverting", hook::pre_revert),
        Case::new("hook/revert_runs_while_reverting", hook::revert_hook),
        Case::new("hook/post_revert_runs_after_reverting", hook::post_revert),
        Case::new("hook/order_with_functions", hook::order_with_functions),
        Case::new("hook/order_with_apply_and_revert_hooks", hook::order_with_action_hooks),
        Case::new("hook/patching_lies_between_them", hook::patching_lies_between),
        Case::new("hook/none_is_a_payload_too", hook::null_hooks),
        Case::new("hook/apply_may_call_xens_own", hook::apply_may_call_xens_own),
        Case::new("hook/revert_may_call_xens_own", hook::revert_may_call_xens_own),
        Case::new("hook/a_pre_apply_error_refuses", hook::pre_apply_error),
        Case::new("hook/a_pre_revert_error_refuses", hook::pre_revert_error),
        Case::new("hook/an_apply_error_is_the_rc", hook::apply_error),
        Case::new("hook/a_revert_error_is_the_rc", hook::revert_error),
        Case::new("hook/post_results_are_ignored", hook::post_results),
        Case::new("hook/post_apply_runs_after_a_failed_apply", hook::post_apply_after_failure),
        Case::new("hook/post_revert_runs_after_a_failed_revert", hook::post_revert_after_failure),
        Case::new("hook/gets_its_payload", hook::gets_its_payload),
        Case::new("domain/an_idle_one_does_not_matter", domain::idle),
        Case::new("cpu/one_may_come_afterwards", cpu::one_may_come),
        Case::new("domain/one_that_waits_for_its_monitor_keeps_patching_out", domain::waits),
    ],
    ..Test::DEFAULT
};

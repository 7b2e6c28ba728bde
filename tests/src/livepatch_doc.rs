//! # livepatch-doc
//!
//! What Xen's own documentation (docs/misc/livepatch.pandoc, xen/include/public/sysctl.h) claims
//! about live patching, where Xen does something else. Each case is named after the claim and
//! carries the number of its entry in our list of such claims; where Xen differs it is a tolerated
//! deviation on the releases that are known to. A Xen that begins to do what is written passes,
//! and one that does neither fails.
//!
//! Claims of that list without a case:
//! - doc-6, doc-15: an action that times out, or meets another one, needs a second CPU;
//! - doc-11, doc-13: advice to the caller, who may do as he likes;
//! - doc-20, doc-21, doc-34: names of fields and constants, and the title of the document;
//! - doc-23: how much the second version added to a structure whose whole size is right;
//! - doc-26: a length of 32 in a field of 5 bits, which nobody can express;
//! - doc-31: where in Xen's code the patching happens, which from outside is all the same;
//! - doc-32: signatures on a machine that demands them, which no Xen can be told to do.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use kernel::buffer::xen_range_output;
use kernel::xen::{Change, Xen};
use kernel::{Answer, Case, Context, Deviation, Errno, Need, Outcome, Stop, Test, expect};
use livepatch::abi::{
    ACTION_FLAG_NODEPS, Action, ActionCmd, Call, List, ListBuffers, ListReply, LivepatchStatus,
    Name, OP_FLAG_FORCE, State,
};
use livepatch::payload::{Function, Hook, Payload, Replacement, code};

use crate::support::{action_with, apply, load, load_marker, marker, payload, revert, try_upload};

/// The test.
pub const TEST: Test = Test {
    name: "livepatch-doc",
    title: "What Xen's documentation claims about live patching",
    needs: &[Need::Privileged, Need::Livepatch],
    cases: &[
        Case::new("revert_of_a_checked_one_is_einval_in_rc", revert_of_checked),
        Case::new("apply_of_an_applied_one_is_invalid", |c| again(c, ActionCmd::Apply)),
        Case::new("replace_by_an_applied_one_is_invalid", |c| again(c, ActionCmd::Replace)),
        Case::new("action_returns_0_if_its_fields_are_right", action_returns_0),
        Case::new("rc_is_the_error_of_the_last_action", rc_of_the_last_action),
        Case::new("rc_is_0_after_an_action_that_succeeds", rc_of_the_last_revert),
        Case::new("an_error_in_rc_means_that_nothing_changed", error_means_no_change),
        Case::new("flags_of_a_call_are_zero", flags_are_zero),
        Case::new("flag_force_admits_no_others", force_admits_no_others),
        Case::new("flag_force_skips_checks", force_skips_checks),
        Case::new("total_sizes_are_outputs", total_sizes_are_outputs),
        Case::new("list_past_the_end_returns_0", list_past_the_end),
        Case::new("list_writes_at_the_index", list_writes_at_the_index),
        Case::new("total_sizes_are_those_of_all", total_sizes_of_all),
        Case::new("list_into_forbidden_memory_is_efault", list_forbidden),
        Case::new("nodeps_still_checks_the_hypervisor", nodeps_checks_xen),
        Case::new("replace_takes_what_apply_takes", replace_takes_stacked),
        Case::new("replace_takes_hooks", replace_takes_hooks),
        Case::new("unload_of_a_checked_one_always_works", unload_works),
        Case::new("upload_may_have_to_be_waited_for", upload_is_over),
        Case::new("opaque_bytes_must_be_zero", opaque_is_zero),
        Case::new("load_hooks_alone_are_nothing_to_do", load_hooks_alone),
        Case::new("new_code_is_in_the_payload", new_code_in_payload),
        Case::new("old_size_of_5_is_enough_for_a_jump", old_size_5),
        Case::new("nop_of_0_bytes_is_not_implemented", nop_of_0),
        Case::new("replace_minds_stale_data", replace_minds_data),
        Case::new("nothing_writable_is_no_exception_for_reapply", nothing_writable),
        Case::new("metadata_is_keys_and_values", metadata_keys),
        Case::new("symbols_of_xen_cannot_be_looked_up", symbols_looked_up),
    ],
    ..Test::DEFAULT
};

const OK: Answer = Answer::SUCCESS;

const fn every(_: &Xen) -> bool {
    true
}

fn rc(status: LivepatchStatus) -> Answer {
    Answer(status.rc.into())
}

/// Reverting what is not applied is claimed to leave EINVAL; it leaves everything as it was.
fn revert_of_checked(context: &Context) -> Outcome {
    let loaded = load_marker(context, "-a")?;
    let answer = loaded.action(ActionCmd::Revert);
    let deviation = Deviation { id: "doc-1", on: every };
    let left = (answer, rc(loaded.status()?));
    deviation.judge(context, left, (OK, Errno::EINVAL.into()), (OK, OK))
}

/// What is not in the table of transitions is claimed to be invalid; these succeed and do nothing.
fn again(context: &Context, cmd: ActionCmd) -> Outcome {
    let loaded = load_marker(context, "-a")?;
    apply(&loaded)?;
    let answer = loaded.action(cmd);
    loaded.must_be(State::Applied, OK)?;
    Deviation { id: "doc-2", on: every }.judge(context, answer, Errno::EINVAL.into(), OK)
}

/// A payload that does not go on top of what is there.
fn misfit(context: &Context) -> Result<Payload, Stop> {
    Ok(marker(context, "-misfit")?.depends("nobody"))
}

/// All fields of the call are right, yet the payload's dependency is the caller's fault as well.
fn action_returns_0(context: &Context) -> Outcome {
    let loaded = load(context, "misfit", &misfit(context)?)?;
    let answer = loaded.action(ActionCmd::Apply);
    Deviation { id: "doc-3", on: every }.judge(context, answer, OK, Errno::EINVAL.into())
}

/// rc is claimed to tell what became of the last action; one that is refused at once leaves none.
fn rc_of_the_last_action(context: &Context) -> Outcome {
    let loaded = load(context, "misfit", &misfit(context)?)?;
    loaded.action(ActionCmd::Apply).must_be(Errno::EINVAL)?;
    let deviation = Deviation { id: "doc-4", on: every };
    deviation.judge(context, rc(loaded.status()?), Errno::EINVAL.into(), OK)
}

/// After a refusal in rc comes a REVERT that succeeds: its rc should be 0.
fn rc_of_the_last_revert(context: &Context) -> Outcome {
    let stale = load(context, "stale", &marker(context, "-s")?.data("variable", [0; 4]))?;
    apply(&stale)?;
    revert(&stale)?;
    stale.action(ActionCmd::Apply).must_be(OK)?;
    stale.must_be(State::Checked, Errno::EINVAL)?;
    stale.action(ActionCmd::Revert).must_be(OK)?;
    let deviation = Deviation { id: "doc-4", on: every };
    deviation.judge(context, rc(stale.status()?), OK, Errno::EINVAL.into())
}

/// True of the payload itself, but a failed REPLACE has reverted all the others.
fn error_means_no_change(context: &Context) -> Outcome {
    context.needs(Change::Expectations)?;
    let a = load_marker(context, "-a")?;
    let function = Function::named("xen_extra_version", code::return_str("-x"));
    let wrong = payload(context, "x")?.function(function.expecting(&[0xff; 4]));
    let x = load(context, "x", &wrong)?;
    apply(&a)?;
    x.action(ActionCmd::Replace).must_be(OK)?;
    x.must_be(State::Checked, Errno::EINVAL)?;
    let state = State::from(a.status()?.state);
    Deviation { id: "doc-5", on: every }.judge(context, state, State::Applied, State::Checked)
}

/// GET of a payload that is there, with flags for the call.
fn get_with_flags(context: &Context, flags: u32) -> Result<Answer, Stop> {
    let livepatch = context.livepatch();
    let loaded = load_marker(context, "-a")?;
    let call = Call { flags, ..Call::get(livepatch.version, Name::new(loaded.name())) };
    Ok(livepatch.call(&call))
}

fn has_op_flags(xen: &Xen) -> bool {
    xen.has(Change::OpFlags)
}

/// The document knows the field as padding that must be zero; one bit means something by now.
fn flags_are_zero(context: &Context) -> Outcome {
    for flags in [2, 1 << 31] {
        get_with_flags(context, flags)?.must_be(Errno::EINVAL)?;
    }
    let answer = get_with_flags(context, OP_FLAG_FORCE)?;
    Deviation { id: "doc-7", on: has_op_flags }.judge(context, answer, Errno::EINVAL.into(), OK)
}

/// That bit lets all the others in as well.
fn force_admits_no_others(context: &Context) -> Outcome {
    let answer = get_with_flags(context, u32::MAX)?;
    Deviation { id: "doc-7", on: has_op_flags }.judge(context, answer, Errno::EINVAL.into(), OK)
}

/// The header claims that it skips some checks. It skips none.
fn force_skips_checks(context: &Context) -> Outcome {
    context.needs(Change::OpFlags)?;
    let livepatch = context.livepatch();
    let loaded = load(context, "misfit", &misfit(context)?)?;
    let action = Action::new(Name::new(loaded.name()), ActionCmd::Apply);
    let call = Call { flags: OP_FLAG_FORCE, ..Call::action(livepatch.version, action) };
    let answer = livepatch.call(&call);
    Deviation { id: "doc-7", on: every }.judge(context, answer, OK, Errno::EINVAL.into())
}

/// LIST into buffers that are large enough, stating `stated` bytes for names and metadata.
fn list(context: &Context, idx: u32, nr: u32, stated: u32) -> (Answer, ListReply, ListBuffers) {
    let livepatch = context.livepatch();
    let mut lists = ListBuffers::new(2, 64, 0);
    let call = List { name_total_size: stated, metadata_total_size: stated, ..lists.list(idx, nr) };
    let reply = livepatch.perform(&Call::list(livepatch.version, call));
    let (answer, after) = (reply.answer, reply.after.list(livepatch.revision));
    (answer, after, lists)
}

/// What the caller states is claimed not to matter; it does since Xen keeps to it.
fn total_sizes_are_outputs(context: &Context) -> Outcome {
    context.needs(Change::ListMetadata)?;
    let _a = load_marker(context, "-a")?;
    let (answer, ..) = list(context, 0, 1, 0);
    let deviation = Deviation { id: "doc-8", on: |xen| xen.has(Change::BoundedList) };
    deviation.judge(context, answer, Answer(1), Errno::ENOBUFS.into())
}

/// A result of 0 is claimed to be the end of the list; it is an error to ask past it.
fn list_past_the_end(context: &Context) -> Outcome {
    let _a = load_marker(context, "-a")?;
    let (answer, ..) = list(context, 1, 1, 64);
    Deviation { id: "doc-9", on: every }.judge(context, answer, OK, Errno::EINVAL.into())
}

/// Arrays are claimed to be filled at the index asked for; they are filled from their beginning.
fn list_writes_at_the_index(context: &Context) -> Outcome {
    let _a = load_marker(context, "-a")?;
    let _b = load_marker(context, "-bb")?;
    let (answer, _, lists) = list(context, 1, 1, 64);
    answer.must_be(1)?;
    let deviation = Deviation { id: "doc-10", on: every };
    deviation.judge(context, lists.lengths, Vec::from([0, 4]), Vec::from([4, 0]))
}

/// The totals are claimed to be those of all payloads; they are only when none is asked for.
fn total_sizes_of_all(context: &Context) -> Outcome {
    context.needs(Change::ListMetadata)?;
    let _a = load_marker(context, "-a")?;
    let _b = load_marker(context, "-bb")?;
    let all = 3 + 4;
    let (answer, reply, _) = list(context, 0, 0, 64);
    answer.must_be(0)?;
    expect("total when none is asked for", reply.name_total_size, all)?;
    let (answer, reply, _) = list(context, 0, 1, 64);
    answer.must_be(1)?;
    Deviation { id: "doc-12", on: every }.judge(context, reply.name_total_size, all, 3)
}

/// Only E2BIG is named there. Memory that is not the caller's is EFAULT everywhere else; for a PV
/// guest Xen's own range is something of its own.
fn list_forbidden(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    let _a = load_marker(context, "-a")?;
    let mut buffers = ListBuffers::new(1, 64, 0);
    let call = List { status: xen_range_output(), ..buffers.list(0, 1) };
    let answer = livepatch.call(&Call::list(livepatch.version, call));
    if context.environment.is_hvm() {
        return answer.must_be(Errno::EFAULT);
    }
    let deviation = Deviation { id: "doc-14", on: every };
    deviation.judge(context, answer, Errno::EFAULT.into(), Errno::EINVAL.into())
}

/// NODEPS is claimed to compare the hypervisor's build-id; nothing at all is compared then, as
/// what the payload says about the hypervisor was compared at UPLOAD.
fn nodeps_checks_xen(context: &Context) -> Outcome {
    context.needs(Change::ActionFlags)?;
    let other = marker(context, "-a")?.xen_depends("another Xen");
    try_upload(context, "a", &other.to_bytes()).must_be(Errno::EINVAL)?;
    let loaded = load(context, "misfit", &misfit(context)?)?;
    let answer = action_with(context, &loaded, ActionCmd::Apply, 0, ACTION_FLAG_NODEPS);
    Deviation { id: "doc-16", on: every }.judge(context, answer, Errno::EINVAL.into(), OK)
}

/// REPLACE is claimed to revert all and apply one; that one must be made for Xen itself, though.
fn replace_takes_stacked(context: &Context) -> Outcome {
    let a = load_marker(context, "-a")?;
    let b = load(context, "-b", &marker(context, "-b")?.depends("-a"))?;
    apply(&a)?;
    let answer = b.action(ActionCmd::Replace);
    Deviation { id: "doc-17", on: every }.judge(context, answer, OK, Errno::EINVAL.into())
}

/// And it must have no hook that could object half way.
fn replace_takes_hooks(context: &Context) -> Outcome {
    context.needs(Change::PrePostHooks)?;
    let hooked = marker(context, "-a")?.hook(Hook::PreApply, code::return_u32(0));
    let loaded = load(context, "-a", &hooked)?;
    let answer = loaded.action(ActionCmd::Replace);
    Deviation { id: "doc-17", on: every }.judge(context, answer, OK, Errno::EOPNOTSUPP.into())
}

/// It does, unless an operation on the same payload is under way on another CPU (doc-18).
fn unload_works(context: &Context) -> Outcome {
    let stale = load(context, "stale", &marker(context, "-s")?.data("variable", [0; 4]))?;
    apply(&stale)?;
    revert(&stale)?;
    stale.action(ActionCmd::Apply).must_be(OK)?;
    stale.must_be(State::Checked, Errno::EINVAL)?;
    stale.action(ActionCmd::Unload).must_be(OK)
}

/// A loop over EAGAIN is recommended after UPLOAD (doc-19); it ends before it begins.
fn upload_is_over(context: &Context) -> Outcome {
    load_marker(context, "-a")?.must_be(State::Checked, OK)
}

/// Bytes of a function that are Xen's own are claimed to have to be zero; nobody looks.
fn opaque_is_zero(context: &Context) -> Outcome {
    let mut elf = marker(context, "-a")?.elf();
    elf.funcs_mut()[0].pad[7] = 1;
    let answer = try_upload(context, "a", &elf.to_bytes());
    Deviation { id: "doc-22", on: every }.judge(context, answer, Errno::EINVAL.into(), OK)
}

/// Functions or any of six kinds of hook are claimed to be needed; the other two do as well.
fn load_hooks_alone(context: &Context) -> Outcome {
    let answer = |hook| {
        let patch = payload(context, "a")?.hook(hook, code::ret());
        Ok(try_upload(context, "a", &patch.to_bytes()))
    };
    let answers = [answer(Hook::Load)?, answer(Hook::Unload)?];
    let deviation = Deviation { id: "doc-24", on: |xen| xen.has(Change::HooksAlone) };
    deviation.judge(context, answers, [Errno::EINVAL.into(); 2], [OK; 2])
}

/// The new function is claimed to have to be in the payload; anything within reach is taken.
fn new_code_in_payload(context: &Context) -> Outcome {
    let deny = Replacement::Symbol("xen_deny".into());
    let patch = payload(context, "a")?.function(Function::named("xen_extra_version", deny));
    let answer = try_upload(context, "a", &patch.to_bytes());
    Deviation { id: "doc-25", on: every }.judge(context, answer, Errno::EINVAL.into(), OK)
}

/// 5 bytes are claimed to be room enough for a jump; behind an ENDBR64 it takes 9.
fn old_size_5(context: &Context) -> Outcome {
    let library = marker(context, "-a")?
        .text("xtf_plain", code::nops(16))
        .export("xtf_plain")
        .text("xtf_endbr", code::endbr64().then(code::nops(12)))
        .export("xtf_endbr");
    let _library = load(context, "library", &library)?;
    let of = |name: &str| {
        let function = Function::named(name, code::ret()).old_size(5);
        payload(context, "b").map(|p| p.function(function).to_bytes())
    };
    try_upload(context, "b", &of("xtf_plain")?).must_be(OK)?;
    let answer = try_upload(context, "b", &of("xtf_endbr")?);
    let deviation = Deviation { id: "doc-27", on: |xen| xen.has(Change::EndbrJump) };
    deviation.judge(context, answer, OK, Errno::EINVAL.into())
}

/// A NOP of no size is on the list of what is to be done; it is taken, and does nothing.
fn nop_of_0(context: &Context) -> Outcome {
    let library = marker(context, "-a")?.text("xtf_plain", code::nops(16)).export("xtf_plain");
    let _library = load(context, "library", &library)?;
    let patch = payload(context, "b")?.function(Function::named("xtf_plain", Replacement::Nop(0)));
    let accepted = try_upload(context, "b", &patch.to_bytes()) == OK;
    Deviation { id: "doc-28", on: every }.judge(context, accepted, false, true)
}

/// What has variables is claimed never to be applied twice; REPLACE does it.
fn replace_minds_data(context: &Context) -> Outcome {
    let stale = load(context, "stale", &marker(context, "-s")?.data("variable", [0; 4]))?;
    apply(&stale)?;
    revert(&stale)?;
    stale.action(ActionCmd::Replace).must_be(OK)?;
    let state = State::from(stale.status()?.state);
    Deviation { id: "doc-29", on: every }.judge(context, state, State::Checked, State::Applied)
}

/// The one exception that is claimed is a payload with functions and empty variables; one that
/// has nothing writable at all is another.
fn nothing_writable(context: &Context) -> Outcome {
    context.needs(Change::HooksAlone)?;
    let hook = payload(context, "hook")?.hook(Hook::Load, code::ret());
    let loaded = load(context, "hook", &hook)?;
    apply(&loaded)?;
    revert(&loaded)?;
    loaded.action(ActionCmd::Apply).must_be(OK)?;
    let state = State::from(loaded.status()?.state);
    Deviation { id: "doc-29", on: every }.judge(context, state, State::Checked, State::Applied)
}

/// Metadata is claimed to be made of keys and values; any bytes with a NUL behind them are.
fn metadata_keys(context: &Context) -> Outcome {
    context.needs(Change::ListMetadata)?;
    let patch = marker(context, "-a")?.metadata("neither key nor value");
    let accepted = try_upload(context, "a", &patch.to_bytes()) == OK;
    Deviation { id: "doc-30", on: every }.judge(context, accepted, false, true)
}

/// Looking up Xen's symbols is on the list of what is to be done; it has always been there.
fn symbols_looked_up(context: &Context) -> Outcome {
    let library = |name: &str| {
        let function = Function::symbol(name, code::return_str("-a"));
        payload(context, "a").map(|p| p.function(function).to_bytes())
    };
    try_upload(context, "a", &library("xtf_no_such_function")?).must_be(Errno::ENOENT)?;
    let accepted = try_upload(context, "a", &library("xen_extra_version")?) == OK;
    Deviation { id: "doc-33", on: every }.judge(context, accepted, false, true)
}

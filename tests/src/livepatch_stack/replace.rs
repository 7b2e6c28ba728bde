//! REPLACE: everything off, one on.

use kernel::livepatch::Loaded;
use kernel::xen::Change;
use kernel::{Answer, Context, Errno, Outcome, Stop, expect};
use livepatch::abi::{ACTION_FLAG_NODEPS, ActionCmd, State};
use livepatch::payload::{Chunk, Expectation, Function, Hook, HookBody, Payload, code};

use super::chain::{load_above, three};
use crate::support::{
    LOG, Log, action_with, apply, extra_version, load, load_marker, marker, needs_if_protected,
    payload, reads, replace, revert, version_is,
};

/// The hooks that Xen cannot take back half way, and so does not combine with REPLACE.
const VETOING: [Hook; 4] = [Hook::PreApply, Hook::PostApply, Hook::PreRevert, Hook::PostRevert];

fn agree() -> Chunk {
    code::return_u32(0)
}

/// Refused with this errno, and nothing has changed.
fn not_replaced(loaded: &Loaded<'_>, errno: Errno) -> Outcome {
    let extra = extra_version()?;
    let before = loaded.status()?;
    loaded.action(ActionCmd::Replace).must_be(errno)?;
    expect("status after the refusal", loaded.status()?, before)?;
    reads(&extra)
}

pub fn one(context: &Context) -> Outcome {
    let original = extra_version()?;
    let a = load_marker(context, "-a")?;
    let x = load_marker(context, "-x")?;
    apply(&a)?;
    replace(&x)?;
    reads("-x")?;
    a.must_be(State::Checked, Answer::SUCCESS)?;
    revert(&x)?;
    reads(&original)
}

/// Then it is an APPLY.
pub fn nothing(context: &Context) -> Outcome {
    let original = extra_version()?;
    let x = load_marker(context, "-x")?;
    replace(&x)?;
    reads("-x")?;
    revert(&x)?;
    reads(&original)
}

pub fn stack_of_three(context: &Context) -> Outcome {
    let original = extra_version()?;
    let stack = three(context)?;
    let x = load_marker(context, "-x")?;
    stack.iter().try_for_each(apply)?;
    replace(&x)?;
    reads("-x")?;
    for replaced in &stack {
        replaced.must_be(State::Checked, Answer::SUCCESS)?;
    }
    // Nothing is below it.
    revert(&x)?;
    reads(&original)
}

fn mark(digit: u8) -> Chunk {
    code::append_digit(LOG, digit).then(agree())
}

/// A payload that shows the log, which has been reverted itself by then.
fn showing_log(context: &Context, id: &str) -> Result<Payload, Stop> {
    Ok(payload(context, id)?
        .function(Function::named("xen_major_version", code::return_u32(0)))
        .function(Function::named("xen_minor_version", code::return_u32_at(LOG))))
}

/// The unload hooks of those that go leave their digits, then the load hook of the one that comes.
pub fn newest_first(context: &Context) -> Outcome {
    let log = Log::open(context)?;
    let hooked = |digit: u8, id: &str, below: &str| {
        let function = Function::named("xen_extra_version", code::return_str(id));
        let payload =
            payload(context, id)?.depends(below).function(function).hook(Hook::Unload, mark(digit));
        load(context, id, &payload)
    };
    let a = hooked(1, "-a", "log")?;
    let b = hooked(2, "-b", "-a")?;
    let x = showing_log(context, "x")?.hook(Hook::Load, mark(3));
    let x = load(context, "x", &x)?;
    apply(&a)?;
    apply(&b)?;
    log.holds("log before", 0)?;
    replace(&x)?;
    version_is("log after REPLACE", 0x213)?;
    a.must_be(State::Checked, Answer::SUCCESS)?;
    b.must_be(State::Checked, Answer::SUCCESS)
}

pub fn itself(context: &Context) -> Outcome {
    let a = load_marker(context, "-a")?;
    let b = load_above(context, "-b", "-a")?;
    apply(&a)?;
    apply(&b)?;
    a.action(ActionCmd::Replace).must_be(Answer::SUCCESS)?;
    a.must_be(State::Applied, Answer::SUCCESS)?;
    b.must_be(State::Applied, Answer::SUCCESS)?;
    reads("-b")
}

/// Each replaces the other, as payloads without variables may.
pub fn twice(context: &Context) -> Outcome {
    let original = extra_version()?;
    let x = load_marker(context, "-x")?;
    let y = load_marker(context, "-y")?;
    for _ in 0..2 {
        replace(&x)?;
        reads("-x")?;
        y.must_be(State::Checked, Answer::SUCCESS)?;
        replace(&y)?;
        reads("-y")?;
        x.must_be(State::Checked, Answer::SUCCESS)?;
    }
    revert(&y)?;
    reads(&original)
}

/// It is Xen that must be named, whatever is on top.
pub fn by_a_stacked_one(context: &Context) -> Outcome {
    let a = load_marker(context, "-a")?;
    let b = load_above(context, "-b", "-a")?;
    not_replaced(&b, Errno::EINVAL)?;
    apply(&a)?;
    not_replaced(&b, Errno::EINVAL)?;
    a.must_be(State::Applied, Answer::SUCCESS)?;
    apply(&b)?;
    reads("-b")?;
    revert(&b)
}

pub fn nodeps_does_not_help(context: &Context) -> Outcome {
    context.needs(Change::ActionFlags)?;
    let a = load_marker(context, "-a")?;
    let b = load_above(context, "-b", "-a")?;
    apply(&a)?;
    action_with(context, &b, ActionCmd::Replace, 0, ACTION_FLAG_NODEPS).must_be(Errno::EINVAL)?;
    b.must_be(State::Checked, Answer::SUCCESS)?;
    reads("-a")
}

pub fn own_hook(context: &Context) -> Outcome {
    context.needs(Change::PrePostHooks)?;
    let a = load_marker(context, "-a")?;
    apply(&a)?;
    for hook in VETOING {
        let x = load(context, "-x", &marker(context, "-x")?.hook(hook, agree()))?;
        not_replaced(&x, Errno::EOPNOTSUPP).map_err(|stop| stop.at(hook.section()))?;
    }
    // Also when there is nothing to replace.
    revert(&a)?;
    for hook in VETOING {
        let x = load(context, "-x", &marker(context, "-x")?.hook(hook, agree()))?;
        not_replaced(&x, Errno::EOPNOTSUPP).map_err(|stop| stop.at(hook.section()))?;
        // The hook does not forbid APPLY.
        apply(&x)?;
        revert(&x)?;
    }
    Ok(())
}

/// Wherever in the stack that one is.
pub fn applied_ones_hook(context: &Context) -> Outcome {
    context.needs(Change::PrePostHooks)?;
    let x = load_marker(context, "-x")?;
    for hook in VETOING {
        let a = load(context, "-a", &marker(context, "-a")?.hook(hook, agree()))?;
        let b = load_above(context, "-b", "-a")?;
        apply(&a)?;
        not_replaced(&x, Errno::EOPNOTSUPP).map_err(|stop| stop.at(hook.section()))?;
        apply(&b)?;
        not_replaced(&x, Errno::EOPNOTSUPP).map_err(|stop| stop.at(hook.section()))?;
    }
    for hook in VETOING {
        let a = load_marker(context, "-a")?;
        let b = load(context, "-b", &marker(context, "-b")?.depends("-a").hook(hook, agree()))?;
        apply(&a)?;
        apply(&b)?;
        not_replaced(&x, Errno::EOPNOTSUPP).map_err(|stop| stop.at(hook.section()))?;
    }
    Ok(())
}

pub fn null_hooks(context: &Context) -> Outcome {
    context.needs(Change::PrePostHooks)?;
    let with_null = |id: &str| {
        let null = |payload: Payload, hook| payload.hook(hook, HookBody::Null);
        let payload = VETOING.into_iter().fold(marker(context, id)?, null);
        load(context, id, &payload)
    };
    let a = with_null("-a")?;
    let x = with_null("-x")?;
    apply(&a)?;
    replace(&x)?;
    reads("-x")?;
    a.must_be(State::Checked, Answer::SUCCESS)
}

/// One that is loaded but not applied is not asked.
pub fn hooks_of_others(context: &Context) -> Outcome {
    context.needs(Change::PrePostHooks)?;
    let hooked = |payload: Payload, hook| payload.hook(hook, agree());
    let other = VETOING.into_iter().fold(marker(context, "-o")?, hooked);
    let _other = load(context, "-o", &other)?;
    let a = load_marker(context, "-a")?;
    let x = load_marker(context, "-x")?;
    apply(&a)?;
    replace(&x)?;
    reads("-x")
}

pub fn depends_beats_hooks(context: &Context) -> Outcome {
    context.needs(Change::PrePostHooks)?;
    let payload = marker(context, "-x")?.depends("-a").hook(Hook::PreApply, agree());
    let x = load(context, "-x", &payload)?;
    not_replaced(&x, Errno::EINVAL)
}

/// Those that do the work itself are allowed on both sides.
pub fn action_hooks(context: &Context) -> Outcome {
    context.needs(Change::ActionHooks)?;
    let log = Log::open(context)?;
    let a = log.payload("a")?.hook(Hook::Revert, mark(1));
    let a = load(context, "a", &a)?;
    let y = payload(context, "y")?.hook(Hook::Apply, mark(2));
    let y = load(context, "y", &y)?;
    let show = load(context, "show", &showing_log(context, "show")?.depends("y"))?;
    apply(&a)?;
    replace(&y)?;
    apply(&show)?;
    version_is("log after REPLACE", 0x12)?;
    a.must_be(State::Checked, Answer::SUCCESS)
}

/// The others have gone by then.
pub fn apply_hook_fails(context: &Context) -> Outcome {
    context.needs(Change::ActionHooks)?;
    let original = extra_version()?;
    let refuse = code::return_u32((-i32::from(Errno::EIO.0)) as u32);
    let a = load_marker(context, "-a")?;
    let x = load(context, "-x", &marker(context, "-x")?.hook(Hook::Apply, refuse))?;
    apply(&a)?;
    x.action(ActionCmd::Replace).must_be(Answer::SUCCESS)?;
    x.must_be(State::Checked, Errno::EIO)?;
    a.must_be(State::Checked, Answer::SUCCESS)?;
    reads(&original)
}

/// What is newer has gone, what is older stays; the one that would not go says why.
pub fn failed_revert(context: &Context) -> Outcome {
    context.needs(Change::ActionHooks)?;
    let a = load_marker(context, "-a")?;
    let stubborn = payload(context, "stubborn")?
        .depends("-a")
        .data("veto", (-i32::from(Errno::ENOSPC.0)).to_le_bytes())
        .hook(Hook::Revert, code::take_u32_at("veto"));
    let stubborn = load(context, "stubborn", &stubborn)?;
    let c = load_above(context, "-c", "stubborn")?;
    let x = load_marker(context, "-x")?;
    apply(&a)?;
    apply(&stubborn)?;
    apply(&c)?;
    reads("-c")?;
    x.action(ActionCmd::Replace).must_be(Answer::SUCCESS)?;
    x.must_be(State::Checked, Errno::EINVAL)?;
    c.must_be(State::Checked, Answer::SUCCESS)?;
    stubborn.must_be(State::Applied, Errno::ENOSPC)?;
    a.must_be(State::Applied, Answer::SUCCESS)?;
    reads("-a")?;
    // The second time it goes.
    replace(&x)?;
    reads("-x")?;
    stubborn.must_be(State::Checked, Answer::SUCCESS)?;
    a.must_be(State::Checked, Answer::SUCCESS)
}

/// Known too late: everything has been reverted, and nothing comes instead.
pub fn failed_expectation(context: &Context) -> Outcome {
    context.needs(Change::Expectations)?;
    let original = extra_version()?;
    let stack = three(context)?;
    let function = Function::named("xen_extra_version", code::return_str("-x"));
    let wrong = payload(context, "x")?
        .function(Function::named("xen_changeset", code::return_str("x")))
        .function(function.expecting(&[0xff; 5]));
    let x = load(context, "x", &wrong)?;
    stack.iter().try_for_each(apply)?;
    x.action(ActionCmd::Replace).must_be(Answer::SUCCESS)?;
    x.must_be(State::Checked, Errno::EINVAL)?;
    for reverted in &stack {
        reverted.must_be(State::Checked, Answer::SUCCESS)?;
    }
    reads(&original)
}

/// What is wrong with the expectation itself is found just as late.
pub fn malformed_expectation(context: &Context) -> Outcome {
    context.needs(Change::Expectations)?;
    let original = extra_version()?;
    let ten_bytes = Expectation::of(&[0xff; 10]);
    let reserved = Expectation { head: Expectation::head(true, 5, 1), ..ten_bytes };
    for (expectation, old_size, errno) in
        [(ten_bytes, 9, Errno::ERANGE), (reserved, 16, Errno::EINVAL)]
    {
        let function = Function::named("xen_extra_version", code::return_str("-x"));
        let function = Function { expectation, ..function.old_size(old_size) };
        let a = load_marker(context, "-a")?;
        let x = load(context, "x", &payload(context, "x")?.function(function))?;
        apply(&a)?;
        x.action(ActionCmd::Replace).must_be(Answer::SUCCESS)?;
        x.must_be(State::Checked, errno)?;
        a.must_be(State::Checked, Answer::SUCCESS)?;
        reads(&original)?;
    }
    Ok(())
}

/// They are checked when everything has been reverted: APPLY on top of a patched function needs
/// other bytes than REPLACE.
pub fn expectations_see_the_original(context: &Context) -> Outcome {
    context.needs(Change::Expectations)?;
    needs_if_protected(context, Change::LoadedRegions)?;
    let library = payload(context, "library")?
        .text("xtf_known", code::return_u32(1).then(code::nops(10)))
        .export("xtf_known")
        .function(Function::named("xen_extra_version", code::return_str("-unused")));
    let _library = load(context, "library", &library)?;
    let patching = |id: &str| {
        let expecting_original = code::return_u32(1).bytes;
        let function = Function::named("xtf_known", code::return_u32(2));
        payload(context, id).map(|p| p.function(function.expecting(&expecting_original)))
    };
    let a = load(context, "a", &patching("a")?)?;
    let x = load(context, "x", &patching("x")?)?;
    apply(&a)?;
    let nodeps = ACTION_FLAG_NODEPS;
    action_with(context, &x, ActionCmd::Apply, 0, nodeps).must_be(Errno::EINVAL)?;
    replace(&x)?;
    a.must_be(State::Checked, Answer::SUCCESS)
}

//! Hooks: when each one runs, in which order, and what its result does.
//!
//! Each hook appends a digit to [`Log`], so that a hook that did not run, ran twice or too early
//! is seen in one number.

use kernel::xen::Change;
use kernel::{Answer, Context, Errno, Outcome, Stop};
use livepatch::abi::{ActionCmd, State};
use livepatch::payload::wire::R_X86_64_PC32;
use livepatch::payload::{Chunk, Function, Hook, HookBody, Payload, code};

use crate::support::{
    self, LOG, Log, extra_version, livepatch_function, load, payload, reads, revert,
};

/// A hook that leaves `digit` and agrees.
fn mark(digit: u8) -> Chunk {
    code::append_digit(LOG, digit).then(code::return_u32(0))
}

/// A hook that leaves `digit` and refuses.
fn refuse(digit: u8, errno: Errno) -> Chunk {
    code::append_digit(LOG, digit).then(code::return_u32((-i32::from(errno.0)) as u32))
}

/// A hook that leaves `digit` and refuses the first time, by what is stored at `veto`.
fn refuse_once(digit: u8) -> Chunk {
    code::append_digit(LOG, digit).then(code::take_u32_at("veto"))
}

/// What `refuse_once` finds the first time.
fn veto(errno: Errno) -> [u8; 4] {
    (-i32::from(errno.0)).to_le_bytes()
}

fn extra(text: &str) -> Function {
    Function::named("xen_extra_version", code::return_str(text))
}

/// A payload whose only hook leaves a 1: after APPLY the log holds `applied`, after REVERT
/// `reverted`, and the same once more after a second round.
fn alone(
    context: &Context,
    payload: Payload,
    hook: Hook,
    [applied, reverted]: [u32; 2],
) -> Outcome {
    let log = Log::open(context)?;
    let loaded = load(context, "hook", &payload.depends("log").hook(hook, mark(1)))?;
    log.holds("log before", 0)?;
    support::apply(&loaded)?;
    log.holds("log after APPLY", applied)?;
    revert(&loaded)?;
    log.holds("log after REVERT", reverted)?;
    support::apply(&loaded)?;
    log.holds("log after the second APPLY", reverted << 4 | applied)?;
    revert(&loaded)?;
    log.holds("log after the second REVERT", reverted << 4 | reverted)
}

fn while_applying(context: &Context, payload: Payload, hook: Hook) -> Outcome {
    alone(context, payload, hook, [1, 1])
}

fn while_reverting(context: &Context, payload: Payload, hook: Hook) -> Outcome {
    let log = Log::open(context)?;
    let loaded = load(context, "hook", &payload.depends("log").hook(hook, mark(1)))?;
    for (before, after) in [(0, 1), (1, 0x11)] {
        support::apply(&loaded)?;
        log.holds("log after APPLY", before)?;
        revert(&loaded)?;
        log.holds("log after REVERT", after)?;
    }
    Ok(())
}

/// Before 76b3d4098a Xen takes no payload without a function.
fn with_function(context: &Context) -> Result<Payload, Stop> {
    Ok(payload(context, "id")?.function(extra("-hook")))
}

/// Since 76b3d4098a it does. A hook that does the patching itself then has none to do.
fn without_function(context: &Context) -> Result<Payload, Stop> {
    context.needs(Change::HooksAlone)?;
    payload(context, "id")
}

pub fn load_hook(context: &Context) -> Outcome {
    while_applying(context, with_function(context)?, Hook::Load)
}

pub fn unload_hook(context: &Context) -> Outcome {
    while_reverting(context, with_function(context)?, Hook::Unload)
}

pub fn pre_apply(context: &Context) -> Outcome {
    while_applying(context, without_function(context)?, Hook::PreApply)
}

pub fn apply(context: &Context) -> Outcome {
    while_applying(context, without_function(context)?, Hook::Apply)
}

pub fn post_apply(context: &Context) -> Outcome {
    while_applying(context, without_function(context)?, Hook::PostApply)
}

pub fn pre_revert(context: &Context) -> Outcome {
    while_reverting(context, without_function(context)?, Hook::PreRevert)
}

pub fn revert_hook(context: &Context) -> Outcome {
    while_reverting(context, without_function(context)?, Hook::Revert)
}

pub fn post_revert(context: &Context) -> Outcome {
    while_reverting(context, without_function(context)?, Hook::PostRevert)
}

/// Applies and reverts twice; each time these digits are left.
fn leaves(context: &Context, log: &Log<'_>, payload: &Payload, digits: [u32; 2]) -> Outcome {
    let loaded = load(context, "order", payload)?;
    let [applied, reverted] = digits;
    log.holds("log before", 0)?;
    support::apply(&loaded)?;
    log.holds("log after APPLY", applied)?;
    revert(&loaded)?;
    log.holds("log after REVERT", reverted)?;
    // The log is full: older digits leave at the top.
    let digits = applied.ilog2() / 4 + 1;
    support::apply(&loaded)?;
    log.holds("log after the second APPLY", reverted.unbounded_shl(4 * digits) | applied)?;
    revert(&loaded)
}

pub fn order_with_functions(context: &Context) -> Outcome {
    context.needs(Change::PrePostHooks)?;
    let original = extra_version()?;
    let log = Log::open(context)?;
    let payload = log
        .payload("order")?
        .function(extra("-order"))
        .hook(Hook::PostRevert, mark(8))
        .hook(Hook::Unload, mark(6))
        .hook(Hook::Unload, mark(7))
        .hook(Hook::PreRevert, mark(5))
        .hook(Hook::PostApply, mark(4))
        .hook(Hook::Load, mark(2))
        .hook(Hook::Load, mark(3))
        .hook(Hook::PreApply, mark(1));
    leaves(context, &log, &payload, [0x1234, 0x1234_5678])?;
    reads(&original)
}

/// With them the load and unload hooks do not run: running those is part of what they replace.
pub fn order_with_action_hooks(context: &Context) -> Outcome {
    context.needs(Change::PrePostHooks)?;
    context.needs(Change::ActionHooks)?;
    let log = Log::open(context)?;
    let payload = log
        .payload("order")?
        .hook(Hook::PostRevert, mark(6))
        .hook(Hook::Revert, mark(5))
        .hook(Hook::Unload, mark(0xb))
        .hook(Hook::PreRevert, mark(4))
        .hook(Hook::PostApply, mark(3))
        .hook(Hook::Load, mark(0xa))
        .hook(Hook::Apply, mark(2))
        .hook(Hook::PreApply, mark(1));
    leaves(context, &log, &payload, [0x123, 0x12_3456])
}

/// Each hook leaves a 1 if it finds the function patched, else a 0.
pub fn patching_lies_between(context: &Context) -> Outcome {
    context.needs(Change::PrePostHooks)?;
    const JUMP: u8 = 0xe9;
    let look = || {
        // movzx ecx, byte ptr [rip+xtf_known]; xor eax, eax; cmp cl, JUMP; sete al
        let patched = Chunk::new([0x0f, 0xb6, 0x0d, 0, 0, 0, 0])
            .reloc(3, R_X86_64_PC32, "xtf_known", -4)
            .then(Chunk::new([0x31, 0xc0, 0x80, 0xf9, JUMP, 0x0f, 0x94, 0xc0]));
        // shl dword ptr [rip+log], 4; or dword ptr [rip+log], eax
        patched
            .then(Chunk::new([0xc1, 0x25, 0, 0, 0, 0, 4]).reloc(2, R_X86_64_PC32, LOG, -5))
            .then(Chunk::new([0x09, 0x05, 0, 0, 0, 0]).reloc(2, R_X86_64_PC32, LOG, -4))
            .then(code::return_u32(0))
    };
    let log = Log::open(context)?;
    let known = log
        .payload("known")?
        .text("xtf_known", code::return_u32(1).then(code::nops(10)))
        .export("xtf_known")
        .function(extra("-known"));
    let known = load(context, "known", &known)?;
    support::apply(&known)?;
    let payload = payload(context, "look")?
        .depends("known")
        .function(Function::named("xtf_known", code::return_u32(2)))
        .hook(Hook::PreApply, code::append_digit(LOG, 0xf).then(look()))
        .hook(Hook::Load, look())
        .hook(Hook::PostApply, look())
        .hook(Hook::PreRevert, look())
        .hook(Hook::Unload, look())
        .hook(Hook::PostRevert, look());
    let loaded = load(context, "look", &payload)?;
    support::apply(&loaded)?;
    log.holds("pre-apply, load, post-apply", 0xf001)?;
    revert(&loaded)?;
    log.holds("pre-revert, unload, post-revert", 0xf00_1100)
}

/// A single hook that points nowhere is as good as none.
pub fn null_hooks(context: &Context) -> Outcome {
    context.needs(Change::PrePostHooks)?;
    context.needs(Change::ActionHooks)?;
    let original = extra_version()?;
    let null = |payload: Payload, hook| payload.hook(hook, HookBody::Null);
    let singles = Hook::ALL.into_iter().filter(|hook| ![Hook::Load, Hook::Unload].contains(hook));
    let patch = singles.fold(payload(context, "null")?.function(extra("-null")), null);
    let loaded = load(context, "null", &patch)?;
    support::apply(&loaded)?;
    reads("-null")?;
    revert(&loaded)?;
    reads(&original)
}

/// A payload whose hook leaves a 2 and goes on in the function `name` of Xen's livepatch.c.
fn jumping(log: &Log<'_>, context: &Context, hook: Hook, name: &str) -> Result<Payload, Stop> {
    let code = code::append_digit(LOG, 2).then(code::jump(&livepatch_function(context, name)?));
    Ok(log.payload("own")?.function(extra("-own")).hook(hook, code))
}

/// What a hook written in C is there for: something of its own, then what Xen would have done.
pub fn apply_may_call_xens_own(context: &Context) -> Outcome {
    context.needs(Change::ActionHooks)?;
    let log = Log::open(context)?;
    let jumping = jumping(&log, context, Hook::Apply, "apply_payload")?;
    calls_xens_own(context, &log, &jumping, [2, 2])
}

/// The same for the way back.
pub fn revert_may_call_xens_own(context: &Context) -> Outcome {
    context.needs(Change::ActionHooks)?;
    let log = Log::open(context)?;
    let jumping = jumping(&log, context, Hook::Revert, "revert_payload")?;
    calls_xens_own(context, &log, &jumping, [0, 2])
}

fn calls_xens_own(
    context: &Context,
    log: &Log<'_>,
    payload: &Payload,
    [applied, reverted]: [u32; 2],
) -> Outcome {
    let original = extra_version()?;
    let loaded = load(context, "own", payload)?;
    support::apply(&loaded)?;
    reads("-own")?;
    log.holds("log after APPLY", applied)?;
    revert(&loaded)?;
    reads(&original)?;
    log.holds("log after REVERT", reverted)
}

/// The error is the answer and the rc, and nothing happens. It is asked again each time.
pub fn pre_apply_error(context: &Context) -> Outcome {
    context.needs(Change::PrePostHooks)?;
    let original = extra_version()?;
    let log = Log::open(context)?;
    let payload = log
        .payload("veto")?
        .data("veto", veto(Errno::ENOSYS))
        .function(extra("-veto"))
        .hook(Hook::PreApply, refuse_once(1))
        .hook(Hook::Load, mark(2))
        .hook(Hook::PostApply, mark(3));
    let loaded = load(context, "veto", &payload)?;
    loaded.action(ActionCmd::Apply).must_be(Errno::ENOSYS)?;
    loaded.must_be(State::Checked, Errno::ENOSYS)?;
    log.holds("log after the refusal", 1)?;
    reads(&original)?;
    support::apply(&loaded)?;
    log.holds("log after the second APPLY", 0x1123)?;
    reads("-veto")?;
    revert(&loaded)
}

/// The same for the way back.
pub fn pre_revert_error(context: &Context) -> Outcome {
    context.needs(Change::PrePostHooks)?;
    let original = extra_version()?;
    let log = Log::open(context)?;
    let payload = log
        .payload("veto")?
        .data("veto", veto(Errno::EIO))
        .function(extra("-veto"))
        .hook(Hook::PreRevert, refuse_once(4))
        .hook(Hook::Unload, mark(5))
        .hook(Hook::PostRevert, mark(6));
    let loaded = load(context, "veto", &payload)?;
    support::apply(&loaded)?;
    loaded.action(ActionCmd::Revert).must_be(Errno::EIO)?;
    loaded.must_be(State::Applied, Errno::EIO)?;
    log.holds("log after the refusal", 4)?;
    reads("-veto")?;
    revert(&loaded)?;
    log.holds("log after the second REVERT", 0x4456)?;
    reads(&original)
}

/// The call has succeeded by then.
pub fn apply_error(context: &Context) -> Outcome {
    context.needs(Change::ActionHooks)?;
    let original = extra_version()?;
    let log = Log::open(context)?;
    let payload =
        log.payload("fail")?.function(extra("-fail")).hook(Hook::Apply, refuse(1, Errno::ENOSPC));
    let loaded = load(context, "fail", &payload)?;
    loaded.action(ActionCmd::Apply).must_be(Answer::SUCCESS)?;
    loaded.must_be(State::Checked, Errno::ENOSPC)?;
    log.holds("log", 1)?;
    reads(&original)
}

/// The payload stays applied, and at the top.
pub fn revert_error(context: &Context) -> Outcome {
    context.needs(Change::ActionHooks)?;
    let log = Log::open(context)?;
    let payload =
        log.payload("fail")?.data("veto", veto(Errno::ENOSPC)).hook(Hook::Revert, refuse_once(1));
    let loaded = load(context, "fail", &payload)?;
    support::apply(&loaded)?;
    loaded.action(ActionCmd::Revert).must_be(Answer::SUCCESS)?;
    loaded.must_be(State::Applied, Errno::ENOSPC)?;
    log.holds("log", 1)?;
    loaded.action(ActionCmd::Unload).must_be(Errno::EINVAL)?;
    revert(&loaded)?;
    log.holds("log after the second REVERT", 0x11)
}

pub fn post_results(context: &Context) -> Outcome {
    context.needs(Change::PrePostHooks)?;
    let log = Log::open(context)?;
    let payload = log
        .payload("post")?
        .function(extra("-post"))
        .hook(Hook::PostApply, refuse(1, Errno::EIO))
        .hook(Hook::PostRevert, refuse(2, Errno::EIO));
    let loaded = load(context, "post", &payload)?;
    support::apply(&loaded)?;
    reads("-post")?;
    revert(&loaded)?;
    log.holds("log", 0x12)
}

pub fn post_apply_after_failure(context: &Context) -> Outcome {
    context.needs(Change::PrePostHooks)?;
    context.needs(Change::ActionHooks)?;
    let log = Log::open(context)?;
    let payload = log
        .payload("fail")?
        .function(extra("-fail"))
        .hook(Hook::Apply, refuse(1, Errno::EIO))
        .hook(Hook::PostApply, mark(2));
    let loaded = load(context, "fail", &payload)?;
    loaded.action(ActionCmd::Apply).must_be(Answer::SUCCESS)?;
    loaded.must_be(State::Checked, Errno::EIO)?;
    log.holds("log", 0x12)
}

pub fn post_revert_after_failure(context: &Context) -> Outcome {
    context.needs(Change::PrePostHooks)?;
    context.needs(Change::ActionHooks)?;
    let log = Log::open(context)?;
    let payload = log
        .payload("fail")?
        .data("veto", veto(Errno::EIO))
        .hook(Hook::Revert, refuse_once(1))
        .hook(Hook::PostRevert, mark(2));
    let loaded = load(context, "fail", &payload)?;
    support::apply(&loaded)?;
    loaded.action(ActionCmd::Revert).must_be(Answer::SUCCESS)?;
    loaded.must_be(State::Applied, Errno::EIO)?;
    log.holds("log", 0x12)?;
    revert(&loaded)?;
    log.holds("log after the second REVERT", 0x1212)
}

/// The argument of a hook is Xen's `struct payload`, which begins with the state.
pub fn gets_its_payload(context: &Context) -> Outcome {
    context.needs(Change::PrePostHooks)?;
    context.needs(Change::ActionHooks)?;
    // mov eax, [rdi]; shl dword ptr [rip+log], 4; or dword ptr [rip+log], eax
    let state = || {
        Chunk::new([0x8b, 0x07])
            .then(Chunk::new([0xc1, 0x25, 0, 0, 0, 0, 4]).reloc(2, R_X86_64_PC32, LOG, -5))
            .then(Chunk::new([0x09, 0x05, 0, 0, 0, 0]).reloc(2, R_X86_64_PC32, LOG, -4))
            .then(code::return_u32(0))
    };
    let log = Log::open(context)?;
    let singles = Hook::ALL.into_iter().filter(|hook| ![Hook::Load, Hook::Unload].contains(hook));
    let payload = singles.fold(log.payload("state")?, |payload, hook| payload.hook(hook, state()));
    // Pre-apply, apply and post-apply; pre-revert, revert and post-revert.
    leaves(context, &log, &payload, [0x112, 0x11_2221])
}

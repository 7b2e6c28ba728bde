//! # livepatch-action
//!
//! ACTION's own arguments: command, timeout, flags, padding. What a command does in which state
//! is livepatch-state's.
//!
//! Where the checks are: `livepatch_action` (xen/common/livepatch.c). Flags and their padding
//! exist since b274989b61; of the flags only bit 0 means anything, to APPLY, and nobody refuses the
//! others.
#![forbid(unsafe_code)]

use kernel::xen::Change;
use kernel::{Answer, Case, Context, Errno, Need, Outcome, Stop, Test, expect};
use livepatch::abi::{
    ACTION_APPLY, ACTION_REPLACE, ACTION_REVERT, ACTION_UNLOAD, Action, ActionCmd, Call, Name,
    State,
};

use crate::support;

const NAME: &[u8] = b"action\0";
const KNOWN: [u32; 4] = [ACTION_UNLOAD, ACTION_REVERT, ACTION_APPLY, ACTION_REPLACE];
const UNKNOWN: [u32; 5] = [0, 5, 0x100 | ACTION_APPLY, 1 << 31 | ACTION_APPLY, u32::MAX];

/// The test.
pub const TEST: Test = Test {
    name: "livepatch-action",
    title: "ACTION: command, timeout, flags, padding",
    needs: &[Need::Privileged, Need::Livepatch],
    cases: &[
        Case::new("cmd/known_on_missing_is_enoent", |c| {
            KNOWN.into_iter().try_for_each(|cmd| missing(c, cmd, |action| action, Errno::ENOENT))
        }),
        Case::new("cmd/unknown_on_missing_is_enoent", |c| {
            UNKNOWN.into_iter().try_for_each(|cmd| missing(c, cmd, |action| action, Errno::ENOENT))
        }),
        Case::new("cmd/unknown_on_checked_is_eopnotsupp", |c| unknown_on(c, State::Checked)),
        Case::new("cmd/unknown_on_applied_is_eopnotsupp", |c| unknown_on(c, State::Applied)),
        Case::new("pad/each_bit_is_einval_since_b274989b61", |c| {
            (0..32).try_for_each(|bit| padded(c, 1 << bit))
        }),
        Case::new("pad/all_bits_is_einval_since_b274989b61", |c| padded(c, u32::MAX)),
        Case::new("pad/is_einval_on_loaded_too", pad_on_loaded),
        Case::new("flags/any_on_missing_is_enoent", |c| {
            (0..32).try_for_each(|bit| {
                let flagged = |action| Action { flags: 1 << bit, ..action };
                missing(c, ACTION_APPLY, flagged, Errno::ENOENT)
            })
        }),
        Case::new("flags/unknown_ones_are_accepted", unknown_flags_are_accepted),
        Case::new("timeout/any_on_missing_is_enoent", |c| {
            [1, u32::MAX].into_iter().try_for_each(|timeout| {
                let timed = |action| Action { timeout, ..action };
                missing(c, ACTION_APPLY, timed, Errno::ENOENT)
            })
        }),
        Case::new("timeout/0_is_the_default", |c| applies_and_reverts(c, 0)),
        Case::new("timeout/1_ns_suffices_one_cpu", |c| applies_and_reverts(c, 1)),
        Case::new("timeout/max_is_accepted", |c| applies_and_reverts(c, u32::MAX)),
        Case::new("success/leaves_the_structure_alone", leaves_the_structure_alone),
    ],
    ..Test::DEFAULT
};

fn action(cmd: u32) -> Action<'static> {
    Action::new(Name::new(NAME), ActionCmd::Other(cmd))
}

fn call<'a>(context: &Context, action: Action<'a>) -> Call<'a> {
    Call::action(context.livepatch().version, action)
}

/// No payload has the name: this command, shaped like this, is refused.
fn missing(
    context: &Context,
    cmd: u32,
    shape: impl Fn(Action<'static>) -> Action<'static>,
    errno: Errno,
) -> Outcome {
    context
        .livepatch()
        .refuses(&call(context, shape(action(cmd))), errno)
        .map_err(|stop| stop.at(format_args!("command {cmd:#x}")))
}

fn unknown_on(context: &Context, state: State) -> Outcome {
    let loaded =
        context.livepatch().load(NAME, &support::marker(context, "-action")?.to_bytes())?;
    if state == State::Applied {
        loaded.action(ActionCmd::Apply).must_be(Answer::SUCCESS)?;
    }
    for cmd in UNKNOWN {
        context
            .livepatch()
            .refuses(&call(context, action(cmd)), Errno::EOPNOTSUPP)
            .map_err(|stop| stop.at(format_args!("command {cmd:#x}")))?;
    }
    loaded.must_be(state, Answer::SUCCESS)
}

fn padded(context: &Context, pad: u32) -> Outcome {
    context.needs(Change::ActionFlags)?;
    KNOWN
        .into_iter()
        .chain(UNKNOWN)
        .try_for_each(|cmd| missing(context, cmd, |action| Action { pad, ..action }, Errno::EINVAL))
}

fn pad_on_loaded(context: &Context) -> Outcome {
    context.needs(Change::ActionFlags)?;
    let payload = support::marker(context, "-action")?.to_bytes();
    let loaded = context.livepatch().load(NAME, &payload)?;
    for cmd in KNOWN {
        let padded = Action { pad: 1, ..action(cmd) };
        context.livepatch().refuses(&call(context, padded), Errno::EINVAL)?;
    }
    loaded.must_be(State::Checked, Answer::SUCCESS)
}

fn unknown_flags_are_accepted(context: &Context) -> Outcome {
    context.needs(Change::ActionFlags)?;
    let payload = support::marker(context, "-action")?.to_bytes();
    let loaded = context.livepatch().load(NAME, &payload)?;
    for flags in (1..32).map(|bit| 1 << bit).chain([u32::MAX - 1]) {
        let at = |stop: Stop| stop.at(format_args!("flags {flags:#x}"));
        for (cmd, state) in [(ACTION_APPLY, State::Applied), (ACTION_REVERT, State::Checked)] {
            let flagged = Action { flags, ..action(cmd) };
            context
                .livepatch()
                .call(&call(context, flagged))
                .must_be(Answer::SUCCESS)
                .map_err(at)?;
            loaded.must_be(state, Answer::SUCCESS).map_err(at)?;
        }
    }
    Ok(())
}

/// With one CPU there is nobody to wait for, so that no timeout is too short.
fn applies_and_reverts(context: &Context, timeout: u32) -> Outcome {
    let livepatch = context.livepatch();
    let original = support::extra_version()?;
    let loaded = livepatch.load(NAME, &support::marker(context, "-action")?.to_bytes())?;
    let timed = |cmd| Action { timeout, ..action(cmd) };
    livepatch.call(&call(context, timed(ACTION_APPLY))).must_be(Answer::SUCCESS)?;
    loaded.must_be(State::Applied, Answer::SUCCESS)?;
    expect("extra version", support::extra_version()?.as_str(), "-action")?;
    livepatch.call(&call(context, timed(ACTION_REVERT))).must_be(Answer::SUCCESS)?;
    loaded.must_be(State::Checked, Answer::SUCCESS)?;
    expect("extra version", support::extra_version()?, original)
}

fn leaves_the_structure_alone(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    let _loaded = livepatch.load(NAME, &support::marker(context, "-action")?.to_bytes())?;
    for cmd in [ACTION_APPLY, ACTION_REVERT, ACTION_UNLOAD] {
        let reply = livepatch.perform(&call(context, action(cmd)));
        reply.answer.must_be(Answer::SUCCESS)?;
        expect("structure", reply.after.bytes(), reply.before.bytes())?;
    }
    Ok(())
}

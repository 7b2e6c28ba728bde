//! # livepatch-state
//!
//! Every ACTION on a payload in every state that it can be in: what Xen returns, which state
//! comes out, what GET reports as the result of the last action, and whether the version stamp of
//! the payload list moves. Each case is one row of the table; the function that the payload
//! patches must read accordingly, and a refusal must leave everything as it was.
//!
//! Some states carry an rc that no action on them would set: that is how "left alone" is told
//! from "set to 0".
//!
//! Where this is in Xen: `livepatch_action`, `schedule_work`, `apply_payload_tail`,
//! `revert_payload_tail`, `free_payload` (xen/common/livepatch.c).
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use kernel::livepatch::Loaded;
use kernel::xen::Change;
use kernel::{Answer, Case, Context, Errno, Need, Outcome, Stop, Test, expect};
use livepatch::abi::{ACTION_FLAG_NODEPS, ActionCmd, LivepatchStatus, State};
use livepatch::payload::{Hook, Payload, code};

use crate::support::{
    action_with, apply, extra_version, load, load_marker, marker, reads, replace, revert,
};

/// How the payload came to be what it is when the action arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Before {
    /// Never uploaded.
    Absent,
    /// Uploaded.
    Checked,
    /// Uploaded, depending on a payload that is not there.
    Misfit,
    /// Uploaded, with a hook that keeps it from taking part in a REPLACE.
    Vetoing,
    /// Applied.
    Applied,
    /// Applied, with another one on top.
    Buried,
    /// Applied and reverted.
    Reverted,
    /// Applied and replaced by another one.
    Replaced,
    /// Applied and reverted, with a variable in it.
    Stale,
    /// The same, and applying it again has been refused: CHECKED, with EINVAL as its rc.
    StaleRefused,
    /// Its pre-apply hook has refused once: CHECKED, with the hook's rc.
    ApplyRefused,
    /// Its pre-revert hook has refused once: APPLIED, with the hook's rc.
    RevertRefused,
}

/// What the action leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Then {
    /// GET answers ENOENT.
    Gone,
    /// State, rc and what Xen reads like are what they were.
    Same,
    /// CHECKED with rc 0, and the function is Xen's own.
    Checked,
    /// CHECKED with EINVAL as its rc, and the function is what it was.
    Refused,
    /// APPLIED with rc 0, and the function is the payload's.
    Applied,
}

/// A row of the table as a case.
macro_rules! row {
    ($name:literal $before:ident $cmd:ident $answer:ident $then:ident) => {
        Case::new($name, |context| {
            let (before, then) = (Before::$before, Then::$then);
            row(context, before, row!(@cmd $cmd), row!(@answer $answer), then)
        })
    };
    (@answer OK) => { Answer::SUCCESS };
    (@answer $errno:ident) => { Answer::from(Errno::$errno) };
    (@cmd Zero) => { ActionCmd::Other(0) };
    (@cmd Five) => { ActionCmd::Other(5) };
    (@cmd Max) => { ActionCmd::Other(u32::MAX) };
    (@cmd $cmd:ident) => { ActionCmd::$cmd };
}

/// The test.
pub const TEST: Test = Test {
    name: "livepatch-state",
    title: "Every action in every state",
    needs: &[Need::Privileged, Need::Livepatch],
    cases: &[
        // name                           before         action   answers     then
        row!("absent/unload"              Absent         Unload   ENOENT      Gone),
        row!("absent/revert"              Absent         Revert   ENOENT      Gone),
        row!("absent/apply"               Absent         Apply    ENOENT      Gone),
        row!("absent/replace"             Absent         Replace  ENOENT      Gone),
        row!("absent/action_0"            Absent         Zero     ENOENT      Gone),
        row!("absent/action_5"            Absent         Five     ENOENT      Gone),
        row!("absent/action_max"          Absent         Max      ENOENT      Gone),
        row!("checked/unload"             Checked        Unload   OK          Gone),
        row!("checked/revert"             Checked        Revert   OK          Same),
        row!("checked/apply"              Checked        Apply    OK          Applied),
        row!("checked/replace"            Checked        Replace  OK          Applied),
        row!("checked/action_0"           Checked        Zero     EOPNOTSUPP  Same),
        row!("checked/action_5"           Checked        Five     EOPNOTSUPP  Same),
        row!("checked/action_max"         Checked        Max      EOPNOTSUPP  Same),
        row!("misfit/unload"              Misfit         Unload   OK          Gone),
        row!("misfit/revert"              Misfit         Revert   OK          Same),
        row!("misfit/apply"               Misfit         Apply    EINVAL      Same),
        row!("misfit/replace"             Misfit         Replace  EINVAL      Same),
        row!("misfit/action_0"            Misfit         Zero     EOPNOTSUPP  Same),
        row!("misfit/action_5"            Misfit         Five     EOPNOTSUPP  Same),
        row!("misfit/action_max"          Misfit         Max      EOPNOTSUPP  Same),
        row!("vetoing/unload"             Vetoing        Unload   OK          Gone),
        row!("vetoing/revert"             Vetoing        Revert   OK          Same),
        row!("vetoing/apply"              Vetoing        Apply    OK          Applied),
        row!("vetoing/replace"            Vetoing        Replace  EOPNOTSUPP  Same),
        row!("vetoing/action_0"           Vetoing        Zero     EOPNOTSUPP  Same),
        row!("vetoing/action_5"           Vetoing        Five     EOPNOTSUPP  Same),
        row!("vetoing/action_max"         Vetoing        Max      EOPNOTSUPP  Same),
        row!("applied/unload"             Applied        Unload   EINVAL      Same),
        row!("applied/revert"             Applied        Revert   OK          Checked),
        row!("applied/apply"              Applied        Apply    OK          Same),
        row!("applied/replace"            Applied        Replace  OK          Same),
        row!("applied/action_0"           Applied        Zero     EOPNOTSUPP  Same),
        row!("applied/action_5"           Applied        Five     EOPNOTSUPP  Same),
        row!("applied/action_max"         Applied        Max      EOPNOTSUPP  Same),
        row!("buried/unload"              Buried         Unload   EINVAL      Same),
        row!("buried/revert"              Buried         Revert   EBUSY       Same),
        row!("buried/apply"               Buried         Apply    OK          Same),
        row!("buried/replace"             Buried         Replace  OK          Same),
        row!("buried/action_0"            Buried         Zero     EOPNOTSUPP  Same),
        row!("buried/action_5"            Buried         Five     EOPNOTSUPP  Same),
        row!("buried/action_max"          Buried         Max      EOPNOTSUPP  Same),
        row!("reverted/unload"            Reverted       Unload   OK          Gone),
        row!("reverted/revert"            Reverted       Revert   OK          Same),
        row!("reverted/apply"             Reverted       Apply    OK          Applied),
        row!("reverted/replace"           Reverted       Replace  OK          Applied),
        row!("reverted/action_0"          Reverted       Zero     EOPNOTSUPP  Same),
        row!("reverted/action_5"          Reverted       Five     EOPNOTSUPP  Same),
        row!("reverted/action_max"        Reverted       Max      EOPNOTSUPP  Same),
        row!("replaced/unload"            Replaced       Unload   OK          Gone),
        row!("replaced/revert"            Replaced       Revert   OK          Same),
        row!("replaced/apply"             Replaced       Apply    EINVAL      Same),
        row!("replaced/replace"           Replaced       Replace  OK          Applied),
        row!("replaced/action_0"          Replaced       Zero     EOPNOTSUPP  Same),
        row!("replaced/action_5"          Replaced       Five     EOPNOTSUPP  Same),
        row!("replaced/action_max"        Replaced       Max      EOPNOTSUPP  Same),
        row!("stale/unload"               Stale          Unload   OK          Gone),
        row!("stale/revert"               Stale          Revert   OK          Same),
        row!("stale/apply"                Stale          Apply    OK          Refused),
        row!("stale/replace"              Stale          Replace  OK          Applied),
        row!("stale/action_0"             Stale          Zero     EOPNOTSUPP  Same),
        row!("stale/action_5"             Stale          Five     EOPNOTSUPP  Same),
        row!("stale/action_max"           Stale          Max      EOPNOTSUPP  Same),
        row!("stale_refused/unload"       StaleRefused   Unload   OK          Gone),
        row!("stale_refused/revert"       StaleRefused   Revert   OK          Same),
        row!("stale_refused/apply"        StaleRefused   Apply    OK          Refused),
        row!("stale_refused/replace"      StaleRefused   Replace  OK          Applied),
        row!("stale_refused/action_0"     StaleRefused   Zero     EOPNOTSUPP  Same),
        row!("stale_refused/action_5"     StaleRefused   Five     EOPNOTSUPP  Same),
        row!("stale_refused/action_max"   StaleRefused   Max      EOPNOTSUPP  Same),
        row!("apply_refused/unload"       ApplyRefused   Unload   OK          Gone),
        row!("apply_refused/revert"       ApplyRefused   Revert   OK          Same),
        row!("apply_refused/apply"        ApplyRefused   Apply    OK          Applied),
        row!("apply_refused/replace"      ApplyRefused   Replace  EOPNOTSUPP  Same),
        row!("apply_refused/action_0"     ApplyRefused   Zero     EOPNOTSUPP  Same),
        row!("apply_refused/action_5"     ApplyRefused   Five     EOPNOTSUPP  Same),
        row!("apply_refused/action_max"   ApplyRefused   Max      EOPNOTSUPP  Same),
        row!("revert_refused/unload"      RevertRefused  Unload   EINVAL      Same),
        row!("revert_refused/revert"      RevertRefused  Revert   OK          Checked),
        row!("revert_refused/apply"       RevertRefused  Apply    OK          Same),
        row!("revert_refused/replace"     RevertRefused  Replace  OK          Same),
        row!("revert_refused/action_0"    RevertRefused  Zero     EOPNOTSUPP  Same),
        row!("revert_refused/action_5"    RevertRefused  Five     EOPNOTSUPP  Same),
        row!("revert_refused/action_max"  RevertRefused  Max      EOPNOTSUPP  Same),
        Case::new("flags/unknown_bits_are_accepted", unknown_flags),
        Case::new("flags/unknown_bits_are_not_nodeps", unknown_flags_are_not_nodeps),
        Case::new("flags/nodeps_is_for_apply_alone", nodeps_is_for_apply_alone),
        Case::new("timeout/0_means_the_default", |c| timeouts(c, 0)),
        Case::new("timeout/1_ns_is_enough_for_one_cpu", |c| timeouts(c, 1)),
        Case::new("timeout/the_largest_is_not_waited_for", |c| timeouts(c, u32::MAX)),
        Case::new("version/moves_with_upload_and_unload", version_moves),
    ],
    ..Test::DEFAULT
};

/// What a refusing hook of [`Before::ApplyRefused`] and [`Before::RevertRefused`] returns: an
/// error that no action produces by itself.
const VETO: Errno = Errno::ENOTSOCK;

const MARKER: &str = "-p";

/// A payload in its state, and what keeps it there.
struct Setup<'c> {
    /// None if it is absent.
    loaded: Option<Loaded<'c>>,
    /// On top of it, or what replaced it; dropped first.
    other: Option<Loaded<'c>>,
}

impl Drop for Setup<'_> {
    fn drop(&mut self) {
        self.other = None;
    }
}

/// A marker whose hook refuses once.
fn refusing_once(context: &Context, hook: Hook) -> Result<Payload, Stop> {
    context.needs(Change::PrePostHooks)?;
    context.needs(Change::ActionHooks)?;
    let veto = (-i32::from(VETO.0)).to_le_bytes();
    Ok(marker(context, MARKER)?.data("veto", veto).hook(hook, code::take_u32_at("veto")))
}

impl<'c> Setup<'c> {
    fn new(context: &'c Context, before: Before) -> Result<Self, Stop> {
        if before == Before::Absent {
            return Ok(Self { loaded: None, other: None });
        }
        let payload = match before {
            Before::Misfit => marker(context, MARKER)?.depends("nobody"),
            Before::Vetoing => {
                context.needs(Change::PrePostHooks)?;
                context.needs(Change::ActionHooks)?;
                marker(context, MARKER)?.hook(Hook::PostRevert, code::return_u32(0))
            }
            Before::Stale | Before::StaleRefused => {
                marker(context, MARKER)?.data("variable", [0; 4])
            }
            Before::ApplyRefused => refusing_once(context, Hook::PreApply)?,
            Before::RevertRefused => refusing_once(context, Hook::PreRevert)?,
            _ => marker(context, MARKER)?,
        };
        let loaded = load(context, MARKER, &payload)?;
        let mut other = None;
        match before {
            Before::Absent | Before::Checked | Before::Misfit | Before::Vetoing => {}
            Before::Applied => apply(&loaded)?,
            Before::Buried => {
                apply(&loaded)?;
                let above = load(context, "-o", &marker(context, "-o")?.depends(MARKER))?;
                apply(&above)?;
                other = Some(above);
            }
            Before::Reverted | Before::Stale => {
                apply(&loaded)?;
                revert(&loaded)?;
            }
            Before::Replaced => {
                apply(&loaded)?;
                let replacing = load_marker(context, "-o")?;
                replace(&replacing)?;
                other = Some(replacing);
            }
            Before::StaleRefused => {
                apply(&loaded)?;
                revert(&loaded)?;
                loaded.action(ActionCmd::Apply).must_be(Answer::SUCCESS)?;
                loaded.must_be(State::Checked, Errno::EINVAL)?;
            }
            Before::ApplyRefused => {
                loaded.action(ActionCmd::Apply).must_be(VETO)?;
                loaded.must_be(State::Checked, VETO)?;
            }
            Before::RevertRefused => {
                apply(&loaded)?;
                loaded.action(ActionCmd::Revert).must_be(VETO)?;
                loaded.must_be(State::Applied, VETO)?;
            }
        }
        Ok(Self { loaded: Some(loaded), other })
    }
}

fn row(context: &Context, before: Before, cmd: ActionCmd, answer: Answer, then: Then) -> Outcome {
    const NAME: &[u8] = b"-p\0";
    let livepatch = context.livepatch();
    let original = extra_version()?;
    let setup = Setup::new(context, before).map_err(|stop| stop.at("preparing"))?;
    let extra = extra_version()?;
    let list = livepatch.payload_list()?;
    let status = livepatch.get(NAME);

    livepatch.action(NAME, cmd).must_be(answer).map_err(|stop| stop.at("answer"))?;

    let checked = |rc: i32| Ok(LivepatchStatus { state: State::Checked.into(), rc });
    let (status, extra) = match then {
        Then::Gone => (Err(Errno::ENOENT), extra),
        Then::Same => (status, extra),
        Then::Checked => (checked(0), original),
        Then::Refused => (checked(-i32::from(Errno::EINVAL.0)), extra),
        Then::Applied => {
            (Ok(LivepatchStatus { state: State::Applied.into(), rc: 0 }), MARKER.into())
        }
    };
    expect("GET afterwards", livepatch.get(NAME), status)?;
    reads(&extra)?;
    // Only what goes moves the version stamp; the other payload is touched by REPLACE alone.
    let went = u32::from(then == Then::Gone && answer == Answer::SUCCESS);
    let after = livepatch.payload_list()?;
    expect("version stamp", after.totals.version, list.totals.version + went)?;
    expect("payloads", after.totals.nr, list.totals.nr - went)?;
    if let Some(other) = &setup.other {
        let replaced = cmd == ActionCmd::Replace && then == Then::Applied;
        let state = if replaced { State::Checked } else { State::Applied };
        other.must_be(state, Answer::SUCCESS).map_err(|stop| stop.at("the other payload"))?;
    }
    Ok(())
}

/// Only bit 0 means something, and only to APPLY.
fn unknown_flags(context: &Context) -> Outcome {
    context.needs(Change::ActionFlags)?;
    let original = extra_version()?;
    for flags in [1 << 1, 1 << 31, u32::MAX] {
        let loaded = load_marker(context, MARKER)?;
        for (cmd, state, extra) in [
            (ActionCmd::Apply, State::Applied, MARKER),
            (ActionCmd::Revert, State::Checked, &original),
            (ActionCmd::Replace, State::Applied, MARKER),
            (ActionCmd::Revert, State::Checked, &original),
        ] {
            action_with(context, &loaded, cmd, 0, flags).must_be(Answer::SUCCESS)?;
            loaded.must_be(state, Answer::SUCCESS)?;
            reads(extra)?;
        }
        action_with(context, &loaded, ActionCmd::Unload, 0, flags).must_be(Answer::SUCCESS)?;
        expect("GET", context.livepatch().get(loaded.name()), Err(Errno::ENOENT))?;
    }
    Ok(())
}

fn unknown_flags_are_not_nodeps(context: &Context) -> Outcome {
    context.needs(Change::ActionFlags)?;
    let setup = Setup::new(context, Before::Misfit)?;
    let misfit = setup.loaded.as_ref().expect("a misfit is there");
    for bit in 1..32 {
        action_with(context, misfit, ActionCmd::Apply, 0, 1 << bit)
            .must_be(Errno::EINVAL)
            .map_err(|stop| stop.at(format_args!("bit {bit}")))?;
    }
    misfit.must_be(State::Checked, Answer::SUCCESS)?;
    action_with(context, misfit, ActionCmd::Apply, 0, u32::MAX).must_be(Answer::SUCCESS)?;
    misfit.must_be(State::Applied, Answer::SUCCESS)
}

fn nodeps_is_for_apply_alone(context: &Context) -> Outcome {
    context.needs(Change::ActionFlags)?;
    let refused = [
        (Before::Misfit, ActionCmd::Replace, Errno::EINVAL),
        (Before::Vetoing, ActionCmd::Replace, Errno::EOPNOTSUPP),
        (Before::Buried, ActionCmd::Revert, Errno::EBUSY),
        (Before::Applied, ActionCmd::Unload, Errno::EINVAL),
    ];
    for (before, cmd, errno) in refused {
        let setup = Setup::new(context, before)?;
        let loaded = setup.loaded.as_ref().expect("none of them is absent");
        let status = loaded.status()?;
        action_with(context, loaded, cmd, 0, ACTION_FLAG_NODEPS).must_be(errno)?;
        expect("status", loaded.status()?, status)?;
    }
    Ok(())
}

/// One CPU waits for nobody, so that no timeout is too short; and Xen does not wait it out.
fn timeouts(context: &Context, timeout: u32) -> Outcome {
    let original = extra_version()?;
    let loaded = load_marker(context, MARKER)?;
    for (cmd, state, extra) in [
        (ActionCmd::Apply, State::Applied, MARKER),
        (ActionCmd::Revert, State::Checked, &original),
        (ActionCmd::Replace, State::Applied, MARKER),
        (ActionCmd::Revert, State::Checked, &original),
    ] {
        action_with(context, &loaded, cmd, timeout, 0).must_be(Answer::SUCCESS)?;
        loaded.must_be(state, Answer::SUCCESS)?;
        reads(extra)?;
    }
    action_with(context, &loaded, ActionCmd::Unload, timeout, 0).must_be(Answer::SUCCESS)
}

/// By exactly one each; nothing else moves it.
fn version_moves(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    let version = || livepatch.totals().map(|totals| totals.version);
    let mut stamps = Vec::from([version()?]);
    let a = load_marker(context, "-a")?;
    stamps.push(version()?);
    livepatch.upload(b"-a\0", &marker(context, "-b")?.to_bytes()).must_be(Errno::EEXIST)?;
    stamps.push(version()?);
    let b = load_marker(context, "-b")?;
    stamps.push(version()?);
    apply(&a)?;
    stamps.push(version()?);
    replace(&b)?;
    stamps.push(version()?);
    revert(&b)?;
    stamps.push(version()?);
    a.action(ActionCmd::Unload).must_be(Answer::SUCCESS)?;
    stamps.push(version()?);
    b.action(ActionCmd::Unload).must_be(Answer::SUCCESS)?;
    stamps.push(version()?);
    let moves: Vec<_> = stamps.windows(2).map(|pair| pair[1] - pair[0]).collect();
    expect("moves of the version stamp", moves, Vec::from([1, 0, 1, 0, 0, 0, 1, 1]))
}

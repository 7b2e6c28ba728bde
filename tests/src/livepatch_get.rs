//! # livepatch-get
//!
//! GET: what it writes back and what it leaves alone, found and not found.
//!
//! Where it is: `livepatch_get` (xen/common/livepatch.c); how names are read is livepatch-name's.
#![forbid(unsafe_code)]

use kernel::livepatch::Place;
use kernel::{Answer, Case, Context, Errno, Need, Outcome, Test, expect};
use livepatch::abi::{ActionCmd, Call, Get, LivepatchStatus, Name, STATE_CHECKED, State};

use crate::support;

const NAME: &[u8] = b"get\0";
/// What no GET ever reports.
const GARBAGE: LivepatchStatus = LivepatchStatus { state: 0xdead_beef, rc: -12345 };
/// Where `struct xen_livepatch_status` lies in the sysctl: behind the two heads and the name.
const STATUS_OFFSET: usize = 16 + 16;

/// The test.
pub const TEST: Test = Test {
    name: "livepatch-get",
    title: "GET: what it writes and what it leaves alone",
    needs: &[Need::Privileged, Need::Livepatch],
    cases: &[
        Case::new("missing/is_enoent", |c| missing(c, LivepatchStatus { state: 0, rc: 0 })),
        Case::new("missing/leaves_the_status_alone", |c| missing(c, GARBAGE)),
        Case::new("found/is_checked_with_rc_0", found),
        Case::new("found/ignores_the_status_passed_in", ignores_input),
        Case::new("found/writes_the_status_alone", writes_the_status_alone),
        Case::new("found/changes_nothing", changes_nothing),
        Case::new("found/each_by_its_own_name", each_by_its_own_name),
        Case::new("found/no_more_once_unloaded", no_more_once_unloaded),
        Case::new("structure/read_only_is_efault", read_only_structure),
    ],
    ..Test::DEFAULT
};

fn missing(context: &Context, status: LivepatchStatus) -> Outcome {
    let livepatch = context.livepatch();
    let get = Get { status, ..Name::new(NAME).into() };
    livepatch.refuses(&Call::get(livepatch.version, get), Errno::ENOENT)
}

fn found(context: &Context) -> Outcome {
    let payload = support::marker(context, "-get")?.to_bytes();
    let loaded = context.livepatch().load(NAME, &payload)?;
    loaded.must_be(State::Checked, Answer::SUCCESS)
}

fn ignores_input(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    let payload = support::marker(context, "-get")?.to_bytes();
    let _loaded = livepatch.load(NAME, &payload)?;
    let get = Get { status: GARBAGE, ..Name::new(NAME).into() };
    let reply = livepatch.perform(&Call::get(livepatch.version, get));
    reply.answer.must_be(Answer::SUCCESS)?;
    expect("status", reply.after.status(), LivepatchStatus { state: STATE_CHECKED, rc: 0 })
}

fn writes_the_status_alone(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    let payload = support::marker(context, "-get")?.to_bytes();
    let _loaded = livepatch.load(NAME, &payload)?;
    let name = *b"get\0";
    let get = Get { status: GARBAGE, ..Name::new(&name).into() };
    let reply = livepatch.perform(&Call::get(livepatch.version, get));
    reply.answer.must_be(Answer::SUCCESS)?;
    let mut expected = *reply.before.bytes();
    expected[STATUS_OFFSET..STATUS_OFFSET + 8].copy_from_slice(&[
        STATE_CHECKED as u8,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    ]);
    expect("structure", reply.after.bytes(), &expected)?;
    expect("name", &name, b"get\0")
}

fn changes_nothing(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    let payload = support::marker(context, "-get")?.to_bytes();
    let _loaded = livepatch.load(NAME, &payload)?;
    let before = livepatch.payload_list()?;
    for _ in 0..3 {
        livepatch.call(&Call::get(livepatch.version, Name::new(NAME))).must_be(Answer::SUCCESS)?;
    }
    expect("payloads", livepatch.payload_list()?, before)
}

fn each_by_its_own_name(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    let payload = support::marker(context, "-get")?.to_bytes();
    let other = support::marker(context, "-other")?.to_bytes();
    let first = livepatch.load(NAME, &payload)?;
    let second = livepatch.load(b"other\0", &other)?;
    first.action(ActionCmd::Apply).must_be(Answer::SUCCESS)?;
    first.must_be(State::Applied, Answer::SUCCESS)?;
    second.must_be(State::Checked, Answer::SUCCESS)
}

fn no_more_once_unloaded(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    let payload = support::marker(context, "-get")?.to_bytes();
    let other = support::marker(context, "-other")?.to_bytes();
    let _other = livepatch.load(b"other\0", &other)?;
    drop(livepatch.load(NAME, &payload)?);
    missing(context, GARBAGE)
}

/// The structure is copied back after a refusal as well as after a success: where it cannot be,
/// that is what Xen answers, whatever came of the call itself.
fn read_only_structure(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    let payload = support::marker(context, "-get")?.to_bytes();
    let _loaded = livepatch.load(NAME, &payload)?;
    for name in [NAME, b"missing\0"] {
        let call = Call::get(livepatch.version, Name::new(name));
        livepatch.perform_at(Place::ReadOnly, &call)?.must_be(Errno::EFAULT)?;
    }
    Ok(())
}

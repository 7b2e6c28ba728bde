//! Who may go on top of whom.

use alloc::string::String;
use alloc::vec::Vec;

use kernel::livepatch::Loaded;
use kernel::xen::Change;
use kernel::{Answer, Context, Errno, Outcome, Stop, expect};
use livepatch::abi::{ActionCmd, State};
use livepatch::payload::{Function, code};

use crate::support::{
    apply, apply_nodeps, extra_version, load, load_marker, marker, packed_version, payload, reads,
    revert, unload,
};

/// Loads a marker that goes on top of another one.
pub fn load_above<'c>(context: &'c Context, id: &str, below: &str) -> Result<Loaded<'c>, Stop> {
    load(context, id, &marker(context, id)?.depends(below))
}

/// Three payloads that go on top of one another: `-a` on Xen, `-b` on it, `-c` on that.
pub fn three(context: &Context) -> Result<[Loaded<'_>; 3], Stop> {
    Ok([
        load_marker(context, "-a")?,
        load_above(context, "-b", "-a")?,
        load_above(context, "-c", "-b")?,
    ])
}

/// Refused with EINVAL, and nothing has changed.
fn not_applicable(loaded: &Loaded<'_>) -> Outcome {
    let extra = extra_version()?;
    let before = loaded.status()?;
    loaded.action(ActionCmd::Apply).must_be(Errno::EINVAL)?;
    expect("status after the refusal", loaded.status()?, before)?;
    reads(&extra)
}

pub fn top_is_seen(context: &Context) -> Outcome {
    let original = extra_version()?;
    let [a, b, c] = three(context)?;
    apply(&a)?;
    reads("-a")?;
    apply(&b)?;
    reads("-b")?;
    apply(&c)?;
    reads("-c")?;
    revert(&c)?;
    reads("-b")?;
    apply(&c)?;
    reads("-c")?;
    revert(&c)?;
    revert(&b)?;
    reads("-a")?;
    revert(&a)?;
    reads(&original)
}

pub fn wrong_order(context: &Context) -> Outcome {
    let [a, b, c] = three(context)?;
    not_applicable(&b)?;
    not_applicable(&c)?;
    apply(&a)?;
    not_applicable(&c)?;
    apply(&b)?;
    apply(&c)?;
    reads("-c")?;
    // What was refused has kept its rc, and none of it hinders the way back.
    revert(&c)?;
    revert(&b)?;
    not_applicable(&c)?;
    revert(&a)
}

pub fn second_on_xen(context: &Context) -> Outcome {
    let [a, b, _c] = three(context)?;
    apply(&a)?;
    apply(&b)?;
    revert(&b)?;
    revert(&a)?;
    not_applicable(&b)
}

pub fn one_for_xen_on_top(context: &Context) -> Outcome {
    let a = load_marker(context, "-a")?;
    let other = load_marker(context, "-x")?;
    apply(&a)?;
    not_applicable(&other)?;
    revert(&a)?;
    apply(&other)?;
    reads("-x")?;
    not_applicable(&a)
}

/// Neither a beginning of the id below, nor a longer one, nor one that differs in its last byte.
pub fn ids_are_compared_whole(context: &Context) -> Outcome {
    let original = extra_version()?;
    let below = load_marker(context, "-below")?;
    apply(&below)?;
    for (id, depends) in [("1", "-belo"), ("2", "-below "), ("3", "-belov"), ("4", "+below")] {
        let above = load(context, id, &marker(context, id)?.depends(depends))?;
        not_applicable(&above).map_err(|stop| stop.at(depends))?;
    }
    // Xen's own id is no different.
    revert(&below)?;
    let mut id = crate::support::target(context)?.xen_build_id;
    id.pop();
    let short = load(context, "short", &marker(context, "-short")?.depends(id))?;
    not_applicable(&short)?;
    reads(&original)
}

pub fn nodeps(context: &Context) -> Outcome {
    context.needs(Change::ActionFlags)?;
    let original = extra_version()?;
    let [a, b, c] = three(context)?;
    for (loaded, extra) in [(&c, "-c"), (&a, "-a"), (&b, "-b")] {
        apply_nodeps(context, loaded).must_be(Answer::SUCCESS)?;
        loaded.must_be(State::Applied, Answer::SUCCESS)?;
        reads(extra)?;
    }
    revert(&b)?;
    reads("-a")?;
    revert(&a)?;
    reads("-c")?;
    revert(&c)?;
    reads(&original)
}

pub fn revert_not_from_the_top(context: &Context) -> Outcome {
    let [a, b, c] = three(context)?;
    apply(&a)?;
    apply(&b)?;
    apply(&c)?;
    for buried in [&a, &b] {
        buried.action(ActionCmd::Revert).must_be(Errno::EBUSY)?;
        buried.must_be(State::Applied, Answer::SUCCESS)?;
        reads("-c")?;
    }
    revert(&c)?;
    a.action(ActionCmd::Revert).must_be(Errno::EBUSY)?;
    revert(&b)?;
    revert(&a)
}

/// A payload does not touch what another one has patched elsewhere.
pub fn independent_functions(context: &Context) -> Outcome {
    let (extra, version) = (extra_version()?, packed_version());
    let a = load_marker(context, "-a")?;
    let function = Function::named("xen_minor_version", code::return_u32(0x777));
    let b = load(context, "b", &payload(context, "b")?.depends("-a").function(function))?;
    let seen = || Ok::<_, Stop>((extra_version()?, packed_version()));
    let patched = version & 0xffff_0000 | 0x777;
    apply(&a)?;
    expect("one", seen()?, (String::from("-a"), version))?;
    apply(&b)?;
    expect("both", seen()?, (String::from("-a"), patched))?;
    revert(&b)?;
    expect("one again", seen()?, (String::from("-a"), version))?;
    revert(&a)?;
    expect("none", seen()?, (extra, version))
}

pub fn unload_applied_middle(context: &Context) -> Outcome {
    let [a, b, c] = three(context)?;
    apply(&a)?;
    apply(&b)?;
    apply(&c)?;
    for applied in [&a, &b, &c] {
        applied.action(ActionCmd::Unload).must_be(Errno::EINVAL)?;
        applied.must_be(State::Applied, Answer::SUCCESS)?;
        reads("-c")?;
    }
    Ok(())
}

/// What is not applied may go, whoever depends on it; its place in the list closes.
pub fn unload_loaded_middle(context: &Context) -> Outcome {
    let [a, b, c] = three(context)?;
    apply(&a)?;
    unload(context, &b)?;
    expect("names", names(context)?, ["-a", "-c"].map(String::from).to_vec())?;
    a.must_be(State::Applied, Answer::SUCCESS)?;
    c.must_be(State::Checked, Answer::SUCCESS)?;
    not_applicable(&c)?;
    let again = load_above(context, "-b", "-a")?;
    expect("names", names(context)?, ["-a", "-c", "-b"].map(String::from).to_vec())?;
    apply(&again)?;
    apply(&c)?;
    reads("-c")?;
    revert(&c)?;
    revert(&again)
}

fn names(context: &Context) -> Result<Vec<String>, Stop> {
    Ok(context.livepatch().list()?.iter().map(|entry| entry.display_name()).collect())
}

pub fn order_of_upload(context: &Context) -> Outcome {
    let c = load_above(context, "-c", "-b")?;
    let b = load_above(context, "-b", "-a")?;
    let a = load_marker(context, "-a")?;
    for (loaded, extra) in [(&a, "-a"), (&b, "-b"), (&c, "-c")] {
        apply(loaded)?;
        reads(extra)?;
    }
    for loaded in [&c, &b, &a] {
        revert(loaded)?;
    }
    Ok(())
}

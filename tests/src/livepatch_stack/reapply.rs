//! Which payloads may be applied again after a REVERT: those that cannot have changed themselves.

use kernel::livepatch::Loaded;
use kernel::xen::Change;
use kernel::{Answer, Context, Errno, Outcome, Stop};
use livepatch::abi::{ActionCmd, State};
use livepatch::payload::{Hook, Payload, code};

use crate::support::{
    apply, extra_version, load, load_marker, marker, payload, reads, replace, revert,
    with_read_only_functions,
};

/// Accepted, and refused in the rc.
fn not_again(loaded: &Loaded<'_>) -> Outcome {
    let extra = extra_version()?;
    loaded.action(ActionCmd::Apply).must_be(Answer::SUCCESS)?;
    loaded.must_be(State::Checked, Errno::EINVAL)?;
    reads(&extra)
}

/// A marker with a variable.
fn with_data(context: &Context) -> Result<Payload, Stop> {
    Ok(marker(context, "-d")?.data("variable", [1, 2, 3, 4]))
}

pub fn functions_alone(context: &Context) -> Outcome {
    let a = load_marker(context, "-a")?;
    for _ in 0..2 {
        apply(&a)?;
        reads("-a")?;
        revert(&a)?;
    }
    Ok(())
}

pub fn data(context: &Context) -> Outcome {
    let original = extra_version()?;
    let d = load(context, "-d", &with_data(context)?)?;
    apply(&d)?;
    reads("-d")?;
    revert(&d)?;
    not_again(&d)?;
    not_again(&d)?;
    // Loaded anew it may.
    drop(d);
    let d = load(context, "-d", &with_data(context)?)?;
    apply(&d)?;
    reads("-d")?;
    revert(&d)?;
    reads(&original)
}

pub fn bss(context: &Context) -> Outcome {
    let d = load(context, "-d", &marker(context, "-d")?.bss("variable", 1))?;
    apply(&d)?;
    revert(&d)?;
    not_again(&d)
}

/// The only writable section is not the one that holds the functions.
pub fn data_alone(context: &Context) -> Outcome {
    let file = with_read_only_functions(context, &with_data(context)?)?;
    let d = context.livepatch().load(b"-d\0", &file)?;
    apply(&d)?;
    revert(&d)?;
    not_again(&d)
}

pub fn nothing_writable(context: &Context) -> Outcome {
    // Before 66d3f83db6 there had to be exactly one writable section.
    let again = context.xen.has(Change::ReapplyReadOnly);
    let file = with_read_only_functions(context, &marker(context, "-r")?)?;
    let r = context.livepatch().load(b"-r\0", &file)?;
    apply(&r)?;
    reads("-r")?;
    revert(&r)?;
    if !again {
        return not_again(&r);
    }
    apply(&r)?;
    reads("-r")
}

pub fn replaced_one(context: &Context) -> Outcome {
    let a = load_marker(context, "-a")?;
    let x = load_marker(context, "-x")?;
    apply(&a)?;
    replace(&x)?;
    revert(&x)?;
    apply(&a)?;
    reads("-a")
}

/// REPLACE has reverted it, so it is as if REVERT had.
pub fn replaced_one_with_data(context: &Context) -> Outcome {
    let d = load(context, "-d", &with_data(context)?)?;
    let x = load_marker(context, "-x")?;
    apply(&d)?;
    replace(&x)?;
    d.must_be(State::Checked, Answer::SUCCESS)?;
    revert(&x)?;
    not_again(&d)
}

/// What APPLY refuses, REPLACE does.
pub fn replace_does_not_ask(context: &Context) -> Outcome {
    let original = extra_version()?;
    let d = load(context, "-d", &with_data(context)?)?;
    apply(&d)?;
    revert(&d)?;
    not_again(&d)?;
    replace(&d)?;
    reads("-d")?;
    revert(&d)?;
    reads(&original)
}

/// A payload that is both in the wrong place and not to be applied again gets the rc, not the
/// errno.
pub fn refusal_beats_order(context: &Context) -> Outcome {
    context.needs(Change::PrePostHooks)?;
    let a = load_marker(context, "-a")?;
    let d = payload(context, "d")?.data("variable", [0; 4]).hook(Hook::PostRevert, code::ret());
    let d = load(context, "d", &d)?;
    apply(&d)?;
    revert(&d)?;
    apply(&a)?;
    not_again(&d)
}

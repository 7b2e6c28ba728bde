//! Expectations: what must be at a function's address for it to be patched.

use kernel::xen::Change;
use kernel::{Answer, Context, Errno, Outcome, Stop, expect_that};
use livepatch::abi::{ActionCmd, State};
use livepatch::payload::{Expectation, Function, Payload, code};

use crate::support::{apply, load, packed_version, payload, revert, version_is};

/// What the function `xtf_known` consists of: 32 known bytes that return 1.
fn known() -> [u8; 32] {
    let code = code::return_u32(1).then(code::nops(26));
    code.bytes.try_into().expect("32 bytes of code")
}

/// A payload that brings `xtf_known`, which XENVER_version returns.
fn below(context: &Context) -> Result<Payload, Stop> {
    context.needs(Change::Expectations)?;
    Ok(payload(context, "below")?
        .text("xtf_known", known())
        .export("xtf_known")
        .function(Function::named("xen_major_version", code::return_u32(0)))
        .function(Function::named("xen_minor_version", code::jump("xtf_known"))))
}

/// Replaces `xtf_known` by something that returns 2, if the expectation is met.
fn above(context: &Context, old_size: u32, expectation: Expectation) -> Result<Payload, Stop> {
    let function = Function::named("xtf_known", code::return_u32(2)).old_size(old_size);
    let function = Function { expectation, ..function };
    Ok(payload(context, "above")?.depends("below").function(function))
}

/// What APPLY answers to the payload; the version tells whether it did anything, and a refusal
/// leaves state and rc alone.
fn answers(context: &Context, payload: &Payload, answer: impl Into<Answer>) -> Outcome {
    let answer = answer.into();
    let below = load(context, "below", &below(context)?)?;
    apply(&below)?;
    let above = load(context, "above", payload)?;
    version_is("before", 1)?;
    if answer == Answer::SUCCESS {
        apply(&above)?;
        version_is("patched", 2)?;
        revert(&above)?;
    } else {
        above.action(ActionCmd::Apply).must_be(answer)?;
        above.must_be(State::Checked, Answer::SUCCESS)?;
    }
    version_is("after", 1)
}

fn with_bytes(context: &Context, bytes: &[u8], answer: impl Into<Answer>) -> Outcome {
    answers(context, &above(context, 32, Expectation::of(bytes))?, answer)
}

pub fn right_bytes(context: &Context) -> Outcome {
    for length in [1, 5, 16, 30, 31] {
        with_bytes(context, &known()[..length], Answer::SUCCESS)
            .map_err(|stop| stop.at(format_args!("{length} bytes")))?;
    }
    Ok(())
}

pub fn wrong_first_byte(context: &Context) -> Outcome {
    for length in [1, 31] {
        let mut bytes = known();
        bytes[0] ^= 1;
        with_bytes(context, &bytes[..length], Errno::EINVAL)?;
    }
    Ok(())
}

pub fn wrong_last_byte(context: &Context) -> Outcome {
    for length in [2, 5, 31] {
        let mut bytes = known();
        bytes[length - 1] ^= 0x80;
        with_bytes(context, &bytes[..length], Errno::EINVAL)
            .map_err(|stop| stop.at(format_args!("{length} bytes")))?;
    }
    Ok(())
}

pub fn past_the_length(context: &Context) -> Outcome {
    let expectation = Expectation {
        head: Expectation::head(true, 4, 0),
        ..Expectation::of(&[&known()[..4], &[0xff; 27]].concat())
    };
    answers(context, &above(context, 32, expectation)?, Answer::SUCCESS)
}

pub fn length_0(context: &Context) -> Outcome {
    let expectation = Expectation { head: Expectation::head(true, 0, 0), data: [0xff; 31] };
    answers(context, &above(context, 32, expectation)?, Answer::SUCCESS)
}

pub fn above_old_size(context: &Context) -> Outcome {
    let expectation = Expectation::of(&known()[..10]);
    answers(context, &above(context, 9, expectation)?, Errno::ERANGE)?;
    // The size comes before the bytes.
    let wrong = Expectation::of(&[0xff; 31]);
    answers(context, &above(context, 30, wrong)?, Errno::ERANGE)
}

pub fn length_of_old_size(context: &Context) -> Outcome {
    for length in [5, 31] {
        let expectation = Expectation::of(&known()[..length]);
        answers(context, &above(context, length as u32, expectation)?, Answer::SUCCESS)?;
    }
    Ok(())
}

/// They come before everything else about an expectation.
pub fn reserved_bits(context: &Context) -> Outcome {
    for reserved in [1, 2, 3] {
        let right = Expectation::of(&known()[..5]);
        let head = Expectation::head(true, 5, reserved);
        let expectation = Expectation { head, ..right };
        answers(context, &above(context, 32, expectation)?, Errno::EINVAL)?;
        let too_long = Expectation { head: Expectation::head(true, 31, reserved), ..right };
        answers(context, &above(context, 5, too_long)?, Errno::EINVAL)?;
    }
    Ok(())
}

/// Whatever else is in them.
pub fn disabled(context: &Context) -> Outcome {
    for (length, reserved) in [(5, 0), (31, 0), (0, 3), (31, 3)] {
        let head = Expectation::head(false, length, reserved);
        let expectation = Expectation { head, data: [0xff; 31] };
        answers(context, &above(context, 9, expectation)?, Answer::SUCCESS)?;
    }
    Ok(())
}

/// One that fails keeps all from being patched, wherever it is.
pub fn every_function(context: &Context) -> Outcome {
    let right = known();
    let wrong = [0xff; 5];
    for (first, second) in [(&right[..5], &wrong[..]), (&wrong[..], &right[..5])] {
        let below = load(context, "below", &two_known(context)?)?;
        apply(&below)?;
        let payload = payload(context, "above")?
            .depends("below")
            .function(Function::named("xtf_known", code::return_u32(2)).expecting(first))
            .function(Function::named("xtf_other", code::return_u32(2)).expecting(second));
        let above = load(context, "above", &payload)?;
        above.action(ActionCmd::Apply).must_be(Errno::EINVAL)?;
        above.must_be(State::Checked, Answer::SUCCESS)?;
        version_is("after the refusal", 0x1_0001)?;
    }
    Ok(())
}

fn two_known(context: &Context) -> Result<Payload, Stop> {
    context.needs(Change::Expectations)?;
    Ok(payload(context, "below")?
        .text("xtf_known", known())
        .export("xtf_known")
        .text("xtf_other", known())
        .export("xtf_other")
        .function(Function::named("xen_major_version", code::jump("xtf_other")))
        .function(Function::named("xen_minor_version", code::jump("xtf_known"))))
}

/// What is compared is Xen as it is patched now: the second payload on the same function must
/// expect the first one's jump, not the original.
pub fn sees_patches(context: &Context) -> Outcome {
    const JUMP: u8 = 0xe9;
    let below = load(context, "below", &below(context)?)?;
    let first = load(context, "first", &above(context, 32, Expectation::NONE)?)?;
    let on_top = |id: &str, expected: &[u8]| {
        Ok(payload(context, id)?
            .depends("above")
            .function(Function::named("xtf_known", code::return_u32(3)).expecting(expected)))
    };
    let original = load(context, "original", &on_top("original", &known()[..5])?)?;
    let jump = load(context, "jump", &on_top("jump", &[JUMP])?)?;
    apply(&below)?;
    apply(&first)?;
    original.action(ActionCmd::Apply).must_be(Errno::EINVAL)?;
    version_is("after the refusal", 2)?;
    apply(&jump)?;
    version_is("two patches of one function", 3)?;
    revert(&jump)?;
    version_is("one patch", 2)?;
    revert(&first)?;
    version_is("none", 1)
}

/// The beginning of a function that every build of Xen has: `mov eax, minor`, perhaps behind an
/// ENDBR64.
pub fn bytes_of_xen(context: &Context) -> Outcome {
    context.needs(Change::Expectations)?;
    let minor = u8::try_from(context.xen.release.minor).unwrap_or(u8::MAX);
    let mov = [0xb8, minor, 0, 0, 0];
    let endbr_mov = [&code::endbr64().bytes[..], &mov].concat();
    let original = packed_version();
    let mut applied = 0;
    for (id, bytes) in [("mov", &mov[..]), ("endbr", &endbr_mov[..])] {
        let function = Function::named("xen_minor_version", code::return_u32(0xfff));
        let patch = payload(context, id)?.function(function.expecting(bytes));
        let loaded = load(context, id, &patch)?;
        let answer = loaded.action(ActionCmd::Apply);
        if answer == Answer::SUCCESS {
            loaded.must_be(State::Applied, Answer::SUCCESS)?;
            applied += 1;
            version_is("patched", original & 0xffff_0000 | 0xfff)?;
            revert(&loaded)?;
        } else {
            answer.must_be(Errno::EINVAL)?;
        }
        version_is("after", original)?;
    }
    expect_that(applied == 1, "exactly one of two ways to begin the function")
}

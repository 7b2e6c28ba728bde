//! Functions replaced by nothing: NOPs over their first bytes.

use kernel::xen::Change;
use kernel::{Answer, Context, Errno, Outcome, Stop};
use livepatch::abi::ActionCmd;
use livepatch::payload::wire::R_X86_64_PC32;
use livepatch::payload::{Chunk, Function, Payload, Replacement, code};

use crate::support::{apply, load, packed_version, payload, revert, try_upload, version_is};

/// The most that Xen can save of what it overwrites.
const MOST: u32 = 31;

/// `lodsb`: one byte that adds 1 to rsi, so that what was executed can be counted.
const STEP: u8 = 0xac;

/// A payload with a function `xtf_steps` of 31 one-byte steps behind `head`; XENVER_version
/// returns how many of the steps were executed.
fn steps(context: &Context, head: Chunk) -> Result<Payload, Stop> {
    let lea = |opcode: [u8; 3]| {
        let [a, b, c] = opcode;
        Chunk::new([a, b, c, 0, 0, 0, 0]).reloc(3, R_X86_64_PC32, "buffer", -4)
    };
    let count = lea([0x48, 0x8d, 0x35]) // lea rsi, [rip+buffer]
        .then(code::call("xtf_steps"))
        .then(lea([0x48, 0x8d, 0x0d])) // lea rcx, [rip+buffer]
        .then(Chunk::new([0x89, 0xf0, 0x29, 0xc8])) // mov eax, esi; sub eax, ecx
        .then(code::ret());
    let steps = head.then(Chunk::new([STEP; MOST as usize])).then(code::ret());
    Ok(payload(context, "below")?
        .text("xtf_steps", steps)
        .export("xtf_steps")
        .rodata("buffer", [0; MOST as usize])
        .function(Function::named("xen_major_version", code::return_u32(0)))
        .function(Function::named("xen_minor_version", count)))
}

fn nop(context: &Context, bytes: u32, old_size: u32) -> Result<Payload, Stop> {
    let function = Function::named("xtf_steps", Replacement::Nop(bytes)).old_size(old_size);
    Ok(payload(context, "above")?.depends("below").function(function))
}

/// NOPs over so many bytes leave so many steps, and reverting them leaves all.
fn leaves(context: &Context, payload: &Payload, steps: u32) -> Outcome {
    let loaded = load(context, "above", payload)?;
    version_is("before", MOST)?;
    apply(&loaded)?;
    version_is("patched", steps)?;
    revert(&loaded)?;
    version_is("reverted", MOST)
}

pub fn every_length(context: &Context) -> Outcome {
    let below = load(context, "below", &steps(context, Chunk::default())?)?;
    apply(&below)?;
    (1..=MOST).try_for_each(|bytes| {
        leaves(context, &nop(context, bytes, MOST)?, MOST - bytes)
            .map_err(|stop| stop.at(format_args!("{bytes} bytes")))
    })
}

/// `new_size` counts from the beginning of the function, of which the ENDBR64 stays.
pub fn behind_an_endbr(context: &Context) -> Outcome {
    if !context.xen.has(Change::EndbrNop) {
        return Err(Stop::skip("overwrites an ENDBR64: see livepatch-history"));
    }
    let below = load(context, "below", &steps(context, code::endbr64())?)?;
    apply(&below)?;
    // The ENDBR64 itself has 4 bytes.
    (4..=MOST).try_for_each(|bytes| {
        leaves(context, &nop(context, bytes, MOST)?, MOST - (bytes - 4))
            .map_err(|stop| stop.at(format_args!("{bytes} bytes")))
    })
}

/// `old_size` has nothing to do with how much is overwritten.
pub fn shorter_than_the_function(context: &Context) -> Outcome {
    let below = load(context, "below", &steps(context, Chunk::default())?)?;
    apply(&below)?;
    leaves(context, &nop(context, 3, 3)?, MOST - 3)?;
    leaves(context, &nop(context, 3, 4096)?, MOST - 3)
}

pub fn size_0_changes_nothing(context: &Context) -> Outcome {
    let below = load(context, "below", &steps(context, Chunk::default())?)?;
    apply(&below)?;
    leaves(context, &nop(context, 0, MOST)?, MOST)
}

pub fn longer_than_the_function(context: &Context) -> Outcome {
    let _below = load(context, "below", &steps(context, Chunk::default())?)?;
    try_upload(context, "above", &nop(context, 9, 9)?.to_bytes()).must_be(Answer::SUCCESS)?;
    try_upload(context, "above", &nop(context, 10, 9)?.to_bytes()).must_be(Errno::EINVAL)?;
    try_upload(context, "above", &nop(context, 31, 1)?.to_bytes()).must_be(Errno::EINVAL)
}

/// The limit comes before the comparison with the function's size.
pub fn size_32(context: &Context) -> Outcome {
    let _below = load(context, "below", &steps(context, Chunk::default())?)?;
    for (bytes, old_size) in [(32, 64), (32, 16), (u32::MAX, u32::MAX)] {
        try_upload(context, "above", &nop(context, bytes, old_size)?.to_bytes())
            .must_be(Errno::EOPNOTSUPP)?;
    }
    Ok(())
}

/// Without its `mov eax, minor` Xen's own function returns whatever was in the register. The
/// expectation makes sure that it begins so; the result just must not be right.
pub fn a_function_of_xen(context: &Context) -> Outcome {
    context.needs(Change::Expectations)?;
    let original = packed_version();
    let minor = u8::try_from(context.xen.release.minor).unwrap_or(u8::MAX);
    let mov = [0xb8, minor, 0, 0, 0];
    let mut endbr_mov = code::endbr64().bytes;
    endbr_mov.extend(mov);
    for bytes in [&mov[..], &endbr_mov[..]] {
        let function = Function::named("xen_minor_version", Replacement::Nop(bytes.len() as u32))
            .old_size(bytes.len() as u32)
            .expecting(bytes);
        let loaded = load(context, "nop", &payload(context, "nop")?.function(function))?;
        if loaded.action(ActionCmd::Apply) == Answer::from(Errno::EINVAL) {
            version_is("after a failed expectation", original)?;
            continue;
        }
        kernel::expect_that(packed_version() != original, "another version than the real one")?;
        revert(&loaded)?;
        return version_is("reverted", original);
    }
    Err(Stop::error("xen_minor_version does not begin with a mov of the minor version"))
}

//! # livepatch-name
//!
//! How a payload's name is passed: its size, its padding, its terminator, its pointer.
//!
//! GET and ACTION read a name with `get_name` (xen/common/livepatch.c), whose errno they pass on.
//! UPLOAD uses the same function and turns every complaint of it into EINVAL (`verify_payload`).
//! So each refusal is claimed of all three, and each accepted oddity is taken through a payload's
//! life in the list: upload, GET, LIST, a second upload (EEXIST), unload.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use kernel::buffer::{Guarded, non_canonical_input, xen_range_input};
use kernel::{Answer, Case, Context, Errno, Need, Outcome, Stop, Test, expect};
use livepatch::abi::{Action, ActionCmd, Call, In, NAME_SIZE_MAX, Name, State, Upload};

use crate::support;

const NAME: &[u8] = b"missing\0";

/// The test.
pub const TEST: Test = Test {
    name: "livepatch-name",
    title: "Names of payloads: sizes, padding, terminators, pointers",
    needs: &[Need::Privileged, Need::Livepatch],
    cases: &[
        Case::new("size/0_is_einval", |c| refused(c, Name { size: 0, ..Name::new(NAME) })),
        Case::new("size/1_is_found", |c| lives(c, b"\0")),
        Case::new("size/2_is_found", |c| lives(c, b"x\0")),
        Case::new("size/127_is_found", |c| lives(c, &long_name(127))),
        Case::new("size/128_is_found", |c| lives(c, &long_name(NAME_SIZE_MAX))),
        Case::new("size/129_is_einval", |c| refused(c, Name::new(&long_name(129)))),
        Case::new("size/256_is_einval", |c| refused(c, Name::new(&long_name(256)))),
        Case::new("size/65535_is_einval", |c| refused(c, Name::new(&long_name(65535)))),
        Case::new("size/beyond_128_is_not_cut", |c| {
            // A terminator where a name of 128 bytes would have it does not help.
            let mut name = long_name(129);
            name[127] = 0;
            refused(c, Name::new(&name))
        }),
        Case::new("terminator/missing_is_einval", |c| refused(c, Name::new(b"missing"))),
        Case::new("terminator/missing_in_1_is_einval", |c| refused(c, Name::new(b"x"))),
        Case::new("terminator/missing_in_128_is_einval", |c| {
            refused(c, Name::new(&[b'x'; NAME_SIZE_MAX]))
        }),
        Case::new("terminator/must_be_the_last_byte", |c| refused(c, Name::new(b"mis\0sing"))),
        Case::new("terminator/embedded_cuts_the_name", embedded_nul_cuts),
        Case::new("bytes/not_ascii_is_found", |c| lives(c, "pätch-日本\0".as_bytes())),
        Case::new("bytes/not_utf8_is_found", |c| lives(c, b"\xff\x80\x01\x1b\n\0")),
        Case::new("bytes/case_matters", |c| differs(c, b"Patch\0", b"patch\0")),
        Case::new("bytes/a_prefix_is_another_name", |c| differs(c, b"patch-1\0", b"patch\0")),
        Case::new("bytes/a_longer_one_is_another_name", |c| differs(c, b"patch\0", b"patch-1\0")),
        Case::new("pad/each_bit_is_einval", each_pad_bit),
        Case::new("pad/all_bits_is_einval", |c| {
            refused(c, Name { pad: [u16::MAX; 3], ..Name::new(NAME) })
        }),
        Case::new("pointer/null_is_efault", |c| unreadable(c, In::NULL)),
        Case::new("pointer/non_canonical_is_efault", |c| unreadable(c, non_canonical_input())),
        Case::new("pointer/xen_range_is_efault", |c| unreadable(c, xen_range_input())),
        Case::new("pointer/unmapped_is_efault", |c| {
            unreadable(c, Guarded::new(NAME.len())?.into_unmapped()?.input())
        }),
        Case::new("pointer/straddling_the_end_is_efault", straddling),
        Case::new("pointer/up_to_the_end_is_read", |c| {
            let name = Guarded::from_bytes(NAME)?;
            not_found(c, Name { ptr: name.input(), ..Name::new(NAME) })
        }),
        Case::new("pointer/read_only_is_read", |c| {
            let name = Guarded::from_bytes(NAME)?.into_read_only()?;
            not_found(c, Name { ptr: name.input(), ..Name::new(NAME) })
        }),
    ],
    ..Test::DEFAULT
};

/// GET and every ACTION answer `errno`, UPLOAD answers EINVAL, and none leaves a trace.
fn all_refuse(context: &Context, name: Name<'_>, errno: Errno) -> Outcome {
    let livepatch = context.livepatch();
    let version = livepatch.version;
    livepatch.refuses(&Call::get(version, name), errno).map_err(|stop| stop.at("GET"))?;
    actions_refuse(context, name, errno)?;
    let payload = support::marker(context, "-name")?.to_bytes();
    livepatch
        .refuses(&Call::upload(version, Upload::new(name, &payload)), Errno::EINVAL)
        .map_err(|stop| stop.at("UPLOAD"))
}

fn actions_refuse(context: &Context, name: Name<'_>, errno: Errno) -> Outcome {
    let livepatch = context.livepatch();
    for cmd in [ActionCmd::Unload, ActionCmd::Revert, ActionCmd::Apply, ActionCmd::Replace] {
        livepatch
            .refuses(&Call::action(livepatch.version, Action::new(name, cmd)), errno)
            .map_err(|stop| stop.at(format_args!("ACTION {cmd:?}")))?;
    }
    Ok(())
}

fn refused(context: &Context, name: Name<'_>) -> Outcome {
    all_refuse(context, name, Errno::EINVAL)
}

fn unreadable(context: &Context, ptr: In<'_>) -> Outcome {
    all_refuse(context, Name { ptr, ..Name::new(NAME) }, Errno::EFAULT)
}

/// The name is well-formed, and no payload has it.
fn not_found(context: &Context, name: Name<'_>) -> Outcome {
    let livepatch = context.livepatch();
    livepatch.refuses(&Call::get(livepatch.version, name), Errno::ENOENT)?;
    actions_refuse(context, name, Errno::ENOENT)
}

/// A payload of this name (with its NUL) can be uploaded, found, listed and unloaded.
fn lives(context: &Context, name: &[u8]) -> Outcome {
    let livepatch = context.livepatch();
    not_found(context, Name::new(name))?;
    let payload = support::marker(context, "-name")?.to_bytes();
    let loaded = livepatch.load(name, &payload)?;
    loaded.must_be(State::Checked, Answer::SUCCESS)?;
    let listed = livepatch.list()?;
    expect("listed names", listed.iter().map(|entry| &*entry.name).collect(), alloc::vec![name])?;
    let again = Upload::new(Name::new(name), &payload);
    livepatch.refuses(&Call::upload(livepatch.version, again), Errno::EEXIST)?;
    loaded.action(ActionCmd::Unload).must_be(Answer::SUCCESS)?;
    not_found(context, Name::new(name))
}

/// While a payload named `loaded` is there, none is found as `other`.
fn differs(context: &Context, loaded: &[u8], other: &[u8]) -> Outcome {
    let payload = support::marker(context, "-name")?.to_bytes();
    let loaded = context.livepatch().load(loaded, &payload)?;
    not_found(context, Name::new(other))?;
    loaded.must_be(State::Checked, Answer::SUCCESS)
}

fn embedded_nul_cuts(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    let payload = support::marker(context, "-name")?.to_bytes();
    let loaded = livepatch.load(b"cut\0here\0", &payload)?;
    let listed = livepatch.list()?;
    expect("listed name", listed.first().map(|entry| &*entry.name), Some(&b"cut\0"[..]))?;
    for alias in [&b"cut\0"[..], b"cut\0\0", b"cut\0elsewhere\0"] {
        let status = livepatch.get(alias);
        expect("GET by an alias", status.map(|status| status.state.into()), Ok(State::Checked))?;
        livepatch.upload(alias, &payload).must_be(Errno::EEXIST)?;
    }
    not_found(context, Name::new(b"here\0"))?;
    loaded.action(ActionCmd::Unload).must_be(Answer::SUCCESS)
}

fn each_pad_bit(context: &Context) -> Outcome {
    for word in 0..3 {
        for bit in [0, 7, 8, 15] {
            let mut pad = [0; 3];
            pad[word] = 1 << bit;
            refused(context, Name { pad, ..Name::new(NAME) })
                .map_err(|stop| stop.at(format_args!("pad[{word}] bit {bit}")))?;
        }
    }
    Ok(())
}

fn straddling(context: &Context) -> Outcome {
    let name = Guarded::from_bytes(b"missing")?;
    let size = u16::try_from(name.bytes().len() + 1).map_err(Stop::error)?;
    all_refuse(context, Name { ptr: name.input(), size, pad: [0; 3] }, Errno::EFAULT)
}

fn long_name(size: usize) -> Vec<u8> {
    let mut name = alloc::vec![b'x'; size];
    name[size - 1] = 0;
    name
}

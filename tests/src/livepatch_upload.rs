//! # livepatch-upload
//!
//! UPLOAD up to the point where Xen has the payload's bytes: their number, their place, and
//! whether the name or the build-id is taken. What is wrong inside the bytes is livepatch-elf's.
//!
//! Where the checks are: `verify_payload` and `livepatch_upload` (xen/common/livepatch.c).
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use kernel::buffer::{Guarded, non_canonical_input, xen_range_input};
use kernel::{Answer, Case, Context, Errno, Need, Outcome, Stop, Test, expect};
use livepatch::abi::{Call, In, Name, PAYLOAD_SIZE_MAX, State, Upload};

use crate::support;

const NAME: &[u8] = b"upload\0";
const ELF_HEADER: u64 = 64;

/// The test.
pub const TEST: Test = Test {
    name: "livepatch-upload",
    title: "UPLOAD: sizes, pointers, duplicates",
    needs: &[Need::Privileged, Need::Livepatch],
    cases: &[
        Case::new("size/0_is_einval", |c| sized(c, |_| 0)),
        Case::new("size/1_is_einval", |c| sized(c, |_| 1)),
        Case::new("size/below_an_elf_header_is_einval", |c| sized(c, |_| ELF_HEADER - 1)),
        Case::new("size/of_an_elf_header_alone_is_einval", |c| sized(c, |_| ELF_HEADER)),
        Case::new("size/without_the_last_byte_is_einval", |c| sized(c, |whole| whole - 1)),
        Case::new("size/2_mib_is_accepted", |c| padded(c, PAYLOAD_SIZE_MAX)),
        Case::new("size/2_mib_and_1_is_einval", above_the_limit),
        // A size that only looks right in its low half.
        Case::new("size/4_gib_more_is_einval", |c| sized(c, |whole| whole + (1 << 32))),
        Case::new("size/2_to_the_32_is_einval", |c| sized(c, |_| 1 << 32)),
        Case::new("size/2_to_the_63_is_einval", |c| sized(c, |_| 1 << 63)),
        Case::new("size/max_is_einval", |c| sized(c, |_| u64::MAX)),
        Case::new("pointer/null_is_efault", |c| unreadable(c, In::NULL)),
        Case::new("pointer/non_canonical_is_efault", |c| unreadable(c, non_canonical_input())),
        Case::new("pointer/xen_range_is_efault", |c| unreadable(c, xen_range_input())),
        Case::new("pointer/unmapped_is_efault", |c| {
            unreadable(c, Guarded::new(ELF_HEADER as usize)?.into_unmapped()?.input())
        }),
        Case::new("pointer/straddling_the_end_is_efault", straddling),
        Case::new("pointer/up_to_the_end_is_read", |c| {
            let payload = Guarded::from_bytes(&payload(c)?)?;
            accepted(c, payload.input(), payload.bytes().len())
        }),
        Case::new("pointer/read_only_is_read", |c| {
            let payload = Guarded::from_bytes(&payload(c)?)?.into_read_only()?;
            accepted(c, payload.input(), payload.bytes().len())
        }),
        Case::new("pointer/unaligned_is_read", |c| {
            let mut shifted = alloc::vec![0u8];
            shifted.extend(payload(c)?);
            accepted(c, In::from_slice(&shifted[1..]), shifted.len() - 1)
        }),
        Case::new("contents/trailing_junk_is_ignored", |c| padded(c, payload(c)?.len() + 5)),
        Case::new("contents/text_is_einval", |c| {
            let text = b"This is a text of more than sixty-four bytes, which no ELF file is.";
            refused(c, Upload::new(Name::new(NAME), text), Errno::EINVAL)
        }),
        Case::new("contents/zeros_is_einval", |c| {
            refused(c, Upload::new(Name::new(NAME), &[0; 4096]), Errno::EINVAL)
        }),
        Case::new("contents/an_empty_section_is_found_before_a_bad_function", |c| {
            both_faults(c, 0, Errno::EINVAL)
        }),
        Case::new("contents/a_section_of_1_byte_is_not_empty", |c| {
            both_faults(c, 1, Errno::EOPNOTSUPP)
        }),
        Case::new("success/is_checked_at_the_tail", success),
        Case::new("success/leaves_the_caller_alone", leaves_the_caller_alone),
        Case::new("duplicate/name_is_eexist", |c| duplicate(c, NAME, "-other")),
        Case::new("duplicate/build_id_is_eexist", |c| duplicate(c, b"other\0", "-upload")),
        Case::new("duplicate/every_loaded_name_is_eexist", every_loaded_name),
        Case::new("duplicate/nothing_once_it_is_gone", gone),
    ],
    ..Test::DEFAULT
};

fn payload(context: &Context) -> Result<Vec<u8>, Stop> {
    Ok(support::marker(context, "-upload")?.to_bytes())
}

fn refused(context: &Context, upload: Upload<'_>, errno: Errno) -> Outcome {
    let livepatch = context.livepatch();
    livepatch.refuses(&Call::upload(livepatch.version, upload), errno)
}

/// A good payload, whose stated size is computed from the real one, is EINVAL.
fn sized(context: &Context, size: fn(u64) -> u64) -> Outcome {
    let payload = payload(context)?;
    let upload = Upload::new(Name::new(NAME), &payload);
    refused(context, Upload { size: size(upload.size), ..upload }, Errno::EINVAL)
}

/// A good payload with zeros behind it, `size` bytes in all, is accepted.
fn padded(context: &Context, size: usize) -> Outcome {
    let mut payload = payload(context)?;
    payload.resize(size, 0);
    accepted(context, In::from_slice(&payload), size)
}

fn above_the_limit(context: &Context) -> Outcome {
    let mut payload = payload(context)?;
    payload.resize(PAYLOAD_SIZE_MAX + 1, 0);
    refused(context, Upload::new(Name::new(NAME), &payload), Errno::EINVAL)
}

fn unreadable(context: &Context, payload: In<'_>) -> Outcome {
    let upload = Upload { name: Name::new(NAME), size: ELF_HEADER, payload };
    refused(context, upload, Errno::EFAULT)
}

fn straddling(context: &Context) -> Outcome {
    let payload = Guarded::from_bytes(&payload(context)?)?;
    let size = payload.bytes().len() as u64 + 1;
    let upload = Upload { name: Name::new(NAME), size, payload: payload.input() };
    refused(context, upload, Errno::EFAULT)
}

fn accepted(context: &Context, payload: In<'_>, size: usize) -> Outcome {
    let livepatch = context.livepatch();
    let upload = Upload { name: Name::new(NAME), size: size as u64, payload };
    livepatch.call(&Call::upload(livepatch.version, upload)).must_be(Answer::SUCCESS)?;
    let listed = livepatch.remove_all()?;
    expect("payloads afterwards", listed, alloc::vec!["upload".into()])
}

/// With `.livepatch.depends` of `size` bytes, and a function of an unknown version. No section that
/// must be there may be empty (`check_special_sections`). Functions come after that, and what is
/// in the section, which one byte is too short for, after them (`prepare_payload`).
fn both_faults(context: &Context, size: u64, errno: Errno) -> Outcome {
    let mut elf = support::marker(context, "-upload")?.elf();
    elf.section_mut(".livepatch.depends").shdr.sh_size = size;
    elf.funcs_mut()[0].version = 0;
    refused(context, Upload::new(Name::new(NAME), &elf.to_bytes()), errno)
}

fn success(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    let before = livepatch.totals()?;
    let payload = |marker| Ok::<_, Stop>(support::marker(context, marker)?.to_bytes());
    let first = livepatch.load(b"z-first\0", &payload("-first")?)?;
    let second = livepatch.load(b"a-second\0", &payload("-second")?)?;
    for loaded in [&first, &second] {
        loaded.must_be(State::Checked, Answer::SUCCESS)?;
    }
    let after = livepatch.totals()?;
    expect("payloads", after.nr, 2)?;
    expect("version stamp", after.version, before.version + 2)?;
    let names: Vec<_> = livepatch.list()?.into_iter().map(|entry| entry.name).collect();
    expect("order", names, alloc::vec![b"z-first\0".to_vec(), b"a-second\0".to_vec()])
}

fn leaves_the_caller_alone(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    let original = payload(context)?;
    let payload = original.clone();
    let call = Call::upload(livepatch.version, Upload::new(Name::new(NAME), &payload));
    let reply = livepatch.perform(&call);
    reply.answer.must_be(Answer::SUCCESS)?;
    livepatch.remove_all()?;
    expect("structure", reply.after.bytes(), reply.before.bytes())?;
    expect("payload's bytes are the same", payload == original, true)
}

/// While a payload `upload` of build-id `-upload` is there, this one is EEXIST.
fn duplicate(context: &Context, name: &[u8], build_id: &str) -> Outcome {
    let _loaded = context.livepatch().load(NAME, &payload(context)?)?;
    let other = support::marker(context, build_id)?.to_bytes();
    refused(context, Upload::new(Name::new(name), &other), Errno::EEXIST)
}

fn every_loaded_name(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    let names: [&[u8]; 3] = [b"first\0", b"second\0", b"third\0"];
    let markers = ["-first", "-second", "-third"];
    let _loaded = names
        .into_iter()
        .zip(markers)
        .map(|(name, marker)| livepatch.load(name, &support::marker(context, marker)?.to_bytes()))
        .collect::<Result<Vec<_>, _>>()?;
    let new = support::marker(context, "-new")?.to_bytes();
    for name in names {
        refused(context, Upload::new(Name::new(name), &new), Errno::EEXIST)?;
    }
    Ok(())
}

fn gone(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    for _ in 0..3 {
        drop(livepatch.load(NAME, &payload(context)?)?);
    }
    expect("payloads", livepatch.totals()?.nr, 0)
}

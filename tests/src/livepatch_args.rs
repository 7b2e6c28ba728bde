//! # livepatch-args
//!
//! The outside of the livepatch sysctl: the structure's place, the interface version, the
//! padding or flags, the sub-op's number. Each sub-op's own arguments have a suite of their own.
//!
//! Where the checks are: `do_sysctl` (xen/common/sysctl.c) and the head of `livepatch_op`
//! (xen/common/livepatch.c).
#![forbid(unsafe_code)]

use kernel::livepatch::Place;
use kernel::xen::Change;
use kernel::{Answer, Case, Context, Errno, Need, Outcome, Test, expect};
use livepatch::abi::{
    Action, ActionCmd, Call, LIVEPATCH_FIRST_UNKNOWN, List, Name, OP_FLAG_FORCE, SysctlVersion,
    Upload,
};

use crate::support;

const NAME: &[u8] = b"args\0";

/// The test.
pub const TEST: Test = Test {
    name: "livepatch-args",
    title: "The livepatch sysctl: structure, version, flags, sub-op",
    needs: &[Need::Privileged, Need::Livepatch],
    cases: &[
        Case::new("structure/null_is_efault", |c| placed(c, Place::Null, Errno::EFAULT)),
        Case::new("structure/non_canonical_is_efault", |c| {
            placed(c, Place::NonCanonical, Errno::EFAULT)
        }),
        Case::new("structure/xen_range_is_efault", |c| placed(c, Place::XenRange, Errno::EFAULT)),
        Case::new("structure/unmapped_is_efault", |c| placed(c, Place::Unmapped, Errno::EFAULT)),
        Case::new("structure/one_byte_short_is_efault", |c| {
            placed(c, Place::OneByteShort, Errno::EFAULT)
        }),
        Case::new("structure/up_to_the_end_is_read", |c| {
            placed(c, Place::UpToTheEnd, Errno::ENOENT)
        }),
        Case::new("structure/read_only_is_efault", |c| placed(c, Place::ReadOnly, Errno::EFAULT)),
        Case::new("structure/read_only_upload_is_done_all_the_same", read_only_upload),
        Case::new("structure/read_only_unload_is_done_all_the_same", read_only_unload),
        Case::new("structure/is_not_written_for_an_unknown_sub_op", read_only_unknown),
        Case::new("version/every_other_is_eacces", every_other_version),
        Case::new("version/wrong_is_eacces_for_every_sub_op", wrong_version_for_every_sub_op),
        Case::new("sub_op/first_unknown_is_eopnotsupp", |c| unknown(c, LIVEPATCH_FIRST_UNKNOWN)),
        Case::new("sub_op/99_is_eopnotsupp", |c| unknown(c, 99)),
        Case::new("sub_op/2_to_the_31_is_eopnotsupp", |c| unknown(c, 1 << 31)),
        Case::new("sub_op/max_is_eopnotsupp", |c| unknown(c, u32::MAX)),
        // Padding before 62a72092a5; flags since, of which bit 0 (FORCE) is known.
        Case::new("flags/each_bit_above_0_is_einval", each_flag),
        Case::new("flags/force_is_padding_before_62a72092a5", |c| force(c, OP_FLAG_FORCE)),
        Case::new("flags/with_force_the_others_do_not_matter", |c| force(c, u32::MAX)),
        Case::new("flags/all_but_force_is_einval", |c| {
            flagged(c, u32::MAX - OP_FLAG_FORCE, Errno::EINVAL)
        }),
        Case::new("flags/are_looked_at_for_every_sub_op", flags_for_every_sub_op),
        Case::new("flags/force_changes_no_answer", force_changes_no_answer),
    ],
    ..Test::DEFAULT
};

/// A GET that is right in every respect, of a payload that is not there.
fn get(context: &Context) -> Call<'static> {
    Call::get(context.livepatch().version, Name::new(NAME))
}

/// One call of each sub-op, with the answer that it gets when nothing else is wrong with it.
fn every_sub_op(context: &Context) -> [(Call<'static>, Answer); 4] {
    let version = context.livepatch().version;
    let name = Name::new(NAME);
    [
        (Call::upload(version, Upload::new(name, &[])), Errno::EINVAL.into()),
        (get(context), Errno::ENOENT.into()),
        (Call::list(version, List::EMPTY), Answer::SUCCESS),
        (Call::action(version, Action::new(name, ActionCmd::Apply)), Errno::ENOENT.into()),
    ]
}

fn placed(context: &Context, place: Place, errno: Errno) -> Outcome {
    let livepatch = context.livepatch();
    let before = livepatch.payload_list()?;
    livepatch.perform_at(place, &get(context))?.must_be(errno)?;
    expect("payloads", livepatch.payload_list()?, before)
}

fn read_only_upload(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    let payload = support::marker(context, "-args")?.to_bytes();
    let call = Call::upload(livepatch.version, Upload::new(Name::new(NAME), &payload));
    // Again and again: the write-back's failure masks even that the name is taken by now.
    for _ in 0..2 {
        livepatch.perform_at(Place::ReadOnly, &call)?.must_be(Errno::EFAULT)?;
        expect("payloads", livepatch.totals()?.nr, 1)?;
    }
    livepatch.remove_all().map(drop)
}

fn read_only_unload(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    let payload = support::marker(context, "-args")?.to_bytes();
    let loaded = livepatch.load(NAME, &payload)?;
    let action = Action::new(Name::new(loaded.name()), ActionCmd::Unload);
    let call = Call::action(livepatch.version, action);
    livepatch.perform_at(Place::ReadOnly, &call)?.must_be(Errno::EFAULT)?;
    expect("payloads", livepatch.totals()?.nr, 0)
}

fn read_only_unknown(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    let call = Call::bare(livepatch.version, LIVEPATCH_FIRST_UNKNOWN);
    livepatch.perform_at(Place::ReadOnly, &call)?.must_be(Errno::EOPNOTSUPP)
}

fn every_other_version(context: &Context) -> Outcome {
    let ours = context.livepatch().version.0;
    let others = (0..0x40).chain([ours | 0x100, ours | 1 << 31, u32::MAX]);
    for interface_version in others.filter(|&other| other != ours) {
        let call = Call { interface_version, ..get(context) };
        context
            .livepatch()
            .refuses(&call, Errno::EACCES)
            .map_err(|stop| stop.at(SysctlVersion(interface_version)))?;
    }
    Ok(())
}

fn wrong_version_for_every_sub_op(context: &Context) -> Outcome {
    for (call, _) in every_sub_op(context) {
        let call = Call { interface_version: context.livepatch().version.0 ^ 1, ..call };
        context
            .livepatch()
            .refuses(&call, Errno::EACCES)
            .map_err(|stop| stop.at(format_args!("sub-op {}", call.sub_op)))?;
    }
    Ok(())
}

fn unknown(context: &Context, sub_op: u32) -> Outcome {
    let livepatch = context.livepatch();
    livepatch.refuses(&Call::bare(livepatch.version, sub_op), Errno::EOPNOTSUPP)
}

fn flagged(context: &Context, flags: u32, errno: Errno) -> Outcome {
    context
        .livepatch()
        .refuses(&Call { flags, ..get(context) }, errno)
        .map_err(|stop| stop.at(format_args!("flags {flags:#x}")))
}

fn each_flag(context: &Context) -> Outcome {
    (1..32).try_for_each(|bit| flagged(context, 1 << bit, Errno::EINVAL))
}

fn flags_are_padding(context: &Context) -> bool {
    !context.xen.has(Change::OpFlags)
}

fn force(context: &Context, flags: u32) -> Outcome {
    let errno = if flags_are_padding(context) { Errno::EINVAL } else { Errno::ENOENT };
    flagged(context, flags, errno)
}

fn flags_for_every_sub_op(context: &Context) -> Outcome {
    for (call, _) in every_sub_op(context) {
        let call = Call { flags: 2, ..call };
        context
            .livepatch()
            .refuses(&call, Errno::EINVAL)
            .map_err(|stop| stop.at(format_args!("sub-op {}", call.sub_op)))?;
    }
    Ok(())
}

fn force_changes_no_answer(context: &Context) -> Outcome {
    for (call, answer) in every_sub_op(context) {
        let call = Call { flags: OP_FLAG_FORCE, ..call };
        let answer = if flags_are_padding(context) { Errno::EINVAL.into() } else { answer };
        context
            .livepatch()
            .call(&call)
            .must_be(answer)
            .map_err(|stop| stop.at(format_args!("sub-op {}", call.sub_op)))?;
    }
    Ok(())
}

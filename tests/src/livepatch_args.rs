//! # livepatch-args
//!
//! Calls of the livepatch sysctl that Xen refuses before it would look at a payload: each is
//! answered with its errno, and leaves the structure, the payloads and the version stamp alone.
//!
//! Where the checks are: `do_sysctl` (xen/common/sysctl.c), `livepatch_op`, `get_name`,
//! `verify_payload`, `livepatch_list`, `livepatch_action` (xen/common/livepatch.c).
#![forbid(unsafe_code)]

use kernel::buffer::{non_canonical_input, xen_range_input};
use kernel::hypercall::sysctl::{Unreadable, sysctl_at};
use kernel::xen::release;
use kernel::{Answer, Case, Context, Errno, Need, Outcome, Test, expect};
use livepatch::abi::{
    Action, ActionCmd, Call, In, LIVEPATCH_FIRST_UNKNOWN, List, Name, PAYLOAD_SIZE_MAX,
    SysctlVersion, Upload,
};

const MISSING: &[u8] = b"missing\0";
const NOT_ELF: &[u8] = b"This is a text of more than sixty-four bytes, which no ELF file is.";

/// The test.
pub const TEST: Test = Test {
    name: "livepatch-args",
    title: "The livepatch sysctl refuses malformed calls",
    needs: &[Need::Privileged, Need::Livepatch],
    cases: &[
        Case::new("sysctl/unreadable_is_efault", |_| {
            sysctl_at(Unreadable::NULL).must_be(Errno::EFAULT)?;
            sysctl_at(Unreadable::NON_CANONICAL).must_be(Errno::EFAULT)
        }),
        Case::new("sysctl/older_interface_version_is_eacces", |c| other_version(c, -1)),
        Case::new("sysctl/newer_interface_version_is_eacces", |c| other_version(c, 1)),
        Case::new("op/unknown_sub_op_is_eopnotsupp", |c| {
            let livepatch = c.livepatch();
            [LIVEPATCH_FIRST_UNKNOWN, u32::MAX].into_iter().try_for_each(|sub_op| {
                livepatch.refuses(&Call::bare(livepatch.version, sub_op), Errno::EOPNOTSUPP)
            })
        }),
        Case::new("op/pad_bit_1_is_einval", |c| {
            let call = Call { flags: 2, ..get(c, Name::new(MISSING)) };
            c.livepatch().refuses(&call, Errno::EINVAL)
        }),
        // Bit 0 was padding until it became LIVEPATCH_FLAG_FORCE.
        Case::new("op/pad_bit_0_is_einval_until_4.18", |c| {
            let call = Call { flags: 1, ..get(c, Name::new(MISSING)) };
            let errno = if c.xen.release < release(4, 19) { Errno::EINVAL } else { Errno::ENOENT };
            c.livepatch().refuses(&call, errno)
        }),
        Case::new("list/nr_0_counts", list_nr_0_counts),
        Case::new("list/nr_1025_is_e2big", |c| {
            list(c, List { nr: 1025, ..List::EMPTY }, Errno::E2BIG)
        }),
        Case::new("list/nr_max_is_e2big", |c| {
            list(c, List { nr: u32::MAX, ..List::EMPTY }, Errno::E2BIG)
        }),
        Case::new("list/pad_is_einval", |c| list(c, List { pad: 1, ..List::EMPTY }, Errno::EINVAL)),
        Case::new("get/missing_is_enoent", |c| get_name(c, Name::new(MISSING), Errno::ENOENT)),
        Case::new("get/name_size_0_is_einval", |c| {
            get_name(c, Name { size: 0, ..Name::new(MISSING) }, Errno::EINVAL)
        }),
        Case::new("get/name_size_128_is_enoent", |c| {
            get_name(c, Name::new(&long_name::<128>()), Errno::ENOENT)
        }),
        Case::new("get/name_size_129_is_einval", |c| {
            get_name(c, Name::new(&long_name::<129>()), Errno::EINVAL)
        }),
        Case::new("get/name_unterminated_is_einval", |c| {
            get_name(c, Name::new(b"missing"), Errno::EINVAL)
        }),
        Case::new("get/name_pad_is_einval", |c| {
            [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
                .into_iter()
                .try_for_each(|pad| get_name(c, Name { pad, ..Name::new(MISSING) }, Errno::EINVAL))
        }),
        Case::new("get/name_pointer_is_efault", |c| {
            [In::NULL, non_canonical_input(), xen_range_input()]
                .into_iter()
                .try_for_each(|ptr| get_name(c, Name { ptr, ..Name::new(MISSING) }, Errno::EFAULT))
        }),
        Case::new("upload/size_0_is_einval", |c| upload(c, &[], Errno::EINVAL)),
        Case::new("upload/above_2_mib_is_einval", |c| {
            upload(c, &alloc::vec![0; PAYLOAD_SIZE_MAX + 1], Errno::EINVAL)
        }),
        Case::new("upload/text_is_einval", |c| upload(c, NOT_ELF, Errno::EINVAL)),
        Case::new("action/missing_is_enoent", |c| {
            [ActionCmd::Unload, ActionCmd::Revert, ActionCmd::Apply, ActionCmd::Replace]
                .into_iter()
                .try_for_each(|cmd| {
                    let action = Action::new(Name::new(MISSING), cmd);
                    let livepatch = c.livepatch();
                    livepatch
                        .refuses(&Call::action(livepatch.version, action), Errno::ENOENT)
                        .map_err(|stop| stop.at(format_args!("{cmd:?}")))
                })
        }),
    ],
    ..Test::DEFAULT
};

fn get<'a>(context: &Context, name: Name<'a>) -> Call<'a> {
    Call::get(context.livepatch().version, name)
}

fn get_name(context: &Context, name: Name<'_>, errno: Errno) -> Outcome {
    context.livepatch().refuses(&get(context, name), errno)
}

fn list(context: &Context, list: List<'_>, errno: Errno) -> Outcome {
    context.livepatch().refuses(&Call::list(context.livepatch().version, list), errno)
}

fn upload(context: &Context, payload: &[u8], errno: Errno) -> Outcome {
    let upload = Upload::new(Name::new(b"payload\0"), payload);
    context.livepatch().refuses(&Call::upload(context.livepatch().version, upload), errno)
}

fn other_version(context: &Context, distance: i32) -> Outcome {
    let other = SysctlVersion(context.livepatch().version.0.wrapping_add_signed(distance));
    let call = Call { interface_version: other.0, ..get(context, Name::new(MISSING)) };
    context.livepatch().refuses(&call, Errno::EACCES)
}

fn list_nr_0_counts(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    let reply = livepatch.perform(&Call::list(livepatch.version, List::EMPTY));
    reply.answer.must_be(Answer::SUCCESS)?;
    expect("remaining payloads", reply.after.list(livepatch.revision).nr, 0)
}

fn long_name<const SIZE: usize>() -> [u8; SIZE] {
    let mut name = [b'x'; SIZE];
    name[SIZE - 1] = 0;
    name
}

//! # livepatch-order
//!
//! When two things are wrong with a call, which refusal wins: the order of Xen's checks, from the
//! outside in. Only pairs whose errnos differ say anything, so only those are here.
//!
//! Where the order is: `do_sysctl` (xen/common/sysctl.c), then `livepatch_op`, `get_name`,
//! `verify_payload`, `livepatch_upload`, `livepatch_list`, `livepatch_action`
//! (xen/common/livepatch.c).
#![forbid(unsafe_code)]

use kernel::buffer::{Guarded, non_canonical_input, non_canonical_output};
use kernel::livepatch::Place;
use kernel::{Answer, Case, Context, Errno, Need, Outcome, Test};
use livepatch::abi::{
    Action, ActionCmd, Call, In, LIST_NR_MAX, LIVEPATCH_FIRST_UNKNOWN, List, Name, Upload,
};

use crate::support;

const MISSING: &[u8] = b"missing\0";
const LOADED: &[u8] = b"order\0";
/// A name that is refused for its size.
const EMPTY_NAME: Name<'static> = Name { ptr: In::NULL, size: 0, pad: [0; 3] };

/// The test.
pub const TEST: Test = Test {
    name: "livepatch-order",
    title: "Which refusal wins when two things are wrong",
    needs: &[Need::Privileged, Need::Livepatch],
    cases: &[
        Case::new("structure/before_the_version", |c| {
            let call = Call { interface_version: 0, ..get(c, Name::new(MISSING)) };
            c.livepatch().perform_at(Place::OneByteShort, &call)?.must_be(Errno::EFAULT)
        }),
        Case::new("version/before_the_flags", |c| {
            let call = Call { interface_version: 0, flags: 2, ..get(c, Name::new(MISSING)) };
            refused(c, &call, Errno::EACCES)
        }),
        Case::new("version/before_the_sub_op", |c| {
            let call = Call { interface_version: 0, ..unknown(c) };
            refused(c, &call, Errno::EACCES)
        }),
        Case::new("version/before_the_write_back", |c| {
            let call = Call { interface_version: 0, ..get(c, Name::new(MISSING)) };
            c.livepatch().perform_at(Place::ReadOnly, &call)?.must_be(Errno::EACCES)
        }),
        Case::new("flags/before_the_sub_op", |c| {
            refused(c, &Call { flags: 2, ..unknown(c) }, Errno::EINVAL)
        }),
        Case::new("flags/before_the_name", |c| {
            let unreadable = Name { ptr: In::NULL, ..Name::new(MISSING) };
            refused(c, &Call { flags: 2, ..get(c, unreadable) }, Errno::EINVAL)
        }),
        Case::new("flags/before_the_nr", |c| {
            let call = list(c, List { nr: LIST_NR_MAX + 1, ..List::EMPTY });
            refused(c, &Call { flags: 2, ..call }, Errno::EINVAL)
        }),
        Case::new("write_back/after_everything_else", |c| {
            let call = list(c, List { nr: LIST_NR_MAX + 1, ..List::EMPTY });
            c.livepatch().perform_at(Place::ReadOnly, &call)?.must_be(Errno::EFAULT)
        }),
        Case::new("name/size_before_the_pointer", |c| {
            let name = Name { ptr: In::NULL, size: 0, pad: [0; 3] };
            refused(c, &get(c, name), Errno::EINVAL)
        }),
        Case::new("name/pad_before_the_pointer", |c| {
            let name = Name { ptr: In::NULL, pad: [0, 0, 1], ..Name::new(MISSING) };
            refused(c, &get(c, name), Errno::EINVAL)
        }),
        Case::new("name/pointer_before_the_terminator", |c| {
            // Unreadable to the end, of which what can be read is not terminated either.
            let name = Guarded::from_bytes(b"half of")?;
            let name = Name { ptr: name.input(), size: 8, pad: [0; 3] };
            refused(c, &get(c, name), Errno::EFAULT)
        }),
        Case::new("list/nr_before_the_pad", |c| {
            let call = list(c, List { nr: LIST_NR_MAX + 1, pad: 1, ..List::EMPTY });
            refused(c, &call, Errno::E2BIG)
        }),
        Case::new("list/nr_before_the_idx", |c| {
            let _loaded = load(c)?;
            let call = list(c, List { nr: LIST_NR_MAX + 1, idx: 7, ..List::EMPTY });
            refused(c, &call, Errno::E2BIG)
        }),
        Case::new("list/nr_before_the_buffers", |c| {
            let call = list(
                c,
                List { nr: LIST_NR_MAX + 1, status: non_canonical_output(), ..List::EMPTY },
            );
            refused(c, &call, Errno::E2BIG)
        }),
        Case::new("list/idx_before_unmapped_buffers", |c| {
            let _loaded = load(c)?;
            refused(c, &list(c, List { nr: 1, idx: 1, ..List::EMPTY }), Errno::EINVAL)
        }),
        Case::new("list/pad_before_unmapped_buffers", |c| {
            let _loaded = load(c)?;
            refused(c, &list(c, List { nr: 1, pad: 1, ..List::EMPTY }), Errno::EINVAL)
        }),
        Case::new("upload/name_before_the_payload_pointer", |c| {
            let upload = Upload { name: EMPTY_NAME, size: 64, payload: non_canonical_input() };
            refused(c, &upload_call(c, upload), Errno::EINVAL)
        }),
        Case::new("upload/size_before_the_payload_pointer", |c| {
            for size in [0, 1 << 40] {
                let payload = non_canonical_input();
                let upload = Upload { name: Name::new(MISSING), size, payload };
                refused(c, &upload_call(c, upload), Errno::EINVAL)?;
            }
            Ok(())
        }),
        Case::new("upload/size_before_the_duplicate", |c| {
            let _loaded = load(c)?;
            let upload = Upload { name: Name::new(LOADED), size: 0, payload: In::NULL };
            refused(c, &upload_call(c, upload), Errno::EINVAL)
        }),
        Case::new("upload/duplicate_before_an_unmapped_payload", |c| {
            let _loaded = load(c)?;
            let upload = Upload { name: Name::new(LOADED), size: 64, payload: In::NULL };
            refused(c, &upload_call(c, upload), Errno::EEXIST)
        }),
        Case::new("upload/pv_address_range_before_the_duplicate", |c| {
            let _loaded = load(c)?;
            let payload = non_canonical_input();
            let upload = Upload { name: Name::new(LOADED), size: 64, payload };
            let errno = if c.environment.is_hvm() { Errno::EEXIST } else { Errno::EFAULT };
            refused(c, &upload_call(c, upload), errno)
        }),
        Case::new("upload/duplicate_before_the_contents", |c| {
            let _loaded = load(c)?;
            let upload = Upload::new(Name::new(LOADED), &[0; 64]);
            refused(c, &upload_call(c, upload), Errno::EEXIST)
        }),
        Case::new("action/pad_before_the_name", |c| {
            let name = Name { ptr: In::NULL, ..Name::new(MISSING) };
            // Without padding in this interface, the name is all that is wrong.
            let has_pad = c.livepatch().revision.has_metadata_and_flags();
            let errno = if has_pad { Errno::EINVAL } else { Errno::EFAULT };
            let action = Action { pad: 1, ..Action::new(name, ActionCmd::Apply) };
            refused(c, &action_call(c, action), errno)
        }),
        Case::new("action/name_before_the_command", |c| {
            let name = Name { ptr: In::NULL, ..Name::new(MISSING) };
            let action = Action::new(name, ActionCmd::Other(99));
            refused(c, &action_call(c, action), Errno::EFAULT)
        }),
        Case::new("action/missing_before_the_command", |c| {
            let action = Action::new(Name::new(MISSING), ActionCmd::Other(99));
            refused(c, &action_call(c, action), Errno::ENOENT)
        }),
        Case::new("action/command_before_the_state", |c| {
            let loaded = load(c)?;
            loaded.action(ActionCmd::Apply).must_be(Answer::SUCCESS)?;
            let action = Action::new(Name::new(LOADED), ActionCmd::Other(99));
            refused(c, &action_call(c, action), Errno::EOPNOTSUPP)
        }),
    ],
    ..Test::DEFAULT
};

fn refused(context: &Context, call: &Call<'_>, errno: Errno) -> Outcome {
    context.livepatch().refuses(call, errno)
}

fn load(context: &Context) -> Result<kernel::livepatch::Loaded<'_>, kernel::Stop> {
    context.livepatch().load(LOADED, &support::marker(context, "-order")?.to_bytes())
}

fn get<'a>(context: &Context, name: Name<'a>) -> Call<'a> {
    Call::get(context.livepatch().version, name)
}

fn list<'a>(context: &Context, list: List<'a>) -> Call<'a> {
    Call::list(context.livepatch().version, list)
}

fn upload_call<'a>(context: &Context, upload: Upload<'a>) -> Call<'a> {
    Call::upload(context.livepatch().version, upload)
}

fn action_call<'a>(context: &Context, action: Action<'a>) -> Call<'a> {
    Call::action(context.livepatch().version, action)
}

fn unknown(context: &Context) -> Call<'static> {
    Call::bare(context.livepatch().version, LIVEPATCH_FIRST_UNKNOWN)
}

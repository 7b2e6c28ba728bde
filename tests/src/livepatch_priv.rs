//! # livepatch-priv
//!
//! What a domain without privileges gets: every sub-op is refused, and refused before anything of
//! it is looked at. So whatever else is wrong with a call, nothing about what is loaded shows in
//! the errno, and nothing is written: neither the buffers that a call names nor its structure.
//!
//! Where the order is: `do_sysctl` (xen/common/sysctl.c) reads the structure, compares the
//! version, and asks `xsm_sysctl`; only then comes `livepatch_op`. The default policy refuses with
//! EPERM (`xsm_default_action`, xen/include/xsm/dummy.h), FLASK with EACCES, which it shares with
//! a wrong version: there, each version that this image knows is tried.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use kernel::buffer::{
    FILL, Guarded, non_canonical_input, non_canonical_output, xen_range_input, xen_range_output,
};
use kernel::livepatch::{Livepatch, Place};
use kernel::xen::LivepatchSupport;
use kernel::{Case, Context, Errno, Need, Outcome, Stop, Test, expect, expect_that};
use livepatch::abi::{
    Action, ActionCmd, Call, Get, In, LIST_NR_MAX, LIVEPATCH_FIRST_UNKNOWN, List, LivepatchStatus,
    NAME_SIZE_MAX, Name, Out, PAYLOAD_SIZE_MAX, Revision, SysctlVersion, Upload,
};

const NAME: &[u8] = b"priv\0";

const ACTIONS: [ActionCmd; 4] =
    [ActionCmd::Unload, ActionCmd::Revert, ActionCmd::Apply, ActionCmd::Replace];

/// The test.
pub const TEST: Test = Test {
    name: "livepatch-priv",
    title: "The livepatch sysctl, refused to a domain without privileges",
    needs: &[Need::Unprivileged],
    cases: &[
        Case::new("build_id/is_not_told", |c| {
            expect("build-id", c.xen.build_id.as_ref().err(), Some(&Errno::EPERM))
        }),
        Case::new("structure/unreadable_is_efault", unreadable),
        Case::new("structure/read_only_is_refused_all_the_same", |c| {
            every_op(c, |refusal, call| refusal.placed(Place::ReadOnly, call))
        }),
        Case::new("structure/up_to_the_end_is_refused", |c| {
            every_op(c, |refusal, call| refusal.placed(Place::UpToTheEnd, call))
        }),
        Case::new("version/every_other_is_eacces", every_other_version),
        Case::new("upload/is_refused", |c| upload(c, |_| {})),
        Case::new("upload/of_a_bad_name_is_refused", |c| {
            bad_names(|name| upload(c, |upload| upload.name = name))
        }),
        Case::new("upload/of_a_bad_size_is_refused", |c| {
            let sizes = [0, 1, PAYLOAD_SIZE_MAX as u64, PAYLOAD_SIZE_MAX as u64 + 1, u64::MAX];
            sizes.into_iter().try_for_each(|size| upload(c, |upload| upload.size = size))
        }),
        Case::new("upload/of_a_bad_pointer_is_refused", |c| {
            for payload in [In::NULL, non_canonical_input(), xen_range_input()] {
                upload(c, |upload| upload.payload = payload)?;
            }
            Ok(())
        }),
        Case::new("get/is_refused", |c| get(c, Name::new(NAME))),
        Case::new("get/of_a_bad_name_is_refused", |c| bad_names(|name| get(c, name))),
        Case::new("list/of_totals_is_refused", |c| list(c, || List::EMPTY)),
        Case::new("list/is_refused_and_writes_nothing", list_writes_nothing),
        Case::new("list/of_bad_numbers_is_refused", |c| {
            list(c, || List { nr: LIST_NR_MAX + 1, ..List::EMPTY })?;
            list(c, || List { nr: u32::MAX, ..List::EMPTY })?;
            list(c, || List { idx: u32::MAX, ..List::EMPTY })?;
            list(c, || List { pad: 1, ..List::EMPTY })
        }),
        Case::new("list/of_bad_pointers_is_refused", |c| {
            list_into(c, || Out::NULL)?;
            list_into(c, non_canonical_output)?;
            list_into(c, xen_range_output)
        }),
        Case::new("action/unload_is_refused", |c| action(c, ActionCmd::Unload, |_| {})),
        Case::new("action/revert_is_refused", |c| action(c, ActionCmd::Revert, |_| {})),
        Case::new("action/apply_is_refused", |c| action(c, ActionCmd::Apply, |_| {})),
        Case::new("action/replace_is_refused", |c| action(c, ActionCmd::Replace, |_| {})),
        Case::new("action/unknown_is_refused", |c| {
            for cmd in [0, 5, u32::MAX] {
                action(c, ActionCmd::Other(cmd), |_| {})?;
            }
            Ok(())
        }),
        Case::new("action/of_a_bad_name_is_refused", |c| {
            bad_names(|name| every_action(c, |action| action.name = name))
        }),
        Case::new("action/of_any_timeout_is_refused", |c| {
            [1, u32::MAX].into_iter().try_for_each(|ns| every_action(c, |a| a.timeout = ns))
        }),
        Case::new("action/of_any_flags_and_pad_is_refused", |c| {
            every_action(c, |action| action.flags = u32::MAX)?;
            every_action(c, |action| action.pad = 1)
        }),
        Case::new("sub_op/unknown_is_refused", |c| {
            for sub_op in [LIVEPATCH_FIRST_UNKNOWN, 99, 1 << 31, u32::MAX] {
                refused(c, |version| Call::bare(version, sub_op))
                    .map_err(|stop| stop.at(format_args!("sub-op {sub_op:#x}")))?;
            }
            Ok(())
        }),
        Case::new("flags/none_makes_a_difference", |c| {
            every_op(c, |refusal, call| {
                (0..32).map(|bit| 1 << bit).chain([u32::MAX]).try_for_each(|flags| {
                    call.flags = flags;
                    refusal.refused(call).map_err(|stop| stop.at(format_args!("flags {flags:#x}")))
                })
            })
        }),
    ],
    ..Test::DEFAULT
};

/// One interface version, and how a call that states it is refused.
struct Refusal {
    livepatch: Livepatch,
    errno: Errno,
}

impl Refusal {
    /// Passes if the call is refused and its structure stays as it was.
    fn refused(&self, call: &Call<'_>) -> Outcome {
        self.refused_with(call, self.errno)
    }

    fn refused_with(&self, call: &Call<'_>, errno: Errno) -> Outcome {
        let reply = self.livepatch.perform(call);
        reply.answer.must_be(errno)?;
        expect("structure after the refusal", reply.after.bytes(), reply.before.bytes())
    }

    /// Passes if the call is refused where its structure lies.
    fn placed(&self, place: Place, call: &Call<'_>) -> Outcome {
        self.livepatch.perform_at(place, call)?.must_be(self.errno)
    }
}

/// How this Xen is to refuse.
///
/// # Errors
/// A [`Stop::Skip`] where there is nothing to refuse.
fn refusals(context: &Context) -> Result<Vec<Refusal>, Stop> {
    let (versions, errno) = match context.xen.livepatch {
        // That it is there for a domain without privileges is for the cases to fail on.
        LivepatchSupport::Available(version) | LivepatchSupport::Denied(version, _) => {
            (version.0..=version.0, Errno::EPERM)
        }
        LivepatchSupport::UnknownVersion => (SysctlVersion::KNOWN, Errno::EACCES),
        LivepatchSupport::NotBuilt => return Err(Stop::skip("this Xen has no sysctls to refuse")),
    };
    let refusals: Vec<_> = versions
        .map(SysctlVersion)
        .filter_map(|version| {
            let revision = Revision::for_version(version)?.revision;
            Some(Refusal { livepatch: Livepatch { version, revision }, errno })
        })
        .collect();
    if refusals.is_empty() {
        return Err(Stop::skip("this Xen is older than live patching"));
    }
    Ok(refusals)
}

fn each_refusal(context: &Context, check: impl Fn(&Refusal) -> Outcome) -> Outcome {
    refusals(context)?.iter().try_for_each(|refusal| {
        check(refusal)
            .map_err(|stop| stop.at(format_args!("version {}", refusal.livepatch.version)))
    })
}

/// Passes if what `call` makes is refused.
fn refused<'a>(context: &Context, call: impl Fn(SysctlVersion) -> Call<'a>) -> Outcome {
    each_refusal(context, |refusal| refusal.refused(&call(refusal.livepatch.version)))
}

/// Checks one call of each sub-op and action, right in every respect, and of an unknown sub-op.
fn every_op(context: &Context, check: impl Fn(&Refusal, &mut Call<'_>) -> Outcome) -> Outcome {
    each_refusal(context, |refusal| {
        let version = refusal.livepatch.version;
        let name = Name::new(NAME);
        let calls = [
            ("UPLOAD", Call::upload(version, Upload::new(name, NAME))),
            ("GET", Call::get(version, name)),
            ("LIST", Call::list(version, List::EMPTY)),
            ("unknown", Call::bare(version, LIVEPATCH_FIRST_UNKNOWN)),
        ];
        let actions = ACTIONS.map(|cmd| ("ACTION", Call::action(version, Action::new(name, cmd))));
        calls.into_iter().chain(actions).try_for_each(|(what, mut call)| {
            check(refusal, &mut call).map_err(|stop| stop.at(what))
        })
    })
}

fn unreadable(context: &Context) -> Outcome {
    let places =
        [Place::Null, Place::NonCanonical, Place::XenRange, Place::Unmapped, Place::OneByteShort];
    every_op(context, |refusal, call| {
        // Even before the version: a wrong one changes nothing.
        for interface_version in [call.interface_version, 0] {
            call.interface_version = interface_version;
            for place in places {
                let answer = refusal.livepatch.perform_at(place, call)?;
                answer.must_be(Errno::EFAULT).map_err(|stop| stop.at(format_args!("{place:?}")))?;
            }
        }
        Ok(())
    })
}

fn every_other_version(context: &Context) -> Outcome {
    every_op(context, |refusal, call| {
        let ours = refusal.livepatch.version.0;
        let others = (0..0x40).chain([ours | 0x100, ours | 1 << 31, u32::MAX]);
        for other in others.filter(|&other| other != ours) {
            call.interface_version = other;
            refusal
                .refused_with(call, Errno::EACCES)
                .map_err(|stop| stop.at(SysctlVersion(other)))?;
        }
        Ok(())
    })
}

/// Calls `check` with names that are each wrong in one way, which a domain with privileges would
/// be told.
fn bad_names(check: impl Fn(Name<'static>) -> Outcome) -> Outcome {
    const TOO_LONG: &[u8] = &[0; NAME_SIZE_MAX + 1];
    let name = Name::new(NAME);
    let names = [
        ("null", Name { ptr: In::NULL, ..name }),
        ("not canonical", Name { ptr: non_canonical_input(), ..name }),
        ("in Xen's range", Name { ptr: xen_range_input(), ..name }),
        ("empty", Name { size: 0, ..name }),
        ("too long", Name::new(TOO_LONG)),
        ("of the largest size", Name { size: u16::MAX, ..name }),
        ("not terminated", Name::new(b"priv")),
        ("first pad", Name { pad: [1, 0, 0], ..name }),
        ("last pad", Name { pad: [0, 0, 1], ..name }),
    ];
    names.into_iter().try_for_each(|(what, name)| {
        check(name).map_err(|stop| stop.at(format_args!("name {what}")))
    })
}

/// An UPLOAD of a page that is no ELF file, with something changed.
fn upload(context: &Context, change: impl Fn(&mut Upload<'_>)) -> Outcome {
    const SIZE: usize = 4096;
    let payload = Guarded::new(SIZE)?;
    refused(context, |version| {
        let (name, payload) = (Name::new(NAME), payload.input());
        let mut upload = Upload { name, size: SIZE as u64, payload };
        change(&mut upload);
        Call::upload(version, upload)
    })?;
    untouched("payload", &payload)
}

fn get(context: &Context, name: Name<'_>) -> Outcome {
    refused(context, |version| {
        // What a GET that is answered would overwrite.
        let status = LivepatchStatus { state: 0x5a5a_5a5a, rc: 0x5a5a_5a5a };
        Call::get(version, Get { name, status })
    })
}

fn list<'a>(context: &Context, list: impl Fn() -> List<'a>) -> Outcome {
    refused(context, |version| Call::list(version, list()))
}

/// A LIST of one payload into this place, whatever it is.
fn list_into(context: &Context, place: fn() -> Out<'static>) -> Outcome {
    list(context, || List {
        nr: 1,
        status: place(),
        name: place(),
        len: place(),
        metadata: place(),
        metadata_len: place(),
        ..List::EMPTY
    })
}

fn list_writes_nothing(context: &Context) -> Outcome {
    each_refusal(context, |refusal| {
        let mut status = Guarded::new(size_of::<LivepatchStatus>())?;
        let mut name = Guarded::new(NAME_SIZE_MAX)?;
        let mut len = Guarded::new(size_of::<u32>())?;
        let mut metadata = Guarded::new(4096)?;
        let mut metadata_len = Guarded::new(size_of::<u32>())?;
        refusal.refused(&Call::list(
            refusal.livepatch.version,
            List {
                nr: 1,
                name_total_size: name.bytes().len() as u32,
                metadata_total_size: metadata.bytes().len() as u32,
                status: status.output(),
                name: name.output(),
                len: len.output(),
                metadata: metadata.output(),
                metadata_len: metadata_len.output(),
                ..List::EMPTY
            },
        ))?;
        untouched("status", &status)?;
        untouched("name", &name)?;
        untouched("len", &len)?;
        untouched("metadata", &metadata)?;
        untouched("metadata_len", &metadata_len)
    })
}

fn action(context: &Context, cmd: ActionCmd, change: impl Fn(&mut Action<'_>)) -> Outcome {
    refused(context, |version| {
        let mut action = Action::new(Name::new(NAME), cmd);
        change(&mut action);
        Call::action(version, action)
    })
    .map_err(|stop| stop.at(format_args!("{cmd:?}")))
}

fn every_action(context: &Context, change: impl Fn(&mut Action<'_>)) -> Outcome {
    ACTIONS.into_iter().try_for_each(|cmd| action(context, cmd, &change))
}

fn untouched(what: &str, buffer: &Guarded) -> Outcome {
    expect_that(buffer.bytes().iter().all(|&byte| byte == FILL), format_args!("{what}: untouched"))
}

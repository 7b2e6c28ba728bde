//! # livepatch-version
//!
//! The version stamp that LIST gives out: what moves it, what does not, and that a walk through
//! the list in pages can tell when it was interrupted.
//!
//! Where it is: `payload_version` in `livepatch_upload` and `free_payload`
//! (xen/common/livepatch.c). Every release moves it on a successful UPLOAD and UNLOAD, and on
//! nothing else: a change of a payload's state goes unnoticed.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use kernel::livepatch::Loaded;
use kernel::{Answer, Case, Context, Errno, Need, Outcome, Stop, Test, expect, expect_that};
use livepatch::abi::{ActionCmd, Call, ListBuffers};

use crate::support;

/// The test.
pub const TEST: Test = Test {
    name: "livepatch-version",
    title: "The list's version stamp: what moves it, and walks that notice",
    needs: &[Need::Privileged, Need::Livepatch],
    cases: &[
        Case::new("stamp/is_not_0", |c| expect_that(stamp(c)? != 0, "a stamp above 0, not 0")),
        Case::new("stamp/stays_while_idle", |c| moves_by(c, 0, |_| Ok(()))),
        Case::new("stamp/is_the_same_for_nr_0_and_nr_1", same_for_any_nr),
        Case::new("stamp/moves_by_1_on_upload", |c| {
            let mut loaded = None;
            moves_by(c, 1, |c| {
                loaded = Some(load(c, "-one")?);
                Ok(())
            })
        }),
        Case::new("stamp/moves_by_1_on_unload", |c| {
            let loaded = load(c, "-one")?;
            moves_by(c, 1, |_| loaded.action(ActionCmd::Unload).must_be(Answer::SUCCESS))
        }),
        Case::new("stamp/stays_on_apply", |c| {
            let loaded = load(c, "-one")?;
            moves_by(c, 0, |_| loaded.action(ActionCmd::Apply).must_be(Answer::SUCCESS))
        }),
        Case::new("stamp/stays_on_revert", |c| {
            let loaded = load(c, "-one")?;
            loaded.action(ActionCmd::Apply).must_be(Answer::SUCCESS)?;
            moves_by(c, 0, |_| loaded.action(ActionCmd::Revert).must_be(Answer::SUCCESS))
        }),
        Case::new("stamp/stays_on_replace", |c| {
            let (first, second) = (load(c, "-one")?, load(c, "-two")?);
            first.action(ActionCmd::Apply).must_be(Answer::SUCCESS)?;
            moves_by(c, 0, |_| second.action(ActionCmd::Replace).must_be(Answer::SUCCESS))
        }),
        Case::new("stamp/stays_on_get", |c| {
            let loaded = load(c, "-one")?;
            moves_by(c, 0, |_| loaded.status().map(drop))
        }),
        Case::new("stamp/stays_on_a_refused_upload", |c| {
            let _loaded = load(c, "-one")?;
            moves_by(c, 0, |c| {
                let livepatch = c.livepatch();
                let same = support::marker(c, "-one")?.to_bytes();
                livepatch.upload(b"-one\0", &same).must_be(Errno::EEXIST)?;
                livepatch.upload(b"new\0", &same).must_be(Errno::EEXIST)?;
                livepatch.upload(b"new\0", &same[..100]).must_be(Errno::EINVAL)
            })
        }),
        Case::new("stamp/stays_on_a_refused_unload", |c| {
            let loaded = load(c, "-one")?;
            loaded.action(ActionCmd::Apply).must_be(Answer::SUCCESS)?;
            moves_by(c, 0, |c| {
                loaded.action(ActionCmd::Unload).must_be(Errno::EINVAL)?;
                c.livepatch().action(b"missing\0", ActionCmd::Unload).must_be(Errno::ENOENT)
            })
        }),
        Case::new("stamp/counts_every_change", |c| {
            moves_by(c, 20, |c| (0..10).try_for_each(|_| load(c, "-one").map(drop)))
        }),
        Case::new("walk/an_upload_is_noticed", |c| {
            interrupted(c, |c, _| load(c, "-new").map(Some))
        }),
        Case::new("walk/an_unload_is_noticed", |c| {
            interrupted(c, |_, loaded| {
                loaded.remove(0).action(ActionCmd::Unload).must_be(Answer::SUCCESS)?;
                Ok(None)
            })
        }),
        Case::new("walk/an_exchange_of_the_same_length_is_noticed", |c| {
            interrupted(c, |c, loaded| {
                drop(loaded.remove(1));
                load(c, "-new").map(Some)
            })
        }),
        Case::new("walk/a_change_of_state_is_not_noticed", state_change_goes_unnoticed),
        Case::new("walk/begun_again_is_whole", begun_again_is_whole),
    ],
    ..Test::DEFAULT
};

fn stamp(context: &Context) -> Result<u32, Stop> {
    context.livepatch().totals().map(|totals| totals.version)
}

fn load<'c>(context: &'c Context, marker: &str) -> Result<Loaded<'c>, Stop> {
    let mut name = marker.as_bytes().to_vec();
    name.push(0);
    context.livepatch().load(&name, &support::marker(context, marker)?.to_bytes())
}

/// `change` moves the stamp by `distance`.
fn moves_by<'c>(
    context: &'c Context,
    distance: u32,
    mut change: impl FnMut(&'c Context) -> Outcome,
) -> Outcome {
    let before = stamp(context)?;
    change(context)?;
    for _ in 0..3 {
        expect("stamp", stamp(context)?, before + distance)?;
    }
    Ok(())
}

/// One page of a walk: an entry's name, the stamp, and how many remain.
struct Page {
    name: Vec<u8>,
    stamp: u32,
    remaining: u32,
}

fn page(context: &Context, idx: u32) -> Result<Page, Stop> {
    let livepatch = context.livepatch();
    let mut buffers = ListBuffers::new(1, 64, 0);
    let call = Call::list(livepatch.version, buffers.list(idx, 1));
    let reply = livepatch.perform(&call);
    reply.answer.must_be(1)?;
    let after = reply.after.list(livepatch.revision);
    let first = buffers.each_name(livepatch.revision).next().flatten();
    let name = first.ok_or_else(|| Stop::failure("a name that leads out of its buffer"))?;
    Ok(Page { name: name.to_vec(), stamp: after.version, remaining: after.nr })
}

fn same_for_any_nr(context: &Context) -> Outcome {
    let _loaded = load(context, "-one")?;
    expect("stamp of a page", page(context, 0)?.stamp, stamp(context)?)
}

fn three(context: &Context) -> Result<Vec<Loaded<'_>>, Stop> {
    ["-one", "-two", "-three"].into_iter().map(|marker| load(context, marker)).collect()
}

/// Between the first two pages of a walk something happens; the second page's stamp tells.
fn interrupted(
    context: &Context,
    event: for<'c> fn(&'c Context, &mut Vec<Loaded<'c>>) -> Result<Option<Loaded<'c>>, Stop>,
) -> Outcome {
    let mut loaded = three(context)?;
    let first = page(context, 0)?;
    let _new = event(context, &mut loaded)?;
    let second = page(context, 1)?;
    expect_that(second.stamp > first.stamp, "a later stamp on the page after the change")
}

fn state_change_goes_unnoticed(context: &Context) -> Outcome {
    let loaded = three(context)?;
    let first = page(context, 0)?;
    loaded[0].action(ActionCmd::Apply).must_be(Answer::SUCCESS)?;
    expect("stamp", page(context, 1)?.stamp, first.stamp)
}

/// The way to walk: from the beginning again whenever a page has another stamp than the first.
fn begun_again_is_whole(context: &Context) -> Outcome {
    let mut loaded = three(context)?;
    let mut change = Some(());
    let seen = 'walk: loop {
        let mut seen = Vec::new();
        let mut first = None;
        loop {
            let page = page(context, seen.len() as u32)?;
            if *first.get_or_insert(page.stamp) != page.stamp {
                continue 'walk;
            }
            seen.push(page.name);
            if page.remaining == 0 {
                break 'walk seen;
            }
            if change.take().is_some() {
                drop(loaded.remove(0));
                loaded.push(load(context, "-four")?);
            }
        }
    };
    let whole: Vec<_> = loaded.iter().map(|payload| payload.name().to_vec()).collect();
    expect("names", seen, whole)
}

//! # livepatch-list
//!
//! LIST: what it counts, what it writes and where, and what it must not touch.
//!
//! Where it is: `livepatch_list` (xen/common/livepatch.c). Names and metadata are packed back to
//! back from the start of their buffers since 4.14 (in slots of 128 bytes before); entries go to
//! element 0 onwards, whatever idx is; since 4c3ce492ed the two total sizes are limits as well.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use kernel::buffer::{FILL, Guarded, ReadOnly, Unmapped, non_canonical_output, xen_range_output};
use kernel::livepatch::{Livepatch, Loaded};
use kernel::xen::Change;
use kernel::{Answer, Case, Context, Errno, Need, Outcome, Stop, Test, expect, expect_that};
use livepatch::abi::{
    ActionCmd, Call, LIST_NR_MAX, List, ListBuffers, ListReply, LivepatchStatus, NAME_SIZE_MAX,
    Out, STATE_APPLIED, STATE_CHECKED,
};

use crate::support;

/// The test.
pub const TEST: Test = Test {
    name: "livepatch-list",
    title: "LIST: counts, arrays, limits, and what stays untouched",
    needs: &[Need::Privileged, Need::Livepatch],
    cases: &[
        Case::new("nr/0_is_success_while_empty", |c| empty(c, List { nr: 0, ..List::EMPTY })),
        Case::new("nr/1_is_0_while_empty", |c| empty(c, List { nr: 1, ..List::EMPTY })),
        Case::new("nr/1024_is_0_while_empty", |c| {
            empty(c, List { nr: LIST_NR_MAX, ..List::EMPTY })
        }),
        Case::new("nr/1025_is_e2big", |c| too_many(c, LIST_NR_MAX + 1)),
        Case::new("nr/2048_is_e2big", |c| too_many(c, 2 * LIST_NR_MAX)),
        Case::new("nr/max_is_e2big", |c| too_many(c, u32::MAX)),
        Case::new("nr/0_counts_and_sums", nr_0_counts_and_sums),
        Case::new("nr/of_all_lists_all", |c| lists(c, 0, 3)),
        Case::new("nr/above_all_lists_all", |c| lists(c, 0, 4)),
        Case::new("nr/1024_lists_all", |c| lists(c, 0, LIST_NR_MAX)),
        Case::new("nr/1_lists_the_first", |c| lists(c, 0, 1)),
        Case::new("nr/2_lists_two", |c| lists(c, 0, 2)),
        Case::new("idx/1_skips_the_first", |c| lists(c, 1, 1024)),
        Case::new("idx/1_with_nr_1_lists_the_second", |c| lists(c, 1, 1)),
        Case::new("idx/of_the_last_lists_the_last", |c| lists(c, 2, 1024)),
        Case::new("idx/any_is_success_while_empty", |c| {
            for idx in [1, 1024, u32::MAX] {
                empty(c, List { idx, ..List::EMPTY })?;
                empty(c, List { idx, nr: 1, ..List::EMPTY })?;
            }
            Ok(())
        }),
        Case::new("idx/at_the_count_is_einval", |c| past_the_end(c, 3)),
        Case::new("idx/past_the_count_is_einval", |c| past_the_end(c, 4)),
        Case::new("idx/far_past_the_count_is_einval", |c| past_the_end(c, u32::MAX)),
        Case::new("idx/walks_one_by_one", |c| walks(c, 1)),
        Case::new("idx/walks_two_by_two", |c| walks(c, 2)),
        Case::new("idx/with_nr_0_does_not_lessen_the_count", |c| {
            let all = Three::load(c)?;
            let reply = c.livepatch().perform(&list(c, List { idx: 2, ..List::EMPTY }));
            reply.answer.must_be(Answer::SUCCESS)?;
            expect("remaining", reply.after.list(c.livepatch().revision).nr, all.count())
        }),
        Case::new("pad/each_bit_is_einval", |c| {
            (0..32).try_for_each(|bit| padded(c, List { pad: 1 << bit, ..List::EMPTY }))
        }),
        Case::new("pad/is_einval_with_payloads_too", |c| {
            let _all = Three::load(c)?;
            padded(c, List { pad: 1, ..List::EMPTY })
        }),
        Case::new("short/an_event_that_waits_ends_it_after_one_entry", |c| {
            // That of a PVH guest is an interrupt, which is off.
            let entries = if c.environment.is_hvm() { 3 } else { 1 };
            with_event(c, true, false, entries)
        }),
        Case::new("short/a_masked_event_does_not", |c| with_event(c, true, true, 3)),
        Case::new("short/that_one_may_come_does_not", |c| with_event(c, false, false, 3)),
        Case::new("version/passed_in_is_ignored", version_passed_in_is_ignored),
        Case::new("status/shows_state_and_rc", status_shows_state),
        Case::new("buffer/read_only_is_efault", |c| each_field(c, &Bad::ReadOnly)),
        Case::new("buffer/unmapped_is_efault", |c| each_field(c, &Bad::Unmapped)),
        Case::new("buffer/null_is_efault", |c| each_field(c, &Bad::Null)),
        Case::new("buffer/non_canonical_is_refused", |c| each_field(c, &Bad::NonCanonical)),
        Case::new("buffer/xen_range_is_refused", |c| each_field(c, &Bad::XenRange)),
        Case::new("buffer/one_byte_short_is_efault", |c| each_field(c, &Bad::OneByteShort)),
        Case::new("buffer/up_to_the_end_is_filled", up_to_the_end),
        Case::new("buffer/bad_ones_do_not_matter_for_nr_0", |c| {
            let _all = Three::load(c)?;
            bad_everywhere(c, 0, Answer::SUCCESS)
        }),
        Case::new("buffer/bad_ones_while_empty_matter_under_pv", |c| {
            let refused =
                if c.environment.is_hvm() { Answer::SUCCESS } else { Errno::EINVAL.into() };
            bad_everywhere(c, 1, refused)
        }),
        Case::new("buffer/metadata_null_will_do_without_metadata", metadata_null),
        Case::new("sizes/name_total_is_a_limit_since_4c3ce492ed", |c| {
            size_limit(c, |list| list.name_total_size -= 1)
        }),
        Case::new("sizes/metadata_total_is_a_limit_since_4c3ce492ed", |c| {
            size_limit(c, |list| list.metadata_total_size -= 1)
        }),
        Case::new("sizes/exact_totals_suffice", exact_totals),
        Case::new("failure/at_the_second_entry_leaves_the_first", failure_at_the_second),
    ],
    ..Test::DEFAULT
};

fn list<'a>(context: &Context, list: List<'a>) -> Call<'a> {
    Call::list(context.livepatch().version, list)
}

/// Three payloads: with metadata, without, and with more metadata; the second is applied.
struct Three<'l> {
    /// Never read: it keeps the payloads loaded.
    _loaded: [Loaded<'l>; 3],
    livepatch: &'l Livepatch,
}

const NAMES: [&[u8]; 3] = [b"alpha\0", b"b\0", b"gamma-is-longer\0"];
const METADATA: [&[&str]; 3] = [&["author=nobody"], &[], &["a=1", "b=22"]];
const STATES: [u32; 3] = [STATE_CHECKED, STATE_APPLIED, STATE_CHECKED];

impl<'l> Three<'l> {
    fn load(context: &'l Context) -> Result<Self, Stop> {
        let livepatch = context.livepatch();
        let load = |index: usize, marker| {
            let mut payload = support::marker(context, marker)?;
            for entry in METADATA[index] {
                payload = payload.metadata(entry);
            }
            livepatch.load(NAMES[index], &payload.to_bytes())
        };
        let loaded = [load(0, "-alpha")?, load(1, "-b")?, load(2, "-gamma")?];
        loaded[1].action(ActionCmd::Apply).needed_to("apply the second payload")?;
        Ok(Self { _loaded: loaded, livepatch })
    }

    const fn count(&self) -> u32 {
        NAMES.len() as u32
    }

    /// What metadata looks like in memory, where this interface has any.
    fn metadata(&self, index: usize) -> Vec<u8> {
        if !self.livepatch.revision.has_metadata_and_flags() {
            return Vec::new();
        }
        METADATA[index].iter().flat_map(|entry| entry.bytes().chain([0])).collect()
    }

    /// The arrays as LIST must leave them for entries `range`, filled up with [`FILL`].
    fn expected(&self, range: core::ops::Range<usize>) -> ListBuffers {
        let mut arrays = fresh();
        let v2 = self.livepatch.revision.has_metadata_and_flags();
        let (mut name_at, mut metadata_at) = (0, 0);
        for (slot, index) in range.enumerate() {
            let (name, metadata) = (NAMES[index], self.metadata(index));
            arrays.status[slot] = LivepatchStatus { state: STATES[index], rc: 0 };
            arrays.lengths[slot] = name.len() as u32;
            arrays.names[name_at..name_at + name.len()].copy_from_slice(name);
            name_at += if v2 { name.len() } else { NAME_SIZE_MAX };
            if v2 {
                arrays.metadata_lengths[slot] = metadata.len() as u32;
                arrays.metadata[metadata_at..metadata_at + metadata.len()]
                    .copy_from_slice(&metadata);
                metadata_at += metadata.len();
            }
        }
        arrays
    }

    fn sizes(&self, range: core::ops::Range<usize>) -> (u32, u32) {
        let names = range.clone().map(|index| NAMES[index].len() as u32).sum();
        (names, range.map(|index| self.metadata(index).len() as u32).sum())
    }
}

/// More room than the three payloads need, all of it [`FILL`] to begin with.
fn fresh() -> ListBuffers {
    ListBuffers::new(5, 256, FILL)
}

/// What one LIST came to.
#[derive(Clone, Copy)]
struct Listed {
    answer: Answer,
    after: ListReply,
    /// Whether Xen left the structure as it was.
    unchanged: bool,
}

fn once(context: &Context, request: List<'_>) -> Listed {
    let livepatch = context.livepatch();
    let reply = livepatch.perform(&list(context, request));
    Listed {
        answer: reply.answer,
        after: reply.after.list(livepatch.revision),
        unchanged: reply.after.bytes() == reply.before.bytes(),
    }
}

/// How often a short answer is asked again.
const ATTEMPTS: usize = 200;

/// Repeats an attempt at a LIST from `idx` until its answer is no longer a short one.
///
/// Xen stops after any entry when something else is waiting for the CPU, so an answer that is
/// positive but less than `whole` is no news: it is checked for what it says, and asked again.
fn patiently<T>(
    context: &Context,
    idx: u32,
    whole: u32,
    mut attempt: impl FnMut() -> Result<(Listed, T), Stop>,
) -> Result<(Listed, T), Stop> {
    for _ in 0..ATTEMPTS {
        let (listed, rest) = attempt()?;
        let Ok(got @ 1..) = listed.answer.result() else { return Ok((listed, rest)) };
        if got >= u64::from(whole) {
            return Ok((listed, rest));
        }
        let left = context.livepatch().totals()?.nr - idx - got as u32;
        expect("remaining after a short answer", listed.after.nr, left)?;
    }
    Err(Stop::failure(format_args!(
        "expected: {whole} entries, once in {ATTEMPTS} attempts; every answer was short"
    )))
}

/// LIST of `nr` entries, `whole` if Xen is not in a hurry, from `idx` into fresh arrays.
fn ask(context: &Context, idx: u32, nr: u32, whole: u32) -> Result<(Listed, ListBuffers), Stop> {
    patiently(context, idx, whole, || {
        let mut arrays = fresh();
        Ok((once(context, arrays.list(idx, nr)), arrays))
    })
}

/// Nothing is loaded: the call succeeds, counts 0, and Xen's version stamp is there.
fn empty(context: &Context, request: List<'_>) -> Outcome {
    let livepatch = context.livepatch();
    let stamp = livepatch.totals()?.version;
    let (idx, nr) = (request.idx, request.nr);
    let reply = livepatch.perform(&list(context, request));
    let at = |stop: Stop| stop.at(format_args!("idx {idx} nr {nr}"));
    reply.answer.must_be(Answer::SUCCESS).map_err(at)?;
    let after = reply.after.list(livepatch.revision);
    expect("remaining", after.nr, 0).map_err(at)?;
    expect("version stamp", after.version, stamp).map_err(at)?;
    expect("sizes", (after.name_total_size, after.metadata_total_size), (0, 0)).map_err(at)
}

fn too_many(context: &Context, nr: u32) -> Outcome {
    context.livepatch().refuses(&list(context, List { nr, ..List::EMPTY }), Errno::E2BIG)
}

fn padded(context: &Context, request: List<'_>) -> Outcome {
    context.livepatch().refuses(&list(context, request), Errno::EINVAL)
}

fn nr_0_counts_and_sums(context: &Context) -> Outcome {
    let all = Three::load(context)?;
    let totals = context.livepatch().totals()?;
    expect("remaining", totals.nr, all.count())?;
    let sizes = (totals.name_total_size, totals.metadata_total_size);
    let expected = if context.livepatch().revision.has_metadata_and_flags() {
        all.sizes(0..3)
    } else {
        (0, 0)
    };
    expect("sizes of names and metadata", sizes, expected)
}

/// LIST of `nr` from `idx` writes just the entries that it should, and its sums are theirs.
fn lists(context: &Context, idx: u32, nr: u32) -> Outcome {
    let all = Three::load(context)?;
    let before = context.livepatch().payload_list()?;
    let end = all.count().min(idx + nr);
    let (Listed { answer, after, .. }, arrays) = ask(context, idx, nr, end - idx)?;
    answer.must_be(i64::from(end - idx))?;
    let range = idx as usize..end as usize;
    expect("arrays", arrays, all.expected(range.clone()))?;
    expect("remaining", after.nr, all.count() - end)?;
    expect("idx", after.idx, idx)?;
    expect("version stamp", after.version, before.totals.version)?;
    if context.livepatch().revision.has_metadata_and_flags() {
        let sizes = (after.name_total_size, after.metadata_total_size);
        expect("sizes of names and metadata", sizes, all.sizes(range))?;
    }
    expect("payloads", context.livepatch().payload_list()?, before)
}

fn past_the_end(context: &Context, idx: u32) -> Outcome {
    let _all = Three::load(context)?;
    for nr in [0, 1, LIST_NR_MAX] {
        let mut arrays = fresh();
        let call = list(context, arrays.list(idx, nr));
        context
            .livepatch()
            .refuses(&call, Errno::EINVAL)
            .map_err(|stop| stop.at(format_args!("nr {nr}")))?;
        expect("arrays", arrays, fresh())?;
    }
    Ok(())
}

/// A walk in steps sees what one LIST of all sees, and the remaining count leads through it.
fn walks(context: &Context, step: u32) -> Outcome {
    let all = Three::load(context)?;
    let (mut idx, mut walked, mut left) = (0, Vec::new(), all.count());
    while left > 0 {
        let mut arrays = fresh();
        let Listed { answer, after, .. } = once(context, arrays.list(idx, step));
        let got = answer.needed_to("walk")? as u32;
        left = after.nr;
        expect_that(got > 0, "progress")?;
        expect("idx + entries + remaining", idx + got + left, all.count())?;
        walked.extend(arrays.status[..got as usize].iter().map(|status| status.state));
        idx += got;
    }
    expect("states", walked, STATES.to_vec())
}

/// With an event `pending` or not, and `masked` or not, LIST of all three comes to `entries`, of which
/// it says the truth.
fn with_event(context: &Context, pending: bool, masked: bool, entries: usize) -> Outcome {
    let all = Three::load(context)?;
    let livepatch = context.livepatch();
    let (listed, arrays) = patiently(context, 0, entries as u32, || {
        let mut arrays = fresh();
        let call = list(context, arrays.list(0, 3));
        let reply = livepatch.perform_with_event(&call, pending, masked);
        let after = reply.after.list(livepatch.revision);
        Ok((Listed { answer: reply.answer, after, unchanged: false }, arrays))
    })?;
    listed.answer.must_be(entries as i64)?;
    expect("remaining", listed.after.nr, all.count() - entries as u32)?;
    expect("arrays", arrays, all.expected(0..entries))
}

fn version_passed_in_is_ignored(context: &Context) -> Outcome {
    let _all = Three::load(context)?;
    let stamp = context.livepatch().totals()?.version;
    for version in [0, stamp - 1, stamp + 1, u32::MAX] {
        let (listed, ()) = patiently(context, 0, 3, || {
            let mut arrays = fresh();
            Ok((once(context, List { version, ..arrays.list(0, 5) }), ()))
        })?;
        listed.answer.must_be(3)?;
        expect("version stamp", listed.after.version, stamp)?;
    }
    Ok(())
}

fn status_shows_state(context: &Context) -> Outcome {
    let _all = Three::load(context)?;
    let listed = context.livepatch().list()?;
    let states: Vec<_> = listed.iter().map(|entry| entry.status.state).collect();
    expect("states", states, STATES.to_vec())
}

/// The five buffers of LIST.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Field {
    Status,
    Name,
    Len,
    Metadata,
    MetadataLen,
}

impl Field {
    const ALL: [Self; 5] = [Self::Status, Self::Name, Self::Len, Self::Metadata, Self::MetadataLen];

    /// Whether a PV Xen looks at the handle before it does anything (`guest_handle_okay`):
    /// since 4.14 not at the two whose size it does not know beforehand.
    fn checked_first(self, context: &Context) -> bool {
        let v2 = context.livepatch().revision.has_metadata_and_flags();
        !v2 || !matches!(self, Self::Name | Self::Metadata)
    }

    fn replace<'a>(self, list: List<'a>, out: Out<'a>) -> List<'a> {
        match self {
            Self::Status => List { status: out, ..list },
            Self::Name => List { name: out, ..list },
            Self::Len => List { len: out, ..list },
            Self::Metadata => List { metadata: out, ..list },
            Self::MetadataLen => List { metadata_len: out, ..list },
        }
    }

    /// Bytes from the first to the last that LIST writes here for the first `entries` payloads.
    fn bytes(self, all: &Three<'_>, entries: usize) -> usize {
        let (names, metadata) = all.sizes(0..entries);
        match self {
            Self::Status => entries * size_of::<LivepatchStatus>(),
            Self::Name => names as usize + self.gaps(all, entries),
            Self::Metadata => metadata as usize,
            Self::Len | Self::MetadataLen => entries * size_of::<u32>(),
        }
    }

    /// Bytes between them that LIST leaves out: a name may not take all of its room.
    fn gaps(self, all: &Three<'_>, entries: usize) -> usize {
        if self != Self::Name || all.livepatch.revision.has_metadata_and_flags() {
            return 0;
        }
        NAMES[..entries - 1].iter().map(|name| NAME_SIZE_MAX - name.len()).sum()
    }

    /// The buffers that this interface has.
    fn existing(context: &Context) -> &'static [Self] {
        if context.livepatch().revision.has_metadata_and_flags() {
            &Self::ALL
        } else {
            &Self::ALL[..3]
        }
    }
}

/// What can be wrong with a buffer.
enum Bad {
    ReadOnly,
    Unmapped,
    Null,
    NonCanonical,
    XenRange,
    OneByteShort,
}

/// A bad buffer that lives somewhere.
enum Memory {
    ReadOnly(ReadOnly),
    Unmapped(Unmapped),
    Short(Guarded),
    Nowhere(fn() -> Out<'static>),
}

impl Bad {
    fn make(&self, bytes: usize) -> Result<Memory, Stop> {
        Ok(match self {
            Self::ReadOnly => Memory::ReadOnly(Guarded::new(bytes)?.into_read_only()?),
            Self::Unmapped => Memory::Unmapped(Guarded::new(bytes)?.into_unmapped()?),
            Self::OneByteShort => Memory::Short(Guarded::new(bytes - 1)?),
            Self::Null => Memory::Nowhere(|| Out::NULL),
            Self::NonCanonical => Memory::Nowhere(non_canonical_output),
            Self::XenRange => Memory::Nowhere(xen_range_output),
        })
    }

    /// Not an address that a PV guest may pass at all: a range check, before any access.
    const fn out_of_range(&self) -> bool {
        matches!(self, Self::NonCanonical | Self::XenRange)
    }
}

impl Memory {
    fn output(&mut self) -> Out<'_> {
        match self {
            Self::ReadOnly(buffer) => buffer.output(),
            Self::Unmapped(buffer) => buffer.output(),
            Self::Short(buffer) => buffer.output(),
            Self::Nowhere(output) => output(),
        }
    }
}

/// LIST of all with one bad buffer, each in turn: refused, and nothing loaded has changed.
fn each_field(context: &Context, bad: &Bad) -> Outcome {
    let all = Three::load(context)?;
    let before = context.livepatch().payload_list()?;
    for &field in Field::existing(context) {
        let mut memory = bad.make(field.bytes(&all, 3))?;
        let (listed, arrays) = patiently(context, 0, 3, || {
            let mut arrays = fresh();
            let request = field.replace(arrays.list(0, 5), memory.output());
            Ok((once(context, request), arrays))
        })?;
        let at = |stop: Stop| stop.at(format_args!("{field:?}"));
        let pv_range = bad.out_of_range() && !context.environment.is_hvm();
        let errno = if pv_range { Errno::EINVAL } else { Errno::EFAULT };
        listed.answer.must_be(errno).map_err(at)?;
        if pv_range && field.checked_first(context) {
            // Refused before anything was counted.
            expect("structure is as it was", listed.unchanged, true).map_err(at)?;
            expect("arrays", arrays, fresh()).map_err(at)?;
        } else {
            expect("version stamp", listed.after.version, before.totals.version).map_err(at)?;
        }
        expect("payloads", context.livepatch().payload_list()?, before.clone()).map_err(at)?;
    }
    Ok(())
}

/// Buffers that end with the mapped world take exactly what LIST has to say, whichever part of
/// the list is asked for.
fn up_to_the_end(context: &Context) -> Outcome {
    let all = Three::load(context)?;
    for &field in Field::existing(context) {
        for entries in 1..=3 {
            let bytes = field.bytes(&all, entries);
            let (listed, memory) = patiently(context, 0, entries as u32, || {
                let mut memory = Guarded::new(bytes)?;
                let mut arrays = fresh();
                let mut request = arrays.list(0, entries as u32);
                match field {
                    Field::Name => request.name_total_size = bytes as u32,
                    Field::Metadata => request.metadata_total_size = bytes as u32,
                    _ => {}
                }
                let listed = once(context, field.replace(request, memory.output()));
                Ok((listed, memory))
            })?;
            let at = |stop: Stop| stop.at(format_args!("{field:?} of {entries}"));
            listed.answer.must_be(entries as i64).map_err(at)?;
            let untouched = memory.bytes().iter().filter(|&&byte| byte == FILL).count();
            let gaps = field.gaps(&all, entries);
            expect("bytes that were not written", untouched, gaps).map_err(at)?;
        }
    }
    Ok(())
}

fn bad_everywhere(context: &Context, nr: u32, answer: Answer) -> Outcome {
    let request = List {
        nr,
        status: non_canonical_output(),
        name: non_canonical_output(),
        len: non_canonical_output(),
        metadata: non_canonical_output(),
        metadata_len: non_canonical_output(),
        ..List::EMPTY
    };
    context.livepatch().call(&list(context, request)).must_be(answer)
}

fn metadata_null(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    let payload = support::marker(context, "-plain")?.to_bytes();
    let _loaded = livepatch.load(b"plain\0", &payload)?;
    let mut arrays = fresh();
    let request = List { metadata: Out::NULL, metadata_total_size: 0, ..arrays.list(0, 5) };
    livepatch.call(&list(context, request)).must_be(1)?;
    if livepatch.revision.has_metadata_and_flags() {
        expect("length of metadata", arrays.metadata_lengths[0], 0)?;
    }
    Ok(())
}

/// Totals that are too small by what `shrink` takes away: refused where they are limits.
fn size_limit(context: &Context, shrink: fn(&mut List<'_>)) -> Outcome {
    let all = Three::load(context)?;
    let (names, metadata) = all.sizes(0..3);
    let (listed, ()) = patiently(context, 0, 3, || {
        let mut arrays = fresh();
        let mut request = arrays.list(0, 3);
        (request.name_total_size, request.metadata_total_size) = (names, metadata.max(1));
        shrink(&mut request);
        Ok((once(context, request), ()))
    })?;
    let bounded = context.xen.has(Change::BoundedList);
    let answer = if bounded { Errno::ENOBUFS.into() } else { Answer(3) };
    listed.answer.must_be(answer)
}

fn exact_totals(context: &Context) -> Outcome {
    let all = Three::load(context)?;
    for entries in 1..=3 {
        let (names, metadata) = all.sizes(0..entries);
        let (listed, ()) = patiently(context, 0, entries as u32, || {
            let mut arrays = fresh();
            let request = List {
                name_total_size: names,
                metadata_total_size: metadata,
                ..arrays.list(0, entries as u32)
            };
            Ok((once(context, request), ()))
        })?;
        listed.answer.must_be(entries as i64)?;
    }
    Ok(())
}

/// Each buffer ends one byte into the second entry's part: the first entry is complete, the
/// answer is an error all the same, and the remaining count is that after the failed entry.
fn failure_at_the_second(context: &Context) -> Outcome {
    let all = Three::load(context)?;
    for &field in Field::existing(context) {
        // The second payload has no metadata: there the third is the one that fails.
        let failing = if field == Field::Metadata { 2 } else { 1 };
        let (listed, arrays) = patiently(context, 0, 3, || {
            let mut memory = Guarded::new(field.bytes(&all, failing) + 1)?;
            let mut arrays = fresh();
            let listed = once(context, field.replace(arrays.list(0, 5), memory.output()));
            Ok((listed, arrays))
        })?;
        let at = |stop: Stop| stop.at(format_args!("{field:?}"));
        listed.answer.must_be(Errno::EFAULT).map_err(at)?;
        expect("remaining", listed.after.nr, 2 - failing as u32).map_err(at)?;
        let complete = all.expected(0..failing);
        if field != Field::Status {
            expect("first status", arrays.status[0], complete.status[0]).map_err(at)?;
        }
        if field != Field::Len {
            expect("first length", arrays.lengths[0], complete.lengths[0]).map_err(at)?;
        }
        if field != Field::Name {
            let end = NAMES[0].len();
            expect("first name", &arrays.names[..end], NAMES[0]).map_err(at)?;
        }
    }
    Ok(())
}

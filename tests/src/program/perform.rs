//! One step as a hypercall: its arguments in memory, and what came back.

use alloc::vec::Vec;

use kernel::buffer::{
    FILL, Guarded, ReadOnly, Unmapped, non_canonical_input, non_canonical_output, xen_range_input,
    xen_range_output,
};
use kernel::livepatch::Place;
use kernel::{Context, Stop};
use livepatch::abi::{
    Action, Call, Get, In, List, LivepatchStatus, NAME_SIZE_MAX, Name, Op as CallOp, Out,
    PAYLOAD_SIZE_MAX, Upload,
};
use livepatch::model::{Divergence, Observed, Prediction};
use livepatch::program::{ListArg, NameArg, Op, Placement, Sink, Source, Step};

/// Bytes behind a name, more than Xen ever reads of one.
const BEHIND_A_NAME: usize = NAME_SIZE_MAX + 1;
/// Entries for which LIST's arrays have room; there are not as many different build-ids.
const ENTRIES: usize = 64;
/// Bytes behind what LIST should write that are looked at each time; the others now and then.
const MARGIN: usize = 32;
const WHOLE_EACH: u32 = 256;

/// Xen's answer, and whether all is as predicted.
pub type Performed = (i64, Result<(), Divergence>);

/// Performs steps.
pub struct Performer<'c> {
    context: &'c Context,
    name: Vec<u8>,
    arrays: [Vec<u8>; 5],
    unmapped: Unmapped,
    lists: u32,
}

/// What Xen reads.
enum Input<'a> {
    Bytes(&'a [u8]),
    Tight(Guarded),
    ReadOnly(ReadOnly),
    Nowhere(In<'a>),
}

impl<'a> Input<'a> {
    /// `ample` is what is there in a normal case, `exact` what belongs there.
    fn new(at: Source, ample: &'a [u8], exact: &[u8], unmapped: In<'a>) -> Result<Self, Stop> {
        Ok(match at {
            Source::Ample => Self::Bytes(ample),
            Source::Tight => Self::Tight(Guarded::from_bytes(exact)?),
            Source::ReadOnly => Self::ReadOnly(Guarded::from_bytes(exact)?.into_read_only()?),
            Source::Unmapped => Self::Nowhere(unmapped),
            Source::Null => Self::Nowhere(In::NULL),
            Source::NonCanonical => Self::Nowhere(non_canonical_input()),
            Source::XenRange => Self::Nowhere(xen_range_input()),
        })
    }

    fn address(&self) -> In<'_> {
        match self {
            Self::Bytes(bytes) => In::from_slice(bytes),
            Self::Tight(memory) => memory.input(),
            Self::ReadOnly(memory) => memory.input(),
            Self::Nowhere(input) => *input,
        }
    }
}

/// What Xen writes.
enum Output {
    Ample,
    Tight(Guarded),
    ReadOnly(ReadOnly),
    Unmapped(Unmapped),
    Nowhere(fn() -> Out<'static>),
}

impl Output {
    fn new(sink: Sink) -> Result<Self, Stop> {
        const PAGE: usize = 4096;
        Ok(match sink {
            Sink::Ample => Self::Ample,
            Sink::Tight(bytes) => Self::Tight(Guarded::new(bytes.into())?),
            Sink::ReadOnly => Self::ReadOnly(Guarded::new(PAGE)?.into_read_only()?),
            Sink::Unmapped => Self::Unmapped(Guarded::new(PAGE)?.into_unmapped()?),
            Sink::Null => Self::Nowhere(|| Out::NULL),
            Sink::NonCanonical => Self::Nowhere(non_canonical_output),
            Sink::XenRange => Self::Nowhere(xen_range_output),
        })
    }

    fn address<'a>(&'a mut self, ample: &'a mut [u8]) -> Out<'a> {
        match self {
            Self::Ample => Out::from_slice(ample),
            Self::Tight(memory) => memory.output(),
            Self::ReadOnly(memory) => memory.output(),
            Self::Unmapped(memory) => memory.output(),
            Self::Nowhere(output) => output(),
        }
    }

    /// What can be read there, at most `window` bytes of the ample one.
    fn bytes<'a>(&'a self, ample: &'a [u8], window: usize) -> &'a [u8] {
        match self {
            Self::Ample => &ample[..window.min(ample.len())],
            Self::Tight(memory) => memory.bytes(),
            Self::ReadOnly(memory) => memory.bytes(),
            Self::Unmapped(_) | Self::Nowhere(_) => &[],
        }
    }
}

impl<'c> Performer<'c> {
    pub fn new(context: &'c Context) -> Result<Self, Stop> {
        let room = ListArg::ROOM as usize;
        let sizes = [ENTRIES * size_of::<LivepatchStatus>(), room, ENTRIES * 4, room, ENTRIES * 4];
        Ok(Self {
            context,
            name: Vec::new(),
            arrays: sizes.map(|size| alloc::vec![FILL; size]),
            unmapped: Guarded::new(PAYLOAD_SIZE_MAX)?.into_unmapped()?,
            lists: 0,
        })
    }

    /// Performs a livepatch call, and compares with what is predicted; the answer in any case.
    pub fn perform(
        &mut self,
        step: &Step,
        file: &[u8],
        prediction: &Prediction<'_>,
    ) -> Result<Performed, Stop> {
        match &step.op {
            Op::Upload(arg) => self.with_name(&arg.name, |this, name| {
                let longer;
                let size = arg.size.unwrap_or(file.len() as u64);
                let ample = match usize::try_from(size) {
                    Ok(size) if (file.len() + 1..=PAYLOAD_SIZE_MAX).contains(&size) => {
                        let mut padded = file.to_vec();
                        padded.resize(size, 0);
                        longer = padded;
                        &longer[..]
                    }
                    _ => file,
                };
                let payload = Input::new(arg.at, ample, file, this.unmapped.input())?;
                let upload = Upload { name, size, payload: payload.address() };
                this.call(step, CallOp::Upload(upload), prediction)
            }),
            Op::Get(arg) => self.with_name(&arg.name, |this, name| {
                let status = LivepatchStatus { state: arg.state, rc: arg.rc };
                this.call(step, CallOp::Get(Get { name, status }), prediction)
            }),
            Op::Action(arg) => self.with_name(&arg.name, |this, name| {
                let action = Action {
                    name,
                    cmd: arg.cmd.into(),
                    timeout: arg.timeout,
                    flags: arg.flags,
                    pad: arg.pad,
                };
                this.call(step, CallOp::Action(action), prediction)
            }),
            Op::List(arg) => self.list(step, arg, prediction),
            Op::Bare(_) => {
                self.call(step, CallOp::Raw([0; livepatch::abi::UNION_ROOM]), prediction)
            }
            Op::Look => Ok((0, Ok(()))),
        }
    }

    fn with_name<T>(
        &mut self,
        arg: &NameArg,
        then: impl FnOnce(&Self, Name<'_>) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        let mut name = core::mem::take(&mut self.name);
        name.clear();
        name.extend(&arg.bytes);
        name.resize(arg.bytes.len() + BEHIND_A_NAME, FILL);
        let result = {
            let memory = Input::new(arg.at, &name, &arg.bytes, self.unmapped.input())?;
            let ptr = memory.address();
            then(self, Name { ptr, size: arg.stated_size(), pad: arg.pad })
        };
        self.name = name;
        result
    }

    /// A call without arrays.
    fn call(
        &self,
        step: &Step,
        op: CallOp<'_>,
        prediction: &Prediction<'_>,
    ) -> Result<Performed, Stop> {
        let done = self.perform_call(step, op)?;
        Ok((done.answer, prediction.check(&done.observed([&[]; 5]))))
    }

    fn perform_call(&self, step: &Step, op: CallOp<'_>) -> Result<Done, Stop> {
        let livepatch = self.context.livepatch();
        let call = Call {
            interface_version: step.outer.version.unwrap_or(livepatch.version.0),
            cmd: livepatch::abi::XEN_SYSCTL_LIVEPATCH_OP,
            sub_op: step.op.sub_op(),
            flags: step.outer.flags,
            op,
        };
        let place = match step.outer.at {
            Placement::Ample => {
                let reply = livepatch.perform(&call);
                return Ok(Done {
                    answer: reply.answer.0,
                    before: *reply.before.bytes(),
                    after: Some(*reply.after.bytes()),
                });
            }
            Placement::Tight => Place::UpToTheEnd,
            Placement::Short => Place::OneByteShort,
            Placement::ReadOnly => Place::ReadOnly,
            Placement::Unmapped => Place::Unmapped,
            Placement::Null => Place::Null,
            Placement::NonCanonical => Place::NonCanonical,
            Placement::XenRange => Place::XenRange,
        };
        let placed = livepatch.perform_placed(place, &call)?;
        let before = *placed.before.bytes();
        Ok(Done { answer: placed.answer.0, before, after: placed.after })
    }

    fn list(
        &mut self,
        step: &Step,
        arg: &ListArg,
        prediction: &Prediction<'_>,
    ) -> Result<Performed, Stop> {
        self.lists += 1;
        let whole = self.lists.is_multiple_of(WHOLE_EACH);
        let windows = prediction.list_room().map(|room| match whole {
            true => usize::MAX,
            false => room + MARGIN,
        });
        for (array, window) in self.arrays.iter_mut().zip(windows) {
            let end = window.min(array.len());
            array[..end].fill(FILL);
        }
        let mut outputs = [
            Output::new(arg.arrays[0])?,
            Output::new(arg.arrays[1])?,
            Output::new(arg.arrays[2])?,
            Output::new(arg.arrays[3])?,
            Output::new(arg.arrays[4])?,
        ];
        let mut arrays = core::mem::take(&mut self.arrays);
        let done = {
            let mut ample = arrays.iter_mut();
            let mut next = |output| address(output, ample.next());
            let [status, name, len, metadata, metadata_len] = &mut outputs;
            let list = List {
                version: arg.version,
                idx: arg.idx,
                nr: arg.nr,
                pad: arg.pad,
                name_total_size: arg.name_total,
                metadata_total_size: arg.metadata_total,
                status: next(status),
                name: next(name),
                len: next(len),
                metadata: next(metadata),
                metadata_len: next(metadata_len),
            };
            self.perform_call(step, CallOp::List(list))
        };
        let verdict = done.map(|done| {
            let seen =
                core::array::from_fn(|index| outputs[index].bytes(&arrays[index], windows[index]));
            (done.answer, prediction.check(&done.observed(seen)))
        });
        self.arrays = arrays;
        verdict
    }
}

fn address<'a>(output: &'a mut Output, ample: Option<&'a mut Vec<u8>>) -> Out<'a> {
    output.address(ample.map_or(&mut [], |ample| &mut ample[..]))
}

/// What a call came to.
struct Done {
    answer: i64,
    before: [u8; livepatch::abi::SYSCTL_SIZE],
    after: Option<[u8; livepatch::abi::SYSCTL_SIZE]>,
}

impl Done {
    fn observed<'a>(&'a self, arrays: [&'a [u8]; 5]) -> Observed<'a> {
        Observed { answer: self.answer, before: &self.before, after: self.after.as_ref(), arrays }
    }
}

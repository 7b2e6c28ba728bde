//! The calls, from the outside in: `do_sysctl` (`xen/common/sysctl.c`), then `livepatch_op` and
//! what it calls (`xen/common/livepatch.c`).

use alloc::rc::Rc;

use super::loaded::Loaded;
use super::loader::{FourFunctions, Refusal, Surroundings, Unforeseen, load};
use super::name::get_name;
use super::prediction::{
    Failure, Fields, Kind, Listing, Prediction, SUCCESS, WRITE_ORDER, refused, totals,
};
use super::state::Model;
use crate::Errno;
use crate::abi::{
    ActionCmd, LIST_NR_MAX, LIVEPATCH_FIRST_UNKNOWN, OP_FLAG_FORCE, PAYLOAD_SIZE_MAX, Revision,
    State,
};
use crate::change::Change;
use crate::program::{
    GetArg, ListArg, ListArray, Op, Outer, Placement, Sink, Source, Step, UploadArg,
};

impl Model {
    /// Performs a step; `file` is the payload's file if it is an UPLOAD.
    ///
    /// # Errors
    /// What happens can't be predicted; nothing has changed.
    pub fn step(&mut self, step: &Step, file: &[u8]) -> Result<Prediction<'_>, Unforeseen> {
        if self.lost {
            return Ok(Prediction::anything());
        }
        self.call(step, file)
    }

    /// Whether a step would apply a payload that can never be reverted.
    pub fn would_stay(&self, step: &Step) -> bool {
        let Op::Action(action) = &step.op else { return false };
        let takes_effect = matches!(action.cmd, ActionCmd::Apply | ActionCmd::Replace);
        let named = get_name(&action.name).ok().and_then(|name| self.find(&name));
        takes_effect && named.is_some_and(|index| self.payloads[index].image.stays())
    }

    /// A step that may be about anything.
    fn call(&mut self, step: &Step, file: &[u8]) -> Result<Prediction<'_>, Unforeseen> {
        if step.op == Op::Look {
            return Ok(Prediction::anything());
        }
        let Outer { version, flags, at } = step.outer;
        let place = match at {
            Placement::Ample | Placement::Tight => Placement::Ample,
            Placement::ReadOnly => Placement::ReadOnly,
            _ => return Ok(Prediction { kind: refused(Errno::EFAULT), place: Placement::Ample }),
        };
        if version.is_some_and(|version| version != self.facts.version.0) {
            return Ok(Prediction { kind: refused(Errno::EACCES), place });
        }
        let refused_flags = if self.rules.has(Change::OpFlags) {
            flags & !OP_FLAG_FORCE != 0 && flags & OP_FLAG_FORCE == 0
        } else {
            flags != 0
        };
        if refused_flags {
            return Ok(Prediction { kind: refused(Errno::EINVAL), place });
        }
        let kind = match &step.op {
            Op::Upload(upload) => self.upload(upload, file)?,
            Op::Get(get) => self.get(get),
            Op::List(list) => self.list(list),
            Op::Action(action) => self.action(action)?,
            Op::Bare(sub_op) => self.bare(*sub_op),
            Op::Look => Kind::Anything,
        };
        Ok(Prediction { kind, place })
    }

    /// A sub-op with a union of zeroes.
    fn bare(&self, sub_op: u32) -> Kind<'_> {
        match sub_op {
            // No name at all, for the others.
            0 | 1 | 3 => refused(Errno::EINVAL),
            2 => self.list(&ListArg { name_total: 0, metadata_total: 0, ..ListArg::EMPTY }),
            _ => {
                debug_assert!(sub_op >= LIVEPATCH_FIRST_UNKNOWN);
                refused(Errno::EOPNOTSUPP)
            }
        }
    }

    fn get(&self, get: &GetArg) -> Kind<'static> {
        match get_name(&get.name).map(|name| self.find(&name)) {
            Err(errno) => refused(errno),
            Ok(None) => refused(Errno::ENOENT),
            Ok(Some(index)) => {
                Kind::Call { answer: 0, fields: Fields::Status(self.payloads[index].status()) }
            }
        }
    }

    fn upload(&mut self, upload: &UploadArg, file: &[u8]) -> Result<Kind<'static>, Unforeseen> {
        let size = upload.size.unwrap_or(file.len() as u64);
        let Ok(name) = get_name(&upload.name) else { return Ok(refused(Errno::EINVAL)) };
        if size == 0 || size > PAYLOAD_SIZE_MAX as u64 {
            return Ok(refused(Errno::EINVAL));
        }
        if self.rules.pv && matches!(upload.at, Source::NonCanonical | Source::XenRange) {
            return Ok(refused(Errno::EFAULT));
        }
        if self.find(&name).is_some() {
            return Ok(refused(Errno::EEXIST));
        }
        let all = size <= file.len() as u64;
        let readable = match upload.at {
            Source::Ample => true,
            Source::Tight | Source::ReadOnly => all,
            _ => false,
        };
        if !readable {
            return Ok(refused(Errno::EFAULT));
        }
        let longer;
        let file = if all {
            &file[..size as usize]
        } else {
            let mut padded = file.to_vec();
            padded.resize(size as usize, 0);
            longer = padded;
            &longer[..]
        };
        let facts = &self.facts;
        let xen = FourFunctions { endbr: facts.endbr };
        let (build_id, others) = (&*facts.build_id, &self.payloads);
        match load(file, &self.rules, Surroundings { xen: &xen, build_id, others }) {
            Ok(image) => {
                self.payloads.push(Loaded {
                    name,
                    state: State::Checked,
                    rc: 0,
                    reverted: false,
                    variables: image.variables.clone(),
                    image: Rc::new(image),
                });
                self.stamp = self.stamp.wrapping_add(1);
                Ok(SUCCESS)
            }
            Err(Refusal::Refused(why)) => Ok(refused(why.errno)),
            Err(Refusal::Unforeseen(unforeseen)) => Err(unforeseen),
        }
    }

    fn list(&self, list: &ListArg) -> Kind<'_> {
        if list.nr > LIST_NR_MAX {
            return refused(Errno::E2BIG);
        }
        if list.pad != 0 {
            return refused(Errno::EINVAL);
        }
        let revision = self.facts.revision;
        let v1 = revision == Revision::V1;
        let out_of_range = |array: ListArray| {
            let sink = list.arrays[array as usize];
            self.rules.pv && matches!(sink, Sink::NonCanonical | Sink::XenRange)
        };
        let checked_first: &[ListArray] = if v1 {
            &[ListArray::Status, ListArray::Name, ListArray::Len]
        } else {
            &[ListArray::Status, ListArray::Len, ListArray::MetadataLen]
        };
        if list.nr > 0 && checked_first.iter().any(|&array| out_of_range(array)) {
            return refused(Errno::EINVAL);
        }
        let count = self.payloads.len();
        let idx = list.idx as usize;
        if idx >= count && count > 0 {
            return refused(Errno::EINVAL);
        }
        if list.nr == 0 || count == 0 {
            let totals = (!v1).then(|| totals(&self.payloads));
            let fields = Fields::List { version: self.stamp, nr: count as u32, totals };
            return Kind::Call { answer: 0, fields };
        }
        let end = count.min(idx.saturating_add(list.nr as usize));
        let mut listing = Listing {
            revision,
            entries: &self.payloads[idx..end],
            left: (count - idx) as u32,
            stamp: self.stamp,
            failure: None,
        };
        listing.failure = self.list_failure(list, &listing);
        Kind::List(listing)
    }

    /// The first entry that can't be written, and why.
    fn list_failure(&self, list: &ListArg, listing: &Listing<'_>) -> Option<Failure> {
        let v1 = listing.revision == Revision::V1;
        let mut ends = [0; 5];
        for (index, entry) in listing.entries.iter().enumerate() {
            let failure = |errno, array| Some(Failure { entry: index, errno, array });
            let name_len = entry.name.len() + 1;
            let metadata_len = entry.image.metadata.len();
            if self.rules.has(Change::BoundedList) {
                let names = ends[ListArray::Name as usize] + name_len;
                let metadata = ends[ListArray::Metadata as usize] + metadata_len;
                if names > list.name_total as usize || metadata > list.metadata_total as usize {
                    return failure(Errno::ENOBUFS, None);
                }
            }
            let out_of_range = |array: ListArray| {
                let sink = list.arrays[array as usize];
                self.rules.pv && matches!(sink, Sink::NonCanonical | Sink::XenRange)
            };
            if !v1 && (out_of_range(ListArray::Name) || out_of_range(ListArray::Metadata)) {
                return failure(Errno::EINVAL, None);
            }
            for array in WRITE_ORDER {
                let (at, end) = listing.span(array, index, entry, ends[array as usize]);
                ends[array as usize] = end;
                let fits = match list.arrays[array as usize] {
                    _ if at == end => true,
                    Sink::Ample => true,
                    Sink::Tight(bytes) => end <= usize::from(bytes),
                    _ => false,
                };
                if !fits {
                    return failure(Errno::EFAULT, Some(array));
                }
            }
        }
        None
    }
}

//! The livepatch sysctl, performed.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use livepatch::abi::{
    Action, ActionCmd, Call, Held, LIST_NR_MAX, LIVEPATCH_ACTION, LIVEPATCH_LIST, List,
    ListBuffers, ListReply, LivepatchStatus, Name, Op, Out, Revision, SYSCTL_SIZE, State, Sysctl,
    SysctlVersion, Upload,
};

use crate::buffer::{self, Guarded};
use crate::hypercall::sched::yield_cpu;
use crate::hypercall::sysctl;
use crate::outcome::{Outcome, Stop, expect};
use crate::xen::{LivepatchSupport, Xen};
use crate::{Answer, Errno};

/// The interface that this Xen speaks.
#[derive(Clone, Copy, Debug)]
pub struct Livepatch {
    /// The sysctl interface version that Xen accepts.
    pub version: SysctlVersion,
    /// The structures that go with it.
    pub revision: Revision,
}

/// Where a call's structure may lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Its last byte is the last mapped one.
    UpToTheEnd,
    /// Its last byte is the first unmapped one.
    OneByteShort,
    /// Xen can read it but not write it back.
    ReadOnly,
    /// Nothing is mapped there.
    Unmapped,
    /// Page 0.
    Null,
    /// Not an address on x86-64.
    NonCanonical,
    /// In the range that Xen keeps for itself under PV; unmapped under PVH and HVM.
    XenRange,
}

/// What a call left behind.
pub struct Reply<'a> {
    /// Xen's return value.
    pub answer: Answer,
    /// The structure before the call.
    pub before: Sysctl<'a>,
    /// The structure after it.
    pub after: Sysctl<'a>,
}

/// What a call left behind whose structure lay somewhere special.
pub struct Placed<'a> {
    /// Xen's return value.
    pub answer: Answer,
    /// The structure before the call.
    pub before: Sysctl<'a>,
    /// The bytes of the structure after it; `None` where there is no whole one.
    pub after: Option<[u8; SYSCTL_SIZE]>,
}

/// A payload as LIST describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its name, with the NUL.
    pub name: Vec<u8>,
    /// Its state and the result of the last action.
    pub status: LivepatchStatus,
    /// Its metadata; empty where this interface has none.
    pub metadata: Vec<u8>,
}

impl Entry {
    /// The name for people.
    pub fn display_name(&self) -> String {
        String::from_utf8_lossy(self.name.strip_suffix(b"\0").unwrap_or(&self.name)).into_owned()
    }
}

/// All that LIST says about what is loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PayloadList {
    /// Count, sizes and version stamp.
    pub totals: ListReply,
    /// Every payload, in Xen's order.
    pub entries: Vec<Entry>,
}

impl Livepatch {
    pub(crate) fn new(xen: &Xen) -> Option<Self> {
        let LivepatchSupport::Available(version) = xen.livepatch else { return None };
        let layout = Revision::for_version(version)?;
        Some(Self { version, revision: layout.revision })
    }

    /// Performs a call, for its answer alone, and waits until an action is over.
    ///
    /// # Panics
    /// When Xen could write outside the buffers that the call borrows: a mistake in the test.
    pub fn call(&self, call: &Call<'_>) -> Answer {
        let mut sysctl = call.encode(self.revision);
        let answer = self.hand_over(&mut sysctl, self.held_for(call));
        self.finish(call, answer);
        answer
    }

    /// Performs a call, keeps the structure as it was and as Xen left it, and waits until an action
    /// is over.
    ///
    /// # Panics
    /// As for [`Livepatch::call`].
    pub fn perform<'a>(&self, call: &Call<'a>) -> Reply<'a> {
        let reply = self.perform_in(call, |hypercall| hypercall());
        self.finish(call, reply.answer);
        reply
    }

    /// Performs a call, and returns even if an action is not over yet.
    ///
    /// # Panics
    /// As for [`Livepatch::perform`].
    pub fn perform_without_waiting<'a>(&self, call: &Call<'a>) -> Reply<'a> {
        self.perform_in(call, |hypercall| hypercall())
    }

    /// Performs a call while an event waits for this CPU, if one is `pending`, and while Xen is to tell
    /// it of events, unless they are `masked`. One of which it is to tell makes Xen cut LIST short. An
    /// event for a guest in HVM mode is an interrupt, and interrupts are off.
    ///
    /// # Panics
    /// As for [`Livepatch::perform`].
    pub fn perform_with_event<'a>(
        &self,
        call: &Call<'a>,
        pending: bool,
        masked: bool,
    ) -> Reply<'a> {
        self.perform_in(call, |hypercall| match arch::boot().environment.is_hvm() {
            true => arch::hvm::event::with(pending, masked, hypercall),
            false => arch::pv::event::with(pending, masked, hypercall),
        })
    }

    /// Performs a call in circumstances that `around` arranges for this one hypercall.
    fn perform_in<'a>(
        &self,
        call: &Call<'a>,
        around: impl FnOnce(&mut dyn FnMut() -> Answer) -> Answer,
    ) -> Reply<'a> {
        let before = call.encode(self.revision);
        let held = self.held_for(call);
        let mut after = before.clone();
        let answer = around(&mut || self.hand_over(&mut after, held));
        Reply { answer, before, after }
    }

    /// The hypercall.
    fn hand_over(&self, sysctl: &mut Sysctl<'_>, held: Held) -> Answer {
        match sysctl::sysctl(sysctl, self.version, held) {
            Ok(answer) => answer,
            Err(refused) => panic!("{refused}"),
        }
    }

    /// Waits until an action that Xen has taken on is over.
    fn finish(&self, call: &Call<'_>, answer: Answer) {
        let Op::Action(action) = &call.op else { return };
        // EFAULT: done all the same, if only the structure could not be written back.
        let taken = answer == Answer::SUCCESS || answer == Answer::from(Errno::EFAULT);
        if call.sub_op != LIVEPATCH_ACTION || !taken {
            return;
        }
        self.wait_for(action.name);
    }

    /// Waits until no action on a payload is pending. Before 005de45c88 an action is always still
    /// pending when its call returns, since then only with several CPUs.
    pub fn wait_for(&self, name: Name<'_>) {
        /// One is enough on one CPU; on many an action is over when its time is up.
        const POLLS: u32 = 100_000;
        for _ in 0..POLLS {
            let reply = self.perform_in(&Call::get(self.version, name), |get| get());
            let pending = reply.answer == Answer::SUCCESS
                && Answer(reply.after.status().rc.into()) == Answer::from(Errno::EAGAIN);
            if !pending {
                return;
            }
            yield_cpu();
        }
    }

    /// Performs a call whose structure lies somewhere special, for its answer alone.
    ///
    /// # Errors
    /// As for [`Livepatch::perform_placed`].
    pub fn perform_at(&self, place: Place, call: &Call<'_>) -> Result<Answer, Stop> {
        self.perform_placed(place, call).map(|placed| placed.answer)
    }

    /// Performs a call whose structure lies somewhere special.
    ///
    /// # Errors
    /// A [`Stop::Error`] when memory or page tables run out.
    ///
    /// # Panics
    /// As for [`Livepatch::perform`].
    pub fn perform_placed<'a>(&self, place: Place, call: &Call<'a>) -> Result<Placed<'a>, Stop> {
        let before = call.encode(self.revision);
        if let Err(refused) = before.check_writes(self.version, self.held_for(call)) {
            panic!("{refused}");
        }
        let bytes = before.bytes();
        // SAFETY: what can be read at each of these is `before`, checked above, and otherwise
        // less than a whole structure.
        let at = |out: &Out<'_>| unsafe { sysctl::sysctl_at(out) };
        let (answer, after) = match place {
            Place::UpToTheEnd => {
                let mut memory = Guarded::from_bytes(bytes)?;
                let answer = at(&memory.output());
                (answer, memory.bytes().try_into().ok())
            }
            Place::ReadOnly => {
                let mut memory = Guarded::from_bytes(bytes)?.into_read_only()?;
                let answer = at(&memory.output());
                (answer, memory.bytes().try_into().ok())
            }
            Place::OneByteShort => {
                (at(&Guarded::from_bytes(&bytes[..bytes.len() - 1])?.output()), None)
            }
            Place::Unmapped => (at(&Guarded::from_bytes(bytes)?.into_unmapped()?.output()), None),
            Place::Null => (at(&Out::NULL), None),
            Place::NonCanonical => (at(&buffer::non_canonical_output()), None),
            Place::XenRange => (at(&buffer::xen_range_output()), None),
        };
        self.finish(call, answer);
        Ok(Placed { answer, before, after })
    }

    /// Has Xen look for the call's structure in the last bytes that 32 bits can address, where half of
    /// it would have room. Nothing is there.
    pub fn perform_in_the_last_bytes(&self, call: &Call<'_>) -> Answer {
        let room = call.encode(self.revision).bytes().len() / 2;
        // SAFETY: no whole structure can be read there.
        unsafe { sysctl::sysctl_at(&buffer::last_bytes_output(room)) }
    }

    /// Passes if Xen refuses the call with `errno`, and nothing at all has changed: neither the
    /// structure, nor the payloads, nor the version stamp.
    ///
    /// # Errors
    /// A [`Stop::Failure`] that says what was different.
    pub fn refuses(&self, call: &Call<'_>, errno: Errno) -> Outcome {
        let before = self.payload_list()?;
        let reply = self.perform(call);
        reply.answer.must_be(errno)?;
        expect("structure after the refusal", reply.after.bytes(), reply.before.bytes())?;
        expect("payloads after the refusal", self.payload_list()?, before)
    }

    /// Uploads a payload, which is taken out again when the value is dropped.
    ///
    /// # Errors
    /// A [`Stop::Error`] when Xen refuses it.
    pub fn load(&self, name: &[u8], payload: &[u8]) -> Result<Loaded<'_>, Stop> {
        let shown = String::from_utf8_lossy(name.strip_suffix(b"\0").unwrap_or(name));
        self.upload(name, payload).needed_to(&format!("upload '{shown}'"))?;
        Ok(Loaded { livepatch: self, name: name.to_vec() })
    }

    /// UPLOAD, for its answer. `name` includes its NUL.
    pub fn upload(&self, name: &[u8], payload: &[u8]) -> Answer {
        self.call(&Call::upload(self.version, Upload::new(Name::new(name), payload)))
    }

    /// GET: a payload's status. `name` includes its NUL.
    ///
    /// # Errors
    /// What Xen answers.
    pub fn get(&self, name: &[u8]) -> Result<LivepatchStatus, Errno> {
        let reply = self.perform(&Call::get(self.version, Name::new(name)));
        reply.answer.result().map(|_| reply.after.status())
    }

    /// ACTION with Xen's default timeout and no flags, for its answer.
    pub fn action(&self, name: &[u8], cmd: ActionCmd) -> Answer {
        self.call(&Call::action(self.version, Action::new(Name::new(name), cmd)))
    }

    /// What is loaded now.
    ///
    /// # Errors
    /// A [`Stop::Error`] when LIST fails.
    pub fn payload_list(&self) -> Result<PayloadList, Stop> {
        let totals = self.totals()?;
        Ok(PayloadList { totals, entries: self.list_all(totals)? })
    }

    /// How many payloads there are, and Xen's version stamp.
    ///
    /// # Errors
    /// A [`Stop::Error`] when LIST does not work at all.
    pub fn totals(&self) -> Result<ListReply, Stop> {
        let mut call = Call::list(self.version, List::EMPTY).encode(self.revision);
        self.hand_over(&mut call, Held::default()).needed_to("ask LIST for its totals")?;
        Ok(call.list(self.revision))
    }

    /// What LIST could write about at this moment.
    fn held_for(&self, call: &Call<'_>) -> Held {
        let of_none = matches!(&call.op, Op::List(list) if list.nr == 0);
        if call.sub_op != LIVEPATCH_LIST || of_none {
            return Held::default();
        }
        match self.totals() {
            Ok(totals) => totals.into(),
            // LIST does not even count: assume the most that it could write.
            Err(_) => {
                Held { payloads: LIST_NR_MAX, name_bytes: u32::MAX, metadata_bytes: u32::MAX }
            }
        }
    }

    /// Every payload, in Xen's order.
    ///
    /// # Errors
    /// A [`Stop::Error`] when LIST fails, or stops short more often than payloads can explain.
    pub fn list(&self) -> Result<Vec<Entry>, Stop> {
        self.list_all(self.totals()?)
    }

    fn list_all(&self, totals: ListReply) -> Result<Vec<Entry>, Stop> {
        let mut entries = Vec::new();
        while (entries.len() as u32) < totals.nr {
            let got = self.list_from(entries.len() as u32, totals)?;
            if got.is_empty() {
                return Err(Stop::error("LIST returns no entry though some remain"));
            }
            entries.extend(got);
        }
        Ok(entries)
    }

    fn list_from(&self, idx: u32, totals: ListReply) -> Result<Vec<Entry>, Stop> {
        let nr = (totals.nr - idx).min(LIST_NR_MAX);
        let mut buffers = ListBuffers::new(nr as usize, totals.metadata_total_size as usize, 0);
        let call = Call::list(self.version, buffers.list(idx, nr));
        let written = self.call(&call).needed_to("list the payloads")? as usize;
        let (names, metadata) = (buffers.each_name(self.revision), buffers.each_metadata());
        let entries = buffers.status.iter().zip(names).zip(metadata).take(written);
        entries
            .map(|((&status, name), metadata)| match (name, metadata) {
                (Some(name), Some(metadata)) => {
                    Ok(Entry { name: name.to_vec(), status, metadata: metadata.to_vec() })
                }
                _ => Err(Stop::error("LIST returns a length beyond its buffer")),
            })
            .collect()
    }

    /// Reverts and unloads whatever is loaded, newest first, and says what it was.
    ///
    /// # Errors
    /// A [`Stop::Error`] that names the payload that would not go.
    pub fn remove_all(&self) -> Result<Vec<String>, Stop> {
        if self.totals()?.nr == 0 {
            return Ok(Vec::new());
        }
        let entries = self.list()?;
        // Applied payloads come off in the reverse order of their application, which LIST does
        // not tell: go round until nothing more can be reverted.
        let mut applied = true;
        while applied {
            applied = false;
            for entry in self.list()? {
                if State::from(entry.status.state) == State::Applied {
                    applied |= self.action(&entry.name, ActionCmd::Revert).result().is_ok();
                }
            }
        }
        for entry in &entries {
            self.action(&entry.name, ActionCmd::Unload)
                .needed_to(&format!("remove payload '{}'", entry.display_name()))?;
        }
        Ok(entries.iter().map(Entry::display_name).collect())
    }
}

/// A payload in Xen, for as long as this value lives.
///
/// Dropping it reverts and unloads, so that a case that stops half way leaves nothing behind.
/// What will not go even so is found by the framework after the test.
pub struct Loaded<'l> {
    livepatch: &'l Livepatch,
    name: Vec<u8>,
}

impl Loaded<'_> {
    /// Its name, with the NUL.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// ACTION on it, for the answer.
    pub fn action(&self, cmd: ActionCmd) -> Answer {
        self.livepatch.action(&self.name, cmd)
    }

    /// GET on it.
    ///
    /// # Errors
    /// A [`Stop::Error`] when Xen does not know it any more.
    pub fn status(&self) -> Result<LivepatchStatus, Stop> {
        self.livepatch
            .get(&self.name)
            .map_err(|errno| Stop::error(format_args!("GET of a loaded payload answers {errno}")))
    }

    /// Passes if GET shows this state and this result of the last action (0 or a negative errno).
    ///
    /// # Errors
    /// A [`Stop::Failure`] that names both.
    pub fn must_be(&self, state: State, rc: impl Into<Answer>) -> Outcome {
        let status = self.status()?;
        let actual = (State::from(status.state), Answer(status.rc.into()));
        expect("state and rc", actual, (state, rc.into()))
    }
}

impl Drop for Loaded<'_> {
    fn drop(&mut self) {
        // The answers do not matter: see the type's documentation.
        if self.status().is_ok_and(|status| State::from(status.state) == State::Applied) {
            let _ = self.action(ActionCmd::Revert);
        }
        let _ = self.action(ActionCmd::Unload);
    }
}

//! Finds out, once and at the start, which changes the Xen underneath has.

use livepatch::abi::{
    Action, ActionCmd, Call, List, ListBuffers, NAME_SIZE_MAX, Name, OP_FLAG_FORCE,
};
use livepatch::change::Change;
use livepatch::change::probe::{BY_CALLS, UploadAnswer, plain, questions, with_metadata};
use livepatch::payload::{FuncVersion, Target};

use crate::livepatch::Livepatch;
use crate::outcome::Stop;
use crate::xen::Xen;
use crate::{Answer, Errno};

const NAME: &[u8] = b"xtf-probe\0";
const OTHER: &[u8] = b"xtf-other\0";

/// Asks `xen`. What can't be told stays as it is.
pub(crate) fn observe(livepatch: &Livepatch, xen: &mut Xen) {
    let Xen { build_id: Ok(build_id), findings, .. } = xen else { return };
    let asker = Asker { livepatch, build_id };
    // Whoever has loaded something already would find it changed.
    if !livepatch.totals().is_ok_and(|totals| totals.nr == 0) {
        return;
    }
    // Questions mean something only where a payload without any fault is accepted.
    let Some(target) = asker.target() else { return };
    for change in BY_CALLS {
        if let Some(present) = asker.by_calls(change, &target) {
            findings.observe(change, present);
        }
    }
    for question in questions(&target) {
        let change = question.change;
        let makes_sense = question.given.is_none_or(|given| findings.observed(given) == Some(true));
        let found = findings.observed(change) == Some(true);
        if !makes_sense || found {
            continue;
        }
        let answer = asker.upload(&question.file);
        if answer == question.present {
            findings.observe(change, true);
        } else if answer == question.absent {
            findings.observe(change, false);
        }
    }
}

struct Asker<'x> {
    livepatch: &'x Livepatch,
    build_id: &'x [u8],
}

impl Asker<'_> {
    /// UPLOAD of a file that is taken out again if it gets in.
    fn upload(&self, file: &[u8]) -> UploadAnswer {
        let answer = self.livepatch.upload(NAME, file).result().map(drop);
        if answer.is_ok() {
            // What will not go is found by the framework after the first test.
            let _ = self.livepatch.action(NAME, ActionCmd::Unload);
        }
        answer
    }

    /// What payloads have to be made for.
    fn target(&self) -> Option<Target> {
        let of = |func_version| Target { func_version, xen_build_id: self.build_id.to_vec() };
        [FuncVersion::V2, FuncVersion::V1]
            .map(of)
            .into_iter()
            .find(|target| self.upload(&plain(target, 0)).is_ok())
    }

    /// Whether Xen has one of [`BY_CALLS`], if that can be told.
    fn by_calls(&self, change: Change, target: &Target) -> Option<bool> {
        let livepatch = self.livepatch;
        match change {
            Change::FunctionVersion2 => Some(target.func_version == FuncVersion::V2),
            Change::OpFlags => {
                let call = Call::list(livepatch.version, List::EMPTY);
                let call = Call { flags: OP_FLAG_FORCE, ..call };
                told(livepatch.call(&call), Answer::SUCCESS, Errno::EINVAL)
            }
            // Of the next ones the interface version alone tells that they are not there: the call
            // has no room for them.
            _ if !livepatch.revision.has_metadata_and_flags() => Some(false),
            Change::ActionFlags => {
                let action = Action::new(Name::new(NAME), ActionCmd::Unload);
                let call = Call::action(livepatch.version, Action { pad: 1, ..action });
                told(livepatch.call(&call), Errno::EINVAL, Errno::ENOENT)
            }
            _ => self.by_list(change, target).ok().flatten(),
        }
    }

    /// The same for what LIST says of two payloads.
    fn by_list(&self, change: Change, target: &Target) -> Result<Option<bool>, Stop> {
        let livepatch = self.livepatch;
        let _one = livepatch.load(NAME, &with_metadata(target, 1))?;
        let _other = livepatch.load(OTHER, &plain(target, 2))?;
        let mut buffers = ListBuffers::new(2, 64, 0);
        Ok(match change {
            Change::ListMetadata => Some(livepatch.totals()?.metadata_total_size != 0),
            Change::BoundedList => {
                let call = List { name_total_size: 1, ..buffers.list(0, 1) };
                let answer = livepatch.call(&Call::list(livepatch.version, call));
                told(answer, Errno::ENOBUFS, Answer(1))
            }
            Change::PackedNames => {
                // Xen stops short when it has something else to do.
                const ATTEMPTS: u32 = 10;
                let all = (0..ATTEMPTS).any(|_| {
                    let call = buffers.list(0, 2);
                    livepatch.call(&Call::list(livepatch.version, call)) == Answer(2)
                });
                let second = |at: usize| buffers.names[at..].starts_with(OTHER);
                match (all, second(NAME.len()), second(NAME_SIZE_MAX)) {
                    (true, true, false) => Some(true),
                    (true, false, true) => Some(false),
                    _ => None,
                }
            }
            _ => None,
        })
    }
}

/// What an answer tells.
fn told(answer: Answer, present: impl Into<Answer>, absent: impl Into<Answer>) -> Option<bool> {
    if answer == present.into() {
        return Some(true);
    }
    (answer == absent.into()).then_some(false)
}

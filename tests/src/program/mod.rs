//! Programs of livepatch calls, performed and compared with the model step by step.
#![forbid(unsafe_code)]

mod files;
mod perform;

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use files::Files;
use kernel::{Answer, Context, Errno, Outcome, Stop};
use livepatch::abi::ActionCmd;
use livepatch::model::{Divergence, Facts, Model, Unforeseen};
use livepatch::program::{
    ActionArg, FunctionSpec, FunctionTarget, NameArg, Op, PayloadSpec, Step, parse,
};
use perform::Performer;
use protocol::programs::DIVERGED_AT;

use crate::support;

/// Xen and the model of it, side by side.
pub struct Session<'c> {
    context: &'c Context,
    facts: Facts,
    model: Model,
    performer: Performer<'c>,
    files: Files,
}

/// How a step went.
pub enum Went {
    /// As predicted, with this answer.
    Well(Answer),
    /// Nobody can predict it, so that it was not performed.
    Unforeseen(Unforeseen),
    /// Otherwise than predicted.
    Wrong(Divergence),
}

impl<'c> Session<'c> {
    /// Begins with an empty list.
    ///
    /// # Errors
    /// A [`Stop::Error`] when something is loaded already, or Xen tells no build-id.
    pub fn new(context: &'c Context) -> Result<Self, Stop> {
        let livepatch = context.livepatch();
        let totals = livepatch.totals()?;
        if totals.nr != 0 {
            return Err(Stop::error("the list of payloads is not empty"));
        }
        let target = support::target(context)?;
        let mut facts = Facts {
            release: context.xen.release,
            changes: context.xen.findings.changes(),
            version: livepatch.version,
            revision: livepatch.revision,
            pv: !context.environment.is_hvm(),
            build_id: target.xen_build_id.clone(),
            extra_version: context.xen.extraversion.clone(),
            endbr: None,
        };
        let mut files = Files::new(target);
        facts.endbr = Some(functions_begin_with_endbr(context, &mut files));
        let stamp = livepatch.totals()?.version;
        let performer = Performer::new(context)?;
        let model = Model::new(facts.clone(), stamp);
        Ok(Self { context, facts, model, performer, files })
    }

    /// Empties the list, and begins anew.
    ///
    /// # Errors
    /// A [`Stop::Error`] when something will not go.
    pub fn begin_anew(&mut self) -> Result<(), Stop> {
        self.remove_all()?;
        let stamp = self.context.livepatch().totals()?.version;
        self.model = Model::new(self.facts.clone(), stamp);
        Ok(())
    }

    /// Performs a step, if it can be predicted.
    ///
    /// # Errors
    /// A [`Stop::Error`] when memory or page tables run out.
    pub fn step(&mut self, step: &Step) -> Result<Went, Stop> {
        if step.op == Op::Look {
            return self.look();
        }
        let file = self.file(step);
        let prediction = match self.model.step(step, &file) {
            Ok(prediction) => prediction,
            Err(unforeseen) => return Ok(Went::Unforeseen(unforeseen)),
        };
        let (answer, outcome) = self.performer.perform(step, &file, &prediction)?;
        Ok(outcome.map_or_else(Went::Wrong, |()| Went::Well(Answer(answer))))
    }

    fn look(&self) -> Result<Went, Stop> {
        let (extra, packed) = (support::extra_version()?, support::packed_version());
        let outcome =
            if self.is_lost() { Ok(()) } else { self.model.looks().check(&extra, packed) };
        Ok(outcome.map_or_else(Went::Wrong, |()| Went::Well(Answer::SUCCESS)))
    }

    /// Performs a step that can't be predicted, for its answer; nothing is from then on.
    ///
    /// # Errors
    /// As for [`Session::step`].
    pub fn step_blindly(&mut self, step: &Step) -> Result<Answer, Stop> {
        self.model.lose_track();
        match self.step(step)? {
            Went::Well(answer) => Ok(answer),
            Went::Unforeseen(_) | Went::Wrong(_) => {
                Err(Stop::error("internal error: a divergence without a prediction"))
            }
        }
    }

    /// Whether a step would apply a payload that can never be reverted.
    pub fn would_stay(&self, step: &Step) -> bool {
        self.model.would_stay(step)
    }

    /// Whether nothing is predicted any more.
    pub const fn is_lost(&self) -> bool {
        self.model.is_lost()
    }

    fn file(&mut self, step: &Step) -> Rc<[u8]> {
        match &step.op {
            Op::Upload(upload) => self.files.get(&upload.payload),
            _ => Rc::new([]),
        }
    }

    /// The next step towards an empty list; `None` once it is empty.
    pub fn tidy_step(&self) -> Option<Step> {
        let (name, cmd) = match (self.model.applied().last(), self.model.payloads().last()) {
            (Some(name), _) => (name, ActionCmd::Revert),
            (None, Some(payload)) => (&payload.name, ActionCmd::Unload),
            (None, None) => return None,
        };
        let mut bytes = name.clone();
        bytes.push(0);
        let name = NameArg::from_bytes(bytes);
        Some(Op::Action(ActionArg { name, cmd, timeout: 0, flags: 0, pad: 0 }).into())
    }

    /// Empties the list, as far as that is possible.
    ///
    /// # Errors
    /// As for [`Session::step`].
    pub fn tidy(&mut self) -> Result<(), Stop> {
        // A veto of a hook's may have to be used up first.
        const STEPS_MAX: usize = 200;
        for _ in 0..STEPS_MAX {
            match self.tidy_step() {
                Some(step) if !self.is_lost() => drop(self.step(&step)?),
                _ => break,
            }
        }
        // What is left is the framework's to complain of.
        let _ = self.remove_all();
        what_it_says();
        Ok(())
    }

    /// Empties the list when the model is of no help any more.
    ///
    /// # Errors
    /// A [`Stop::Error`] when something will not go.
    pub fn remove_all(&self) -> Result<Vec<String>, Stop> {
        self.context.livepatch().remove_all()
    }
}

/// What the functions return that payloads replace. Should one of them still lead into a payload
/// that is gone, asking is what shows it.
pub fn what_it_says() -> (u32, Option<String>) {
    (support::packed_version(), support::extra_version().ok())
}

/// What went wrong at a step, for people and for the runner.
pub fn describe(number: usize, step: &Step, divergence: &Divergence) -> String {
    let step = step.to_string();
    format!("{DIVERGED_AT}{number}: {step}\n{divergence}")
}

/// The failure of a case at that step.
pub fn failure(number: usize, step: &Step, divergence: &Divergence) -> Stop {
    Stop::Failure(describe(number, step, divergence))
}

/// Performs the steps of a text, each of which must get its answer.
///
/// # Errors
/// A [`Stop::Failure`] that names the step; a [`Stop::Error`] if a text is no step.
#[expect(dead_code, reason = "for the cases that `xtf-runner minimize --as-case` writes")]
pub fn answers(context: &Context, steps: &[(&str, Answer)]) -> Outcome {
    let mut session = Session::new(context)?;
    for (text, expected) in steps {
        let program = parse(text).map_err(Stop::error)?;
        for step in &program.steps {
            let answer = session.step_blindly(step)?;
            answer.must_be(*expected).map_err(|stop| stop.at(text))?;
        }
    }
    context.livepatch().remove_all().map(drop)
}

/// Whether Xen leaves an ENDBR64 at its functions alone, and there is one.
fn functions_begin_with_endbr(context: &Context, files: &mut Files) -> bool {
    let mut function = FunctionSpec::new(FunctionTarget::Extra);
    // Enough for a jump, not enough for one behind an ENDBR64.
    function.old_size = 8;
    let mut payload = PayloadSpec::new(0);
    payload.functions.push(function);
    let answer = support::try_upload(context, "probe", &files.get(&payload));
    answer == Answer::from(Errno::EINVAL)
}

//! Live patches that the runner hands over ([`protocol::payloads`]), and their life in Xen.
//!
//! A test that declares [`Need::Payloads`] takes them through their life itself, with a [`Stack`].
//! Any other test of a guest that has payloads runs while all of them are applied: the framework
//! puts them in before its first case, and takes them out after the last one.
//!
//! Each step is on the console before it is made (`#>`), and what Xen answered behind it (`#=`).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use livepatch::abi::{Action, ActionCmd, Call, Name, State};
use livepatch::change::Change;
use livepatch::payload::section;
use protocol::archive::File;
use protocol::console::{DIAGNOSTIC, INDENT};
use protocol::metadata::Need;
use protocol::payloads::PAYLOADS;
use protocol::programs::{ANSWERED, APPLY, APPLY_AGAIN, PERFORMED, REPLACE, REPLACES, UPLOAD};

use crate::hypercall::physinfo;
use crate::hypercall::sched::yield_cpu;
use crate::livepatch::Livepatch;
use crate::outcome::{Outcome, Stop, expect};
use crate::test::{Context, Test};
use crate::{Answer, Errno, clock, input, println, smp};

/// Time for an action, in ns. Xen's default of 30 ms is short for a CPU to come that the machine below
/// keeps waiting.
const TIMEOUT_NS: u32 = 500_000_000;
/// Before an action if other CPUs are up, and between two looks at one that takes its time, in ns. An
/// action that follows too closely finds a CPU that still waits for the end of the one before, and its
/// time is up.
const PAUSE_NS: u64 = 5_000_000;
/// How often an action is tried whose time was up before all CPUs had come.
const ATTEMPTS: u32 = 100;

/// The payloads, in the order in which they are applied.
pub struct Stack<'c> {
    /// What the case may use.
    pub context: &'c Context,
    /// The payloads, each by the name that it gets in Xen.
    pub files: Vec<File<'static>>,
    replaces: bool,
    answers: RefCell<Vec<Step>>,
}

/// A step that was made.
#[derive(Clone, Debug)]
pub struct Step {
    /// What the payload is called in Xen.
    pub payload: &'static str,
    /// What was done with it.
    pub step: &'static str,
    /// What Xen answered, at once or in the end.
    pub answer: Answer,
}

/// A file of the archive that was handed over.
///
/// # Errors
/// A [`Stop::Error`] where the archive is damaged.
pub fn file(name: &str) -> Result<Option<&'static [u8]>, Stop> {
    for file in input::files().into_iter().flatten() {
        let file = file.map_err(Stop::error)?;
        if file.name == name {
            return Ok(Some(file.content));
        }
    }
    Ok(None)
}

/// Whether payloads were handed over. A damaged archive may hold some.
pub(crate) fn are_there() -> bool {
    let is_one = |file: &File<'_>| file.name.starts_with(PAYLOADS);
    input::files().is_some_and(|mut files| files.any(|file| file.as_ref().map_or(true, is_one)))
}

/// Whether `test` runs while payloads are applied that it does not know of.
pub(crate) fn are_around(test: &Test) -> bool {
    !test.needs.contains(&Need::Payloads) && are_there()
}

impl Context {
    /// The live patches that were handed over, for tests that declare [`Need::Payloads`].
    ///
    /// # Errors
    /// A [`Stop::Skip`] where there are none, a [`Stop::Error`] where the archive is damaged.
    pub fn payloads(&self) -> Result<Stack<'_>, Stop> {
        let mut files = Vec::new();
        for file in input::files().into_iter().flatten() {
            let File { name, content } = file.map_err(Stop::error)?;
            files.extend(name.strip_prefix(PAYLOADS).map(|name| File { name, content }));
        }
        if files.is_empty() {
            return Err(Stop::skip("no payloads were handed over; see `xtf-runner payload try`"));
        }
        let replaces = self.parameter(REPLACES, 0)? != 0;
        Ok(Stack { context: self, files, replaces, answers: RefCell::default() })
    }
}

/// Why payloads had better not be applied here.
pub(crate) fn hazard(context: &Context) -> Option<&'static str> {
    let cpus = || physinfo::physinfo(context.try_livepatch()?.version).ok().map(|info| info.cpus);
    if context.xen.has(Change::ActionAtOnce) || cpus().is_none_or(|cpus| cpus == 1) {
        return None;
    }
    Some("in an action, two CPUs of this Xen may wait for each other for ever: it lacks 005de45c88")
}

/// What is around a test.
pub(crate) struct Around<'c>(Option<Result<Stack<'c>, Stop>>);

impl<'c> Around<'c> {
    /// Puts the payloads in that are to be around `test`.
    pub(crate) fn begin(test: &Test, context: &'c Context) -> Self {
        let put_in = || {
            let unable = |stop| as_error("the payloads could not be applied", stop);
            let stack = context.payloads().map_err(unable)?;
            stack.upload().and_then(|()| stack.apply()).map_err(unable)?;
            Ok(stack)
        };
        Self(are_around(test).then(put_in))
    }

    /// Passes if they are in, or none are to be.
    pub(crate) fn check(&self) -> Outcome {
        match &self.0 {
            Some(Err(stop)) => Err(stop.clone()),
            _ => Ok(()),
        }
    }

    /// Takes them out.
    pub(crate) fn end(self) -> Outcome {
        let Some(Ok(stack)) = self.0 else { return Ok(()) };
        let taken_out = stack.revert().and_then(|()| stack.unload());
        taken_out.map_err(|stop| as_error("the payloads could not be taken out", stop))
    }
}

/// What went wrong is not what the test is about.
fn as_error(what: &str, stop: Stop) -> Stop {
    match stop {
        Stop::Failure(why) => Stop::Error(why),
        other => other,
    }
    .at(what)
}

impl Stack<'_> {
    /// Looks while all are uploaded and none is applied.
    ///
    /// # Errors
    /// What `look` says, and a [`Stop::Failure`] if Xen refuses a step. All are taken out anyway.
    pub fn while_uploaded(&self, look: impl FnOnce() -> Outcome) -> Outcome {
        self.tidied(|| {
            self.upload()?;
            look()?;
            self.unload()
        })
    }

    /// Looks while all are applied.
    ///
    /// # Errors
    /// As for [`Stack::while_uploaded`].
    pub fn while_applied(&self, look: impl FnOnce() -> Outcome) -> Outcome {
        self.tidied(|| {
            self.upload()?;
            self.apply()?;
            look()?;
            self.revert()?;
            self.unload()
        })
    }

    /// Looks when all were applied and have been reverted.
    ///
    /// # Errors
    /// As for [`Stack::while_uploaded`].
    pub fn while_reverted(&self, look: impl FnOnce() -> Outcome) -> Outcome {
        self.tidied(|| {
            self.upload()?;
            self.apply()?;
            self.revert()?;
            look()?;
            self.unload()
        })
    }

    /// Leaves no payload behind, whatever comes of `work`.
    fn tidied(&self, work: impl FnOnce() -> Outcome) -> Outcome {
        work().inspect_err(|_| {
            // What will not go is found by the framework after the test.
            let _ = self.livepatch().remove_all();
        })
    }

    /// A whole life.
    ///
    /// # Errors
    /// A [`Stop::Failure`] if Xen refuses a step.
    pub fn live(&self) -> Outcome {
        self.upload()?;
        self.apply()?;
        self.revert()?;
        self.unload()
    }

    /// The steps that were made since the last call of this function.
    pub fn take_answers(&self) -> Vec<Step> {
        self.answers.take()
    }

    /// Uploads all, in their order.
    ///
    /// # Errors
    /// A [`Stop::Failure`] if Xen refuses one, or it is not CHECKED then.
    pub fn upload(&self) -> Outcome {
        self.files.iter().try_for_each(|file| {
            let place = begin(file, UPLOAD);
            let answer = self.livepatch().upload(&name(file), file.content);
            self.answered(file, UPLOAD, answer);
            let state = || self.must_be(file, State::Checked, Answer::SUCCESS);
            answer.must_be(Answer::SUCCESS).and_then(|()| state()).map_err(|stop| stop.at(place))
        })
    }

    /// Uploads each of them while there is no other, and unloads it if Xen takes it.
    ///
    /// # Errors
    /// A [`Stop::Failure`] if Xen refuses one, once all were tried; or at once, if one that was taken
    /// is not CHECKED, or is not unloaded.
    pub fn upload_each_alone(&self) -> Outcome {
        let mut refused = Vec::new();
        for file in &self.files {
            let place = begin(file, UPLOAD);
            let answer = self.livepatch().upload(&name(file), file.content);
            self.answered(file, UPLOAD, answer);
            if answer == Answer::SUCCESS {
                self.must_be(file, State::Checked, Answer::SUCCESS)
                    .and_then(|()| self.unload_one(file))
                    .map_err(|stop| stop.at(place))?;
            } else {
                refused.push(format!("{place}: {answer}"));
            }
        }
        let Some(first) = refused.first() else { return Ok(()) };
        let (count, all) = (refused.len(), self.files.len());
        Err(Stop::failure(format_args!("{count} of {all} are refused, first {first}")))
    }

    /// LIST shows all of them, CHECKED, with their metadata, and nothing else.
    ///
    /// # Errors
    /// A [`Stop::Failure`] that says what is different.
    pub fn listed(&self) -> Outcome {
        println!("{INDENT}{DIAGNOSTIC}LIST");
        let has_metadata = self.context.xen.has(Change::Modinfo);
        let list = self.livepatch().list()?;
        for file in &self.files {
            let place = format!("{}: LIST", file.name);
            let entry = list.iter().find(|entry| entry.name == name(file));
            let entry = entry.ok_or_else(|| Stop::failure(format_args!("{place} lacks it")))?;
            let modinfo = section(file.content, ".modinfo").filter(|_| has_metadata);
            let status = (State::from(entry.status.state), Answer(entry.status.rc.into()));
            expect("state and rc", status, (State::Checked, Answer::SUCCESS))
                .and_then(|()| expect("metadata", &*entry.metadata, modinfo.unwrap_or_default()))
                .map_err(|stop| stop.at(place))?;
        }
        expect("number of payloads", list.len(), self.files.len())
    }

    /// Applies all, in their order. If the last one replaces the others, they are CHECKED then.
    ///
    /// # Errors
    /// A [`Stop::Failure`] if Xen refuses one, or a state is not what it should be.
    pub fn apply(&self) -> Outcome {
        let (others, last) = self.parts();
        let applied = |file| self.act(file, APPLY, ActionCmd::Apply, State::Applied);
        others.iter().try_for_each(applied)?;
        let Some(last) = last else { return Ok(()) };
        self.act(last, REPLACE, ActionCmd::Replace, State::Applied)?;
        others.iter().try_for_each(|file| {
            let after = || format!("{}: after the {REPLACE}", file.name);
            self.must_be(file, State::Checked, Answer::SUCCESS).map_err(|stop| stop.at(after()))
        })
    }

    /// Reverts what is applied after [`Stack::apply`], the last one first.
    ///
    /// # Errors
    /// As for [`Stack::apply`].
    pub fn revert(&self) -> Outcome {
        match self.parts() {
            (all, None) => self.revert_each(all),
            (_, Some(last)) => self.revert_each(core::slice::from_ref(last)),
        }
    }

    fn revert_each(&self, files: &[File<'static>]) -> Outcome {
        let reverted = |file| self.act(file, "REVERT", ActionCmd::Revert, State::Checked);
        files.iter().rev().try_for_each(reverted)
    }

    /// Applies as many files as Xen applies a second time, and reverts them. A payload that may have
    /// changed itself is refused, and what depends on it stays where it is. One that replaces others
    /// depends on none of them.
    ///
    /// # Errors
    /// As for [`Stack::apply`].
    pub fn apply_again(&self) -> Outcome {
        let (others, last) = self.parts();
        self.apply_each_again(others)?;
        last.map_or(Ok(()), |last| self.apply_each_again(core::slice::from_ref(last)))
    }

    fn apply_each_again(&self, files: &[File<'static>]) -> Outcome {
        for (count, file) in files.iter().enumerate() {
            let place = begin(file, APPLY_AGAIN);
            let (answer, rc) = self.perform(file, APPLY_AGAIN, ActionCmd::Apply)?;
            if answer == Answer::SUCCESS && rc == Answer::from(Errno::EINVAL) {
                self.must_be(file, State::Checked, rc).map_err(|stop| stop.at(&place))?;
                println!("{INDENT}{DIAGNOSTIC}{place} is refused: it is not safe to apply again");
                return self.revert_each(&files[..count]);
            }
            answer
                .must_be(Answer::SUCCESS)
                .and_then(|()| self.must_be(file, State::Applied, Answer::SUCCESS))
                .map_err(|stop| stop.at(place))?;
        }
        self.revert_each(files)
    }

    /// Unloads all, the last one first.
    ///
    /// # Errors
    /// A [`Stop::Failure`] if Xen refuses to, or knows one afterwards.
    pub fn unload(&self) -> Outcome {
        self.files.iter().rev().try_for_each(|file| self.unload_one(file))
    }

    fn unload_one(&self, file: &File<'static>) -> Outcome {
        let place = begin(file, "UNLOAD");
        let answer = self.livepatch().action(&name(file), ActionCmd::Unload);
        self.answered(file, "UNLOAD", answer);
        let after = || self.livepatch().get(&name(file)).map(|status| status.state);
        answer
            .must_be(Answer::SUCCESS)
            .and_then(|()| expect("GET", after(), Err(Errno::ENOENT)))
            .map_err(|stop| stop.at(place))
    }

    fn livepatch(&self) -> &Livepatch {
        self.context.livepatch()
    }

    /// Those that are put in by APPLY, and the one that replaces them, if one does.
    fn parts(&self) -> (&[File<'static>], Option<&File<'static>>) {
        match self.files.split_last() {
            Some((last, others)) if self.replaces => (others, Some(last)),
            _ => (&self.files, None),
        }
    }

    /// An action that must lead to `state`.
    fn act(
        &self,
        file: &File<'static>,
        what: &'static str,
        cmd: ActionCmd,
        state: State,
    ) -> Outcome {
        let place = begin(file, what);
        let (answer, _) = self.perform(file, what, cmd)?;
        answer
            .must_be(Answer::SUCCESS)
            .and_then(|()| self.must_be(file, state, Answer::SUCCESS))
            .map_err(|stop| stop.at(place))
    }

    /// An action; returns its answer and, once it is over, its result.
    fn perform(
        &self,
        file: &File<'static>,
        what: &'static str,
        cmd: ActionCmd,
    ) -> Result<(Answer, Answer), Stop> {
        let mut attempts = 1;
        let name = name(file);
        let (answer, rc) = loop {
            if smp::others_are_up() {
                pause();
            }
            let action = Action { timeout: TIMEOUT_NS, ..Action::new(Name::new(&name), cmd) };
            let answer = self.livepatch().call(&Call::action(self.livepatch().version, action));
            let rc = self.settled(file)?;
            let late = answer == Answer::SUCCESS && rc == Answer::from(Errno::EBUSY);
            if !late || attempts == ATTEMPTS {
                break (answer, rc);
            }
            attempts += 1;
        };
        self.answered(file, what, if answer == Answer::SUCCESS { rc } else { answer });
        if attempts > 1 {
            println!("{INDENT}{DIAGNOSTIC}{}: {what} took {attempts} attempts (EBUSY)", file.name);
        }
        Ok((answer, rc))
    }

    /// Says what Xen answered to a step, and remembers it.
    fn answered(&self, file: &File<'static>, step: &'static str, answer: Answer) {
        println!("{INDENT}{ANSWERED}{answer}");
        self.answers.borrow_mut().push(Step { payload: file.name, step, answer });
    }

    /// The result of the last action on a file, once it is over.
    fn settled(&self, file: &File<'_>) -> Result<Answer, Stop> {
        loop {
            let (_, rc) = self.status(file)?;
            if rc != Answer::from(Errno::EAGAIN) {
                return Ok(rc);
            }
            pause();
        }
    }

    fn must_be(&self, file: &File<'_>, state: State, rc: Answer) -> Outcome {
        expect("state and rc", self.status(file)?, (state, rc))
    }

    fn status(&self, file: &File<'_>) -> Result<(State, Answer), Stop> {
        let status = self.livepatch().get(&name(file));
        let status = status
            .map_err(|errno| Stop::failure(format_args!("{}: GET answers {errno}", file.name)))?;
        Ok((State::from(status.state), Answer(status.rc.into())))
    }
}

/// Waits. A sleep of this CPU would take many times as long in an emulator.
fn pause() {
    let end = clock::now_ns() + PAUSE_NS;
    while clock::now_ns() < end {
        yield_cpu();
    }
}

/// Says what comes next; returns it.
fn begin(file: &File<'_>, what: &str) -> String {
    let place = format!("{}: {what}", file.name);
    println!("{INDENT}{PERFORMED}{place}");
    place
}

/// A file's name in Xen, with the NUL.
fn name(file: &File<'_>) -> Vec<u8> {
    [file.name.as_bytes(), b"\0"].concat()
}

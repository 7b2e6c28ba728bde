//! # payload-try
//!
//! Takes the live patches that `xtf-runner payload try` hands over through their life, as a stack:
//! all of them are uploaded and applied in the order given, and reverted and unloaded in the reverse
//! order. Each step is on the console before it is made (`#>`), and what Xen answered behind it
//! (`#=`). The cases build upon each other. When one of them fails, those after it are skipped, and the
//! first of them removes what is loaded.
//!
//! Somebody who looks from outside of the machine is asked to remember Xen's code before the first
//! upload, and to compare it with what it is while all payloads are applied, and in the end. No
//! other case depends on these two.
//!
//! The first life warms Xen's allocators up. Memory is compared over the `cycles` further ones.
#![forbid(unsafe_code)]

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use kernel::hypercall::physinfo;
use kernel::livepatch::Entry;
use kernel::xen::Change;
use kernel::{
    Answer, Case, Category, Context, Environment, Errno, Need, Outcome, Stop, Test, expect, files,
    lookout, println,
};
use livepatch::abi::{ActionCmd, State};
use livepatch::payload::section;
use protocol::archive::File;
use protocol::console::{DIAGNOSTIC, INDENT};
use protocol::lookout::{LOOKOUT, Request};
use protocol::programs::{ANSWERED, APPLY_AGAIN, CYCLES, PAYLOAD_TRY, PERFORMED, UPLOAD};
use spin::Mutex;

/// The test.
pub const TEST: Test = Test {
    name: PAYLOAD_TRY,
    title: "Given live patches, from their upload to the last trace of them",
    category: Category::Utility,
    environments: &[Environment::Pv64, Environment::Pvh64],
    needs: &[Need::Privileged, Need::Livepatch],
    own_boot: true,
    default: false,
    timeout_s: 60,
    parameters: &[CYCLES, LOOKOUT],
    cases: &[
        Case::new("upload", |c| stage(c, 0, upload)),
        Case::new("listed", |c| stage(c, 1, |stack, _| stack.listed())),
        Case::new("apply", |c| stage(c, 2, |stack, _| stack.apply())),
        Case::new("code_while_applied", |c| {
            stage(c, 3, |_, _| Ok(()))?;
            lookout::ask(Request::Patched)
        }),
        Case::new("revert", |c| stage(c, 4, |stack, _| stack.revert(stack.files.len()))),
        Case::new("apply_again", |c| stage(c, 5, |stack, _| stack.apply_again())),
        Case::new("unload", |c| stage(c, 6, unload)),
        Case::new("cycles", |c| stage(c, 7, |stack, _| cycles(stack))),
        Case::new("nothing_is_left", |c| stage(c, 8, nothing_is_left)),
        Case::new("code_restored", code_restored),
    ],
    ..Test::DEFAULT
};

/// How many cycles there are if nobody says it.
const CYCLES_DEFAULT: u64 = 3;

/// What the cases know of those before them.
struct Progress {
    /// So many of them have passed.
    passed: usize,
    /// The version stamp before the first upload.
    stamp: u32,
    /// Xen's free pages after the first life.
    free_pages: u64,
}

static PROGRESS: Mutex<Progress> = Mutex::new(Progress { passed: 0, stamp: 0, free_pages: 0 });

/// The payloads, in the order in which they are loaded.
struct Stack<'c> {
    context: &'c Context,
    files: Vec<File<'static>>,
}

/// Case number `number`, unless one before it did not pass.
fn stage(
    context: &Context,
    number: usize,
    work: fn(&Stack<'_>, &mut Progress) -> Outcome,
) -> Outcome {
    let Some(files) = files() else {
        return Err(Stop::skip("no payloads were handed over; see `xtf-runner payload try`"));
    };
    let files = files.collect::<Result<Vec<_>, _>>().map_err(Stop::error)?;
    if files.is_empty() {
        return Err(Stop::skip("the archive of payloads is empty"));
    }
    let mut progress = PROGRESS.lock();
    if progress.passed < number {
        let missing = TEST.cases[progress.passed].name;
        context.livepatch().remove_all()?;
        return Err(Stop::skip(format_args!("`{missing}` did not pass before")));
    }
    let outcome = work(&Stack { context, files }, &mut progress);
    if outcome.is_ok() {
        progress.passed = number + 1;
    }
    outcome
}

fn upload(stack: &Stack<'_>, progress: &mut Progress) -> Outcome {
    // If that fails, `code_restored` says so: whoever looks remembers that, too.
    let _ = lookout::ask(Request::Remember);
    progress.stamp = stack.context.livepatch().totals()?.version;
    stack.upload()
}

fn unload(stack: &Stack<'_>, progress: &mut Progress) -> Outcome {
    stack.unload()?;
    progress.free_pages = free_pages(stack.context)?;
    Ok(())
}

fn number_of_cycles(context: &Context) -> Result<u64, Stop> {
    context.parameter(CYCLES, CYCLES_DEFAULT)
}

fn cycles(stack: &Stack<'_>) -> Outcome {
    let total = number_of_cycles(stack.context)?;
    for number in 1..=total {
        stack.live().map_err(|stop| stop.at(format_args!("cycle {number} of {total}")))?;
    }
    Ok(())
}

fn nothing_is_left(stack: &Stack<'_>, progress: &mut Progress) -> Outcome {
    let Stack { context, files } = stack;
    let left = context.livepatch().payload_list()?;
    expect("payloads", left.entries.iter().map(Entry::display_name).collect(), Vec::new())?;
    // An upload and an unload for each file and life.
    let lives = 1 + number_of_cycles(context)?;
    let moves = (2 * files.len() as u64).wrapping_mul(lives) as u32;
    expect("version stamp", left.totals.version, progress.stamp.wrapping_add(moves))?;
    expect("free pages", free_pages(context)?, progress.free_pages)
}

/// Also after a step that failed, once what it left behind is removed.
fn code_restored(context: &Context) -> Outcome {
    context.livepatch().remove_all()?;
    lookout::ask(Request::Restored)
}

fn free_pages(context: &Context) -> Result<u64, Stop> {
    let info = physinfo::physinfo(context.livepatch().version);
    let info =
        info.map_err(|errno| Stop::error(format_args!("XEN_SYSCTL_physinfo answers {errno}")))?;
    Ok(info.free_pages)
}

impl Stack<'_> {
    /// A whole life.
    fn live(&self) -> Outcome {
        self.upload()?;
        self.apply()?;
        self.revert(self.files.len())?;
        self.unload()
    }

    fn upload(&self) -> Outcome {
        self.files.iter().try_for_each(|file| {
            let place = begin(file, UPLOAD);
            let answer = self.context.livepatch().upload(&name(file), file.content);
            println!("{INDENT}{ANSWERED}{answer}");
            let state = || self.must_be(file, State::Checked, Answer::SUCCESS);
            answer.must_be(Answer::SUCCESS).and_then(|()| state()).map_err(|stop| stop.at(place))
        })
    }

    /// LIST shows the files, and nothing else.
    fn listed(&self) -> Outcome {
        println!("{INDENT}{DIAGNOSTIC}LIST");
        let has_metadata = self.context.xen.has(Change::Modinfo);
        let list = self.context.livepatch().list()?;
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

    fn apply(&self) -> Outcome {
        self.files
            .iter()
            .try_for_each(|file| self.act(file, "APPLY", ActionCmd::Apply, State::Applied))
    }

    /// Reverts the first `count` files, the last of them first.
    fn revert(&self, count: usize) -> Outcome {
        self.files[..count]
            .iter()
            .rev()
            .try_for_each(|file| self.act(file, "REVERT", ActionCmd::Revert, State::Checked))
    }

    /// Applies as many files as Xen applies a second time, and reverts them. A payload that may have
    /// changed itself is refused, and what depends on it stays where it is.
    fn apply_again(&self) -> Outcome {
        for (count, file) in self.files.iter().enumerate() {
            let place = begin(file, APPLY_AGAIN);
            let (answer, rc) = self.perform(file, ActionCmd::Apply)?;
            if answer == Answer::SUCCESS && rc == Answer::from(Errno::EINVAL) {
                self.must_be(file, State::Checked, rc).map_err(|stop| stop.at(&place))?;
                println!("{INDENT}{DIAGNOSTIC}{place} is refused: it is not safe to apply again");
                return self.revert(count);
            }
            answer
                .must_be(Answer::SUCCESS)
                .and_then(|()| self.must_be(file, State::Applied, Answer::SUCCESS))
                .map_err(|stop| stop.at(place))?;
        }
        self.revert(self.files.len())
    }

    fn unload(&self) -> Outcome {
        self.files.iter().rev().try_for_each(|file| {
            let place = begin(file, "UNLOAD");
            let answer = self.context.livepatch().action(&name(file), ActionCmd::Unload);
            println!("{INDENT}{ANSWERED}{answer}");
            let after = || self.context.livepatch().get(&name(file)).map(|status| status.state);
            answer
                .must_be(Answer::SUCCESS)
                .and_then(|()| expect("GET", after(), Err(Errno::ENOENT)))
                .map_err(|stop| stop.at(place))
        })
    }

    /// An action that must lead to `state`.
    fn act(&self, file: &File<'_>, what: &str, cmd: ActionCmd, state: State) -> Outcome {
        let place = begin(file, what);
        let (answer, _) = self.perform(file, cmd)?;
        answer
            .must_be(Answer::SUCCESS)
            .and_then(|()| self.must_be(file, state, Answer::SUCCESS))
            .map_err(|stop| stop.at(place))
    }

    /// An action; returns its answer and, once it is over, its result.
    fn perform(&self, file: &File<'_>, cmd: ActionCmd) -> Result<(Answer, Answer), Stop> {
        let answer = self.context.livepatch().action(&name(file), cmd);
        let (_, rc) = self.status(file)?;
        println!("{INDENT}{ANSWERED}{}", if answer == Answer::SUCCESS { rc } else { answer });
        Ok((answer, rc))
    }

    fn must_be(&self, file: &File<'_>, state: State, rc: Answer) -> Outcome {
        expect("state and rc", self.status(file)?, (state, rc))
    }

    fn status(&self, file: &File<'_>) -> Result<(State, Answer), Stop> {
        let status = self.context.livepatch().get(&name(file));
        let status = status
            .map_err(|errno| Stop::failure(format_args!("{}: GET answers {errno}", file.name)))?;
        Ok((State::from(status.state), Answer(status.rc.into())))
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

//! # livepatch-soak
//!
//! The same over and over: hundreds of lives of a payload, and random sequences of actions on half
//! a dozen payloads. After each step what Xen answers, what GET shows and which patch is seen are
//! compared with what a few lines of bookkeeping expect, and in the end Xen has as many free pages
//! as after the first round. So a leak of pages shows at once; a smaller one, a list that loses an
//! entry or a function that is not put back exactly shows sooner or later.
//!
//! The random sequences are the same each time: their seeds are part of the cases' names. With
//! `times=N` on the command line, everything goes on for N times as long.
//!
//! Where this is in Xen: `livepatch_upload`, `livepatch_action`, `free_payload`
//! (xen/common/livepatch.c).
#![forbid(unsafe_code)]

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use kernel::livepatch::Livepatch;
use kernel::xen::Change;
use kernel::{Answer, Case, Context, Errno, Need, Outcome, Stop, Test, expect};
use livepatch::abi::{ACTION_FLAG_NODEPS, Action, ActionCmd, Call, LivepatchStatus, Name, State};
use livepatch::payload::{Chunk, Function, code};
use livepatch::program::Rng;

use crate::support::{
    apply, costs_no_memory, extra_version, load, load_marker, marker, packed_version, payload,
    reads, replace, revert, unload,
};

/// The test.
pub const TEST: Test = Test {
    name: "livepatch-soak",
    title: "Hundreds of live patches",
    needs: &[Need::Privileged, Need::Livepatch],
    timeout_s: 120,
    parameters: &[TIMES],
    cases: &[
        Case::new("cycle/apply_and_revert", apply_and_revert),
        Case::new("cycle/replace_one_another", replace_one_another),
        Case::new("cycle/upload_and_unload", upload_and_unload),
        Case::new("cycle/refused_upload", refused_upload),
        Case::new("cycle/whole_life", whole_life),
        Case::new("many/a_hundred_loaded", a_hundred_loaded),
        Case::new("many/a_stack_of_forty", a_stack_of_forty),
        Case::new("random/seed_1", |c| random(c, 1)),
        Case::new("random/seed_2", |c| random(c, 2)),
        Case::new("random/seed_3", |c| random(c, 3)),
        Case::new("random/seed_4", |c| random(c, 4)),
    ],
    ..Test::DEFAULT
};

/// How much longer everything goes on.
const TIMES: &str = "times";

/// `rounds`, so many times.
fn rounds(context: &Context, rounds: u64) -> Result<u64, Stop> {
    Ok(rounds.saturating_mul(context.parameter(TIMES, 1)?))
}

fn apply_and_revert(context: &Context) -> Outcome {
    let original = extra_version()?;
    let loaded = load_marker(context, "-cycle")?;
    costs_no_memory(context, rounds(context, 200)?, || {
        apply(&loaded)?;
        reads("-cycle")?;
        revert(&loaded)?;
        reads(&original)
    })
}

fn replace_one_another(context: &Context) -> Outcome {
    let original = extra_version()?;
    let x = load_marker(context, "-x")?;
    let y = load_marker(context, "-y")?;
    costs_no_memory(context, rounds(context, 50)?, || {
        replace(&x)?;
        reads("-x")?;
        replace(&y)?;
        reads("-y")
    })?;
    revert(&y)?;
    reads(&original)
}

/// How often a large payload comes and goes, and its size. Zeroes take no room in the file.
const LARGE_ROUNDS: u64 = 3;
const LARGE: usize = 2 << 20;

fn upload_and_unload(context: &Context) -> Outcome {
    let file = marker(context, "-large")?.bss("ballast", LARGE).to_bytes();
    let large_rounds = rounds(context, LARGE_ROUNDS)?;
    costs_no_memory(context, large_rounds, || context.livepatch().load(b"large\0", &file).map(drop))
}

/// Refused when Xen has made room for it already: for a relocation, for a function, for a symbol.
fn refused_upload(context: &Context) -> Outcome {
    let large = marker(context, "-large")?.bss("ballast", LARGE);
    let refused = [
        (large.clone().rodata("pointer", Chunk::address_of("xtf_nobody")), Errno::ENOENT),
        (large.clone().function(Function::named("xtf_nobody", code::ret())), Errno::ENOENT),
        (large.clone().rodata("xen_deny", [0; 4]).export("xen_deny"), Errno::EEXIST),
    ];
    // The last one is refused by a Xen that minds names of its own.
    let minds = context.xen.has(Change::KnownSymbols);
    let refused = if minds { &refused[..] } else { &refused[..2] };
    let large_rounds = rounds(context, LARGE_ROUNDS)?;
    refused.iter().try_for_each(|(payload, errno)| {
        let file = payload.to_bytes();
        costs_no_memory(context, large_rounds, || {
            context.livepatch().upload(b"large\0", &file).must_be(*errno)
        })
    })
}

fn whole_life(context: &Context) -> Outcome {
    let original = extra_version()?;
    let patch = marker(context, "-life")?.data("data", [1; 64]).bss("bss", 9000);
    costs_no_memory(context, rounds(context, 50)?, || {
        let loaded = load(context, "life", &patch)?;
        apply(&loaded)?;
        reads("-life")?;
        revert(&loaded)?;
        reads(&original)?;
        unload(context, &loaded)
    })
}

fn a_hundred_loaded(context: &Context) -> Outcome {
    const COUNT: usize = 100;
    let names: Vec<_> = (0..COUNT).map(|n| n.to_string()).collect();
    let mut loaded = Vec::new();
    for name in &names {
        loaded.push(load_marker(context, name)?);
    }
    let list = || Ok(context.livepatch().list()?.iter().map(|e| e.display_name()).collect());
    expect::<Result<Vec<String>, Stop>>("LIST", list(), Ok(names.clone()))?;
    // Every second one goes.
    for index in (0..COUNT).rev().step_by(2) {
        unload(context, &loaded[index])?;
    }
    let rest = names.iter().step_by(2).cloned().collect();
    expect::<Result<Vec<String>, Stop>>("LIST of the rest", list(), Ok(rest))
}

/// All on the same function.
fn a_stack_of_forty(context: &Context) -> Outcome {
    const COUNT: usize = 40;
    let original = extra_version()?;
    let names: Vec<_> = (0..COUNT).map(|n| alloc::format!("-{n}")).collect();
    let mut loaded = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let patch = marker(context, name)?;
        let patch = if index == 0 { patch } else { patch.depends(names[index - 1].as_str()) };
        loaded.push(load(context, name, &patch)?);
    }
    for (top, name) in loaded.iter().zip(&names) {
        apply(top)?;
        reads(name)?;
    }
    while let Some(top) = loaded.pop() {
        revert(&top)?;
        reads(loaded.len().checked_sub(1).map_or(&original, |below| &names[below]))?;
    }
    Ok(())
}

/// A payload of the random sequences.
struct Kind {
    /// Its name, its build-id and what the extra version reads with it.
    id: &'static str,
    /// What it goes on top of; Xen itself if none.
    below: Option<&'static str>,
    /// Whether it has a variable.
    data: bool,
    /// What XENVER_version's minor version reads with it, if it patches that instead.
    minor: Option<u32>,
}

const KINDS: [Kind; 7] = [
    Kind { id: "-a", below: None, data: false, minor: None },
    Kind { id: "-b", below: Some("-a"), data: false, minor: None },
    Kind { id: "-c", below: Some("-b"), data: false, minor: None },
    Kind { id: "-d", below: None, data: true, minor: None },
    Kind { id: "-e", below: Some("-d"), data: true, minor: None },
    Kind { id: "-f", below: None, data: false, minor: Some(0x100) },
    Kind { id: "-g", below: Some("-a"), data: false, minor: Some(0x200) },
];

/// What is known about a payload that is loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Known {
    reverted: bool,
    rc: i32,
}

/// What Xen must look like.
struct Books {
    loaded: [Option<Known>; KINDS.len()],
    /// Bottom first.
    applied: Vec<usize>,
    extra: String,
    version: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Upload,
    Action(ActionCmd),
    ApplyNodeps,
}

const STEPS: [Step; 7] = [
    Step::Upload,
    Step::Upload,
    Step::Action(ActionCmd::Apply),
    Step::Action(ActionCmd::Revert),
    Step::Action(ActionCmd::Unload),
    Step::Action(ActionCmd::Replace),
    Step::ApplyNodeps,
];

impl Books {
    /// Writes down a step and returns what Xen must answer to it.
    fn take(&mut self, step: Step, index: usize) -> Answer {
        use ActionCmd::{Apply, Replace, Revert, Unload};
        let applied = self.applied.contains(&index);
        let Some(mut known) = self.loaded[index] else {
            if step == Step::Upload {
                self.loaded[index] = Some(Known::default());
                return Answer::SUCCESS;
            }
            return Errno::ENOENT.into();
        };
        let below = self.applied.last().map(|&top| KINDS[top].id);
        let fits = KINDS[index].below == below;
        let spent = known.reverted && KINDS[index].data;
        let answer = match step {
            Step::Upload => Errno::EEXIST.into(),
            Step::Action(Unload) if applied => Errno::EINVAL.into(),
            Step::Action(Unload) => {
                self.loaded[index] = None;
                return Answer::SUCCESS;
            }
            Step::Action(Revert) if self.applied.last() == Some(&index) => {
                self.applied.pop();
                known = Known { reverted: true, rc: 0 };
                Answer::SUCCESS
            }
            Step::Action(Revert) if applied => Errno::EBUSY.into(),
            Step::Action(Apply | Replace) | Step::ApplyNodeps if applied => Answer::SUCCESS,
            Step::Action(Apply) | Step::ApplyNodeps if spent => {
                known.rc = -i32::from(Errno::EINVAL.0);
                Answer::SUCCESS
            }
            Step::Action(Apply) if !fits => Errno::EINVAL.into(),
            Step::Action(Replace) if KINDS[index].below.is_some() => Errno::EINVAL.into(),
            Step::Action(Apply) | Step::ApplyNodeps => {
                self.applied.push(index);
                known.rc = 0;
                Answer::SUCCESS
            }
            Step::Action(Replace) => {
                for other in core::mem::replace(&mut self.applied, Vec::from([index])) {
                    self.loaded[other] = Some(Known { reverted: true, rc: 0 });
                }
                known.rc = 0;
                Answer::SUCCESS
            }
            Step::Action(_) => Answer::SUCCESS,
        };
        self.loaded[index] = Some(known);
        answer
    }

    /// What GET must answer about a payload.
    fn status(&self, index: usize) -> Result<LivepatchStatus, Errno> {
        let applied = self.applied.contains(&index);
        let state = if applied { State::Applied } else { State::Checked };
        let status = |known: Known| LivepatchStatus { state: state.into(), rc: known.rc };
        self.loaded[index].map(status).ok_or(Errno::ENOENT)
    }

    /// What the two patched functions must return: whatever the topmost patch of each says.
    fn seen(&self) -> (String, u32) {
        let patches = || self.applied.iter().rev().map(|&index| &KINDS[index]);
        let extra = patches().find(|kind| kind.minor.is_none());
        let minor = patches().find_map(|kind| kind.minor);
        (
            extra.map_or_else(|| self.extra.clone(), |kind| kind.id.into()),
            minor.map_or(self.version, |minor| self.version & 0xffff_0000 | minor),
        )
    }
}

fn file(context: &Context, kind: &Kind) -> Result<Vec<u8>, Stop> {
    let mut patch = match kind.minor {
        None => marker(context, kind.id)?,
        Some(minor) => payload(context, kind.id)?
            .function(Function::named("xen_minor_version", code::return_u32(minor))),
    };
    if let Some(below) = kind.below {
        patch = patch.depends(below);
    }
    if kind.data {
        patch = patch.data("variable", [0; 4]);
    }
    Ok(patch.to_bytes())
}

fn perform(livepatch: &Livepatch, step: Step, name: &[u8], file: &[u8]) -> Answer {
    let action = |cmd, flags| {
        let action = Action { flags, ..Action::new(Name::new(name), cmd) };
        livepatch.call(&Call::action(livepatch.version, action))
    };
    match step {
        Step::Upload => livepatch.upload(name, file),
        Step::Action(cmd) => action(cmd, 0),
        Step::ApplyNodeps => action(ActionCmd::Apply, ACTION_FLAG_NODEPS),
    }
}

fn random(context: &Context, seed: u64) -> Outcome {
    let outcome = random_steps(context, seed);
    // Its payloads come off in an order that only the books know.
    context.livepatch().remove_all()?;
    outcome.map_err(|stop| stop.at(format_args!("seed {seed}")))
}

fn random_steps(context: &Context, seed: u64) -> Outcome {
    let livepatch = context.livepatch();
    let steps = if livepatch.revision.has_metadata_and_flags() { &STEPS[..] } else { &STEPS[..6] };
    let files = KINDS.iter().map(|kind| file(context, kind)).collect::<Result<Vec<_>, _>>()?;
    let names = KINDS.map(|kind| alloc::format!("{}\0", kind.id));
    let mut random = Rng::new(seed);
    let mut books = Books {
        loaded: [None; KINDS.len()],
        applied: Vec::new(),
        extra: extra_version()?,
        version: packed_version(),
    };
    for number in 0..rounds(context, 150)? {
        let step = random.pick(steps);
        let index = random.below(KINDS.len() as u32) as usize;
        let place =
            |stop: Stop| stop.at(format_args!("step {number}, {step:?} of '{}'", KINDS[index].id));
        let answer = books.take(step, index);
        perform(livepatch, step, names[index].as_bytes(), &files[index])
            .must_be(answer)
            .map_err(place)?;
        for (index, name) in names.iter().enumerate() {
            expect("GET", livepatch.get(name.as_bytes()), books.status(index)).map_err(place)?;
        }
        expect("what is seen", (extra_version()?, packed_version()), books.seen())
            .map_err(place)?;
    }
    Ok(())
}

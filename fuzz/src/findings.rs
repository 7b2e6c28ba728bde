//! What kills Xen: tried again on a fresh boot, told apart, named, made small, and kept.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use livepatch::program::{Op, Program, encode};
use xtf_runner::exit::{IoContext, Result};
use xtf_runner::fuzz::{Target, Words};

use crate::lethal::{self, Lethal};
use crate::machine::{Death, Machine, Outcome};

/// Time for a program on a fresh boot; nobody else waits.
const TIME: Duration = Duration::from_secs(20);
/// The longest name of a file, without its ending.
const NAME_MAX: usize = 80;
/// Boots that making a finding small may take.
const BOOTS: usize = 20;

/// How a program fails.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Failure {
    Died(Death),
    Diverged(Vec<String>),
    Hung,
}

impl Failure {
    /// Of the outcome, if it is one.
    fn of(outcome: Outcome) -> Option<Failure> {
        match outcome {
            Outcome::Died(death) => Some(Failure::Died(death)),
            Outcome::Diverged(words) => Some(Failure::Diverged(words)),
            Outcome::Hung => Some(Failure::Hung),
            Outcome::Done | Outcome::Dirty | Outcome::Unable => None,
        }
    }

    /// What tells it from others: Xen's words, and the place.
    fn key(&self, target: &Target) -> String {
        match self {
            Failure::Hung => "hang".into(),
            Failure::Diverged(words) => format!("diverges: {}", words.join(" ")),
            Failure::Died(death) => {
                let place = death.address.map(|address| {
                    let name = target.build.symbols.describe(address);
                    name.unwrap_or_else(|| "nowhere".into())
                });
                let words = death.headline.trim_start_matches("Xen panicked: ");
                match place {
                    Some(place) => format!("{words} at {place}"),
                    None => words.to_owned(),
                }
            }
        }
    }
}

/// Something that kills Xen, or hangs it.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What tells it from others.
    pub key: String,
    /// The name under which it is known, if it is.
    pub known: Option<Lethal>,
    /// What does it.
    pub program: Program,
    failure: Failure,
    /// How often it came up.
    pub times: usize,
}

impl Finding {
    /// Whether Xen hangs, and lives.
    pub fn is_hang(&self) -> bool {
        self.failure == Failure::Hung
    }
}

/// All that was found in a run.
pub struct Findings<'t> {
    target: &'t Target,
    payloads: livepatch::payload::Target,
    found: BTreeMap<String, Finding>,
    /// What could not be repeated on a fresh boot.
    pub unconfirmed: usize,
}

impl<'t> Findings<'t> {
    /// None yet.
    pub fn new(target: &'t Target) -> Self {
        let id = target.build.symbols.build_id.clone();
        let payloads = livepatch::payload::Target::new(livepatch::abi::Revision::V2, id);
        Findings { target, payloads, found: BTreeMap::new(), unconfirmed: 0 }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Finding> {
        self.found.values()
    }

    /// Whether performing `program` is not worth a machine: it does something lethal that was found
    /// already, or several such things at once, of which nobody could tell which it was.
    pub fn is_old_news(&self, program: &Program) -> bool {
        match lethal::in_program(program, &self.payloads).as_slice() {
            [] => false,
            [one] => self.found.contains_key(one.name()),
            _ => true,
        }
    }

    /// `program` has failed: tries it again. Returns whether that is new.
    pub fn judge(&mut self, program: &Program) -> Result<bool> {
        let Some(failure) = attempt(self.target, program)? else {
            self.unconfirmed += 1;
            return Ok(false);
        };
        let known = lethal::in_program(program, &self.payloads).first().copied();
        // What is known by name has many faces: an address that is not mapped is a different one
        // each time.
        let key = known.map_or_else(|| failure.key(self.target), |known| known.name().to_owned());
        let new = !self.found.contains_key(&key);
        let program = program.clone();
        let finding = Finding { key: key.clone(), known, program, failure, times: 0 };
        self.found.entry(key).or_insert(finding).times += 1;
        Ok(new)
    }

    /// Makes the finding `key` small, and writes it down below `dir`.
    ///
    /// It is there as it was found while that goes on. What was there before stays as it is.
    pub fn keep(&mut self, key: &str, dir: &Path) -> Result<()> {
        let Some(finding) = self.found.get_mut(key) else { return Ok(()) };
        let path = path(finding, self.target, dir)?;
        if path.exists() {
            return Ok(());
        }
        write(finding, self.target, &path)?;
        let same = |failure: &Failure| match (&finding.failure, failure) {
            (Failure::Hung, Failure::Hung) => true,
            (Failure::Diverged(_), Failure::Diverged(_)) => true,
            (Failure::Died(a), Failure::Died(b)) => a.address == b.address,
            _ => false,
        };
        // A machine that has survived one attempt is good for the next.
        let mut machine = None;
        let mut boots = 0;
        let small = minimise(&finding.program, &mut |program| {
            let mut ready = match machine.take() {
                Some(ready) => ready,
                None if boots == BOOTS => return Ok(false),
                None => {
                    boots += 1;
                    Machine::boot(self.target, Words::All)?
                }
            };
            let outcome = ready.perform(&encode(program), TIME);
            if outcome == Outcome::Done {
                machine = Some(ready);
            }
            Ok(Failure::of(outcome).is_some_and(|failure| same(&failure)))
        })?;
        finding.program = small;
        // What was in it beside the cause is gone now.
        finding.known = lethal::in_program(&finding.program, &self.payloads).first().copied();
        write(finding, self.target, &path)
    }
}

/// Performs `program` on a fresh boot that tells everything.
fn attempt(target: &Target, program: &Program) -> Result<Option<Failure>> {
    let mut machine = Machine::boot(target, Words::All)?;
    Ok(Failure::of(machine.perform(&encode(program), TIME)))
}

/// The smallest program that `fails` in the same way, by leaving out one thing after the other.
fn minimise(program: &Program, fails: &mut dyn FnMut(&Program) -> Result<bool>) -> Result<Program> {
    let mut small = program.clone();
    let mut chunk = small.steps.len().next_power_of_two();
    while chunk > 0 {
        let mut at = 0;
        while at < small.steps.len() {
            let mut less = small.clone();
            less.steps.drain(at..(at + chunk).min(less.steps.len()));
            if !less.steps.is_empty() && less != small && fails(&less)? {
                small = less;
            } else {
                at += chunk;
            }
        }
        chunk /= 2;
    }
    for step in 0..small.steps.len() {
        for simpler in SIMPLER {
            let mut less = small.clone();
            simpler(&mut less.steps[step]);
            if less != small && fails(&less)? {
                small = less;
            }
        }
        // The last first, so that the others keep their places.
        let faults = match &small.steps[step].op {
            Op::Upload(upload) => upload.payload.faults.len(),
            _ => 0,
        };
        for fault in (0..faults).rev() {
            let mut less = small.clone();
            if let Op::Upload(upload) = &mut less.steps[step].op {
                upload.payload.faults.remove(fault);
            }
            if fails(&less)? {
                small = less;
            }
        }
    }
    Ok(small)
}

type Simplify = fn(&mut livepatch::program::Step);

/// What makes a step simpler, without another meaning where there is nothing to simplify.
const SIMPLER: [Simplify; 8] = [
    |step| step.outer = livepatch::program::Outer::PLAIN,
    |step| on_payload(step, |payload| payload.hooks.clear()),
    |step| on_payload(step, |payload| payload.functions.truncate(1)),
    |step| on_payload(step, |payload| payload.functions.clear()),
    |step| on_payload(step, |payload| (payload.data, payload.bss) = (0, 0)),
    |step| on_payload(step, |payload| payload.metadata = None),
    |step| on_payload(step, |payload| (payload.export, payload.import) = (None, None)),
    |step| {
        if let Op::Upload(upload) = &mut step.op {
            upload.size = None;
        }
    },
];

fn on_payload(
    step: &mut livepatch::program::Step,
    change: impl FnOnce(&mut livepatch::program::PayloadSpec),
) {
    if let Op::Upload(upload) = &mut step.op {
        change(&mut upload.payload);
    }
}

/// The file of `finding` in the folder of its Xen below `dir`.
fn path(finding: &Finding, target: &Target, dir: &Path) -> Result<PathBuf> {
    let dir = dir.join(build_id(target));
    fs::create_dir_all(&dir).io("create", &dir)?;
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-._+".contains(c) { c } else { '-' };
    let name: String = finding.key.chars().map(plain).take(NAME_MAX).collect();
    Ok(dir.join(format!("{name}.txt")))
}

fn build_id(target: &Target) -> String {
    target.build.symbols.build_id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes `finding` to `path`, as a text that `replay` runs.
fn write(finding: &Finding, target: &Target, path: &Path) -> Result<()> {
    let mut text = format!(
        "# {}\n# Xen: {}, build-id {}\n",
        finding.failure.key(target),
        target.build.ready.provenance,
        build_id(target)
    );
    if let Some(known) = finding.known {
        let _ = writeln!(text, "# known as {}", known.name());
    }
    text += &finding.program.to_string();
    let words = match &finding.failure {
        Failure::Died(death) => &death.words,
        Failure::Diverged(words) => words,
        Failure::Hung => &Vec::new(),
    };
    for line in words {
        let _ = writeln!(text, "# | {line}");
    }
    fs::write(path, text).io("write", path)
}

//! Findings: confirmed on a fresh boot, named, compared with the expectations, shrunk, and stored.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write as _;
use std::fs;
use std::iter;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use livepatch::program::{Op, Program, encode};
use xtf_runner::base::exit::{IoContext, Result};
use xtf_runner::commands::fuzz::{Known, Status, Target, Words};

use crate::lethal::{self, Lethal};
use crate::machine::{Death, Outcome, Spares};

/// Time for a program on a fresh boot; nobody else waits.
const TIME: Duration = Duration::from_secs(20);
/// The longest name of a file, without its ending.
const NAME_MAX: usize = 200;
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

    /// Xen's words, and the place.
    fn in_a_line(&self, target: &Target) -> String {
        match self {
            Failure::Hung => "hang".into(),
            Failure::Diverged(words) => format!("diverges: {}", words.join(" ")),
            Failure::Died(death) => {
                let place = death.address.map(|address| {
                    let name = target.build.symbols.describe(address);
                    name.unwrap_or_else(|| "an unknown place".into())
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

/// Something that goes wrong.
#[derive(Clone, Debug)]
pub struct Finding {
    shape: Option<Lethal>,
    failure: Failure,
    /// How it fails, in a line.
    pub how: String,
    /// What Xen calls itself.
    version: Option<String>,
    /// Why it is no news, if it is none.
    pub expected: Option<Known>,
    /// What does it.
    pub program: Program,
    /// How often it came up.
    pub times: usize,
    /// Where it is kept, if it is.
    pub path: PathBuf,
}

impl Finding {
    /// How a test would count of which this came.
    pub fn status(&self) -> Status {
        match self.failure {
            Failure::Died(_) => Status::Crash,
            Failure::Diverged(_) => Status::Failure,
            Failure::Hung => Status::Timeout,
        }
    }

    /// What tells it from others: the shape of what is in the program, else how it fails. The
    /// former has many faces: an address that is not mapped is a different one each time.
    pub fn name(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-._+".contains(c) { c } else { '-' };
        match self.shape {
            Some(shape) => shape.name().into(),
            None => self.how.chars().map(plain).take(NAME_MAX).collect(),
        }
    }

    /// What was said.
    fn words(&self) -> &[String] {
        match &self.failure {
            Failure::Died(death) => &death.words,
            Failure::Diverged(words) => words,
            Failure::Hung => &[],
        }
    }

    fn weigh(&mut self, target: &Target) {
        let evidence: Vec<String> = iter::once(&self.how).chain(self.words()).cloned().collect();
        let (name, status) = (self.name(), self.status());
        self.expected = target.known(&name, status, &evidence, self.version.as_deref());
    }
}

/// All that was found in a run.
pub struct Findings<'t> {
    target: &'t Target,
    payloads: livepatch::payload::Target,
    /// Fresh boots, with all that Xen has to say.
    fresh: Spares,
    found: BTreeMap<String, Finding>,
    /// What could not be repeated on a fresh boot.
    pub unconfirmed: usize,
}

impl<'t> Findings<'t> {
    /// None yet.
    pub fn new(target: &'t Arc<Target>) -> Self {
        let id = target.build.symbols.build_id.clone();
        let payloads = livepatch::payload::Target::new(livepatch::abi::Revision::V2, id);
        let fresh = Spares::new(target, Words::All);
        Findings { target, payloads, fresh, found: BTreeMap::new(), unconfirmed: 0 }
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

    /// `program` has failed: tries it again. Returns what came of it, if that is new.
    pub fn judge(&mut self, program: &Program) -> Result<Option<&Finding>> {
        let mut machine = self.fresh.take()?;
        let Some(failure) = Failure::of(machine.perform(&encode(program), TIME)) else {
            self.unconfirmed += 1;
            return Ok(None);
        };
        let mut finding = Finding {
            shape: lethal::in_program(program, &self.payloads).first().copied(),
            how: failure.in_a_line(self.target),
            failure,
            version: machine.version(),
            expected: None,
            program: program.clone(),
            times: 1,
            path: PathBuf::new(),
        };
        finding.weigh(self.target);
        match self.found.entry(finding.name()) {
            Entry::Occupied(mut known) => {
                known.get_mut().times += 1;
                Ok(None)
            }
            Entry::Vacant(place) => Ok(Some(place.insert(finding))),
        }
    }

    /// Makes the findings small, and writes them down below `dir`. What was there before stays as
    /// it is.
    pub fn keep(&mut self, dir: &Path) -> Result<()> {
        let dir = dir.join(build_id(self.target));
        fs::create_dir_all(&dir).io("create", &dir)?;
        for mut finding in mem::take(&mut self.found).into_values() {
            self.keep_one(&mut finding, &dir)?;
            match self.found.entry(finding.name()) {
                Entry::Occupied(mut same) => same.get_mut().times += finding.times,
                Entry::Vacant(place) => drop(place.insert(finding)),
            }
        }
        Ok(())
    }

    /// The finding is there as it was found while it is made small.
    fn keep_one(&self, finding: &mut Finding, dir: &Path) -> Result<()> {
        let path = |finding: &Finding| dir.join(format!("{}.txt", finding.name()));
        finding.path = path(finding);
        if finding.path.exists() {
            return Ok(());
        }
        write(finding, self.target)?;
        finding.program = self.minimise(finding)?;
        // What was in it beside the cause is gone now.
        finding.shape = lethal::in_program(&finding.program, &self.payloads).first().copied();
        if path(finding) != finding.path {
            fs::remove_file(&finding.path).io("remove", &finding.path)?;
            finding.path = path(finding);
            finding.weigh(self.target);
            if finding.path.exists() {
                return Ok(());
            }
        }
        write(finding, self.target)
    }

    /// The smallest program that fails like `finding`.
    fn minimise(&self, finding: &Finding) -> Result<Program> {
        let same = |failure: &Failure| match (&finding.failure, failure) {
            (Failure::Hung, Failure::Hung) => true,
            (Failure::Diverged(_), Failure::Diverged(_)) => true,
            (Failure::Died(a), Failure::Died(b)) => a.address == b.address,
            _ => false,
        };
        // A machine that has survived one attempt is good for the next.
        let mut machine = None;
        let mut boots = 0;
        minimise(&finding.program, &mut |program| {
            let mut ready = match machine.take() {
                Some(ready) => ready,
                None if boots == BOOTS => return Ok(false),
                None => {
                    boots += 1;
                    self.fresh.take()?
                }
            };
            let outcome = ready.perform(&encode(program), TIME);
            if outcome == Outcome::Done {
                machine = Some(ready);
            }
            Ok(Failure::of(outcome).is_some_and(|failure| same(&failure)))
        })
    }
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

fn build_id(target: &Target) -> String {
    target.build.symbols.build_id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes `finding` down, as a text that `replay` runs.
fn write(finding: &Finding, target: &Target) -> Result<()> {
    let mut text = format!(
        "# {}\n# Xen: {}, build-id {}\n",
        finding.how,
        target.build.ready.provenance,
        build_id(target)
    );
    if let Some(known) = &finding.expected {
        let _ = writeln!(text, "# expected by {}: {}", known.source, known.reason);
    }
    text += &finding.program.to_string();
    for line in finding.words() {
        let _ = writeln!(text, "# | {line}");
    }
    fs::write(&finding.path, text).io("write", &finding.path)
}

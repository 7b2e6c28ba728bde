//! Findings: confirmed on a fresh boot, named by where Xen died, compared with the expectations,
//! shrunk, learned from, and stored.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write as _;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use livepatch::abi::Revision;
use livepatch::program::Program;
use xtf_runner::base::exit::{IoContext, Result};
use xtf_runner::base::hash::hex;
use xtf_runner::commands::fuzz::{Known, Place, Status, Target, kind_of_divergence};

use crate::features::Reader;
use crate::learn::{Advice, Learned, LessonFile, Reach, Seen};
use crate::second::{Done, Failure, Second, Small};

/// The longest name of a file, without its ending.
const NAME_MAX: usize = 200;
/// How often lessons are exchanged with others, and written down.
const EXCHANGE: Duration = Duration::from_secs(5);
/// The place of deaths that nobody had the time to look into.
const UNEXAMINED: &str = "not looked into";
/// As many programs that fail in a way that is known are made small, to learn from them, too.
const SHRUNK_EACH: usize = 2;

/// Something that goes wrong.
#[derive(Clone, Debug)]
pub struct Finding {
    failure: Failure,
    /// What tells it from others: where Xen died, or how it diverged.
    pub name: String,
    /// How it fails, in a line.
    pub how: String,
    /// What Xen calls itself.
    version: Option<String>,
    /// Why it is no news, if it is none.
    pub expected: Option<Known>,
    /// What does it.
    pub program: Program,
    /// Whether that is as small as it gets.
    small: bool,
    /// How often it came up.
    pub times: usize,
    /// How many programs of its kind were made small, or are being made.
    shrunk: usize,
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

    /// What was said.
    fn words(&self) -> &[String] {
        match &self.failure {
            Failure::Died(death) => &death.words,
            Failure::Diverged(words) => words,
            Failure::Hung => &[],
        }
    }
}

/// A failure's name, and how it fails in a line.
fn describe(failure: &Failure) -> (String, String) {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-._+".contains(c) { c } else { '-' };
    let (name, how) = match failure {
        Failure::Hung => ("hang".into(), "hang".into()),
        Failure::Diverged(words) => {
            (kind_of_divergence(words), format!("diverges: {}", words.join(" ")))
        }
        Failure::Died(death) => {
            let words = death.headline.trim_start_matches("Xen panicked: ");
            let place = Place::of(&death.words, &death.headline);
            let how = match place {
                Place::Said(_) => words.to_owned(),
                Place::In(..) | Place::Behind(..) => format!("{words} {place}"),
            };
            (place.name(), how)
        }
    };
    (name.chars().map(plain).take(NAME_MAX).collect(), how)
}

/// A program that failed and is being looked into.
struct Suspect {
    program: Program,
    seen: Seen,
    /// What it executed before it failed.
    reach: Reach,
    /// The finding that it turned out to be.
    name: Option<String>,
}

/// All that was found in a run.
pub struct Findings<'t> {
    target: &'t Target,
    reader: Reader,
    second: Second,
    /// What was learned.
    pub learned: Learned,
    file: Option<LessonFile>,
    exchanged: Instant,
    suspects: BTreeMap<u64, Suspect>,
    found: BTreeMap<String, Finding>,
    /// What could not be repeated on a fresh boot.
    pub unconfirmed: usize,
    /// What nobody had the time to look into.
    pub unexamined: usize,
}

impl<'t> Findings<'t> {
    /// None yet; what is learned is kept in `file`.
    pub fn new(target: &'t Arc<Target>, file: Option<LessonFile>, seed: u64) -> Result<Self> {
        let symbols = &target.build.symbols;
        let id = symbols.build_id.clone();
        let block = |&address: &u64| symbols.describe(address).unwrap_or_default();
        let blocks = target.blocks.iter().map(block).collect();
        let mut findings = Findings {
            target,
            reader: Reader::new(livepatch::payload::Target::new(Revision::V2, id)),
            second: Second::new(target),
            learned: Learned::new(seed, blocks),
            file,
            exchanged: Instant::now(),
            suspects: BTreeMap::new(),
            found: BTreeMap::new(),
            unconfirmed: 0,
            unexamined: 0,
        };
        findings.exchange()?;
        Ok(findings)
    }

    /// Machines that it took to look into what failed.
    pub fn machines(&self) -> usize {
        self.second.machines()
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Finding> {
        self.found.values()
    }

    /// A program before it is performed: what is in it, and what to do with it. One of the corpus
    /// has a name.
    pub fn consider(&mut self, program: &Program, known: Option<&str>) -> (Seen, Advice) {
        let seen = self.reader.read(program, &mut self.learned);
        let advice = match known {
            Some(name) => self.learned.advise_on_known(name),
            None => self.learned.advise(&seen),
        };
        (seen, advice)
    }

    /// `program` has failed after it had executed `reach`, and `died` if Xen did not survive it:
    /// has it tried again.
    pub fn examine(&mut self, program: &Program, seen: Seen, reach: &Reach, died: bool) {
        let number = self.learned.suspect(&seen, reach);
        if self.second.confirm(number, program) {
            let (program, reach) = (program.clone(), reach.clone());
            self.suspects.insert(number, Suspect { program, seen, reach, name: None });
            return;
        }
        self.unexamined += 1;
        if !died {
            self.learned.acquit(number);
        } else if !self.learned.explains(number, UNEXAMINED, &seen, reach) {
            self.learned.learn(number, UNEXAMINED, &seen, reach);
        }
    }

    /// Takes note of what was found out in the meantime. `report` hears of each new finding that is
    /// not expected.
    pub fn attend(&mut self, report: &mut dyn FnMut(&str)) -> Result<()> {
        while let Some(done) = self.second.next(&|| true) {
            self.take(done?, report);
        }
        if self.exchanged.elapsed() > EXCHANGE {
            self.exchange()?;
        }
        Ok(())
    }

    fn exchange(&mut self) -> Result<()> {
        self.exchanged = Instant::now();
        self.file.as_ref().map_or(Ok(()), |file| self.learned.share(file))
    }

    fn take(&mut self, done: Done, report: &mut dyn FnMut(&str)) {
        match done {
            Done::Confirmed(number, None) => {
                self.unconfirmed += 1;
                self.learned.acquit(number);
                self.suspects.remove(&number);
            }
            Done::Confirmed(number, Some((failure, version))) => {
                self.confirmed(number, failure, version, report);
            }
            Done::Small(number, small) => self.made_small(number, small),
        }
    }

    fn made_small(&mut self, number: u64, small: Small) {
        let Small { program, reach, survived } = small;
        for (program, reach) in survived {
            let seen = self.reader.read(&program, &mut self.learned);
            self.learned.lived(&seen, &reach);
        }
        let Some(suspect) = self.suspects.remove(&number) else { return };
        let seen = self.reader.read(&program, &mut self.learned);
        let name = suspect.name.unwrap_or_default();
        let Some(finding) = self.found.get_mut(&name) else { return };
        if finding.failure.place().is_some() {
            self.learned.learn(number, &name, &seen, &reach.unwrap_or(suspect.reach));
        }
        if !finding.small {
            (finding.program, finding.small) = (program, true);
        }
    }

    fn confirmed(
        &mut self,
        number: u64,
        failure: Failure,
        version: Option<String>,
        report: &mut dyn FnMut(&str),
    ) {
        let Some(suspect) = self.suspects.get_mut(&number) else { return };
        let (name, how) = describe(&failure);
        let died = failure.place().is_some();
        let explained = died && self.learned.explains(number, &name, &suspect.seen, &suspect.reach);
        let program = suspect.program.clone();
        suspect.name = Some(name.clone());
        let finding = match self.found.entry(name.clone()) {
            Entry::Occupied(known) => {
                let finding = known.into_mut();
                finding.times += 1;
                finding
            }
            Entry::Vacant(place) => {
                let mut finding = Finding {
                    failure,
                    name,
                    how,
                    version,
                    expected: None,
                    program,
                    small: false,
                    times: 1,
                    shrunk: 0,
                    path: PathBuf::new(),
                };
                let evidence: Vec<String> =
                    iter::once(&finding.how).chain(finding.words()).cloned().collect();
                let (status, version) = (finding.status(), finding.version.as_deref());
                finding.expected = self.target.known(&finding.name, status, &evidence, version);
                if finding.expected.is_none() {
                    report(&format!("{}: {}\n{}", finding.name, finding.how, finding.program));
                }
                place.insert(finding)
            }
        };
        if !explained && finding.shrunk < if died { SHRUNK_EACH } else { 1 } {
            finding.shrunk += 1;
            self.second.shrink(number, &suspect.program, &finding.failure);
        } else {
            if !explained && died {
                self.learned.learn(number, &finding.name, &suspect.seen, &suspect.reach);
            }
            self.learned.acquit(number);
            self.suspects.remove(&number);
        }
    }

    /// Waits for what is still being looked into, makes what is left small, and writes the findings
    /// down below `dir`. What was there before stays as it is. When `stop` says so, what is left
    /// stays as it was found.
    pub fn keep(
        &mut self,
        dir: &Path,
        report: &mut dyn FnMut(&str),
        stop: &dyn Fn() -> bool,
    ) -> Result<()> {
        self.exchange()?;
        while let Some(done) = self.second.next(stop) {
            self.take(done?, report);
        }
        // What is left is not small, but it teaches, too.
        for (number, suspect) in std::mem::take(&mut self.suspects) {
            let died = |name: &String| {
                self.found.get(name).is_some_and(|finding| finding.failure.place().is_some())
            };
            if let Some(name) = suspect.name.filter(died) {
                self.learned.learn(number, &name, &suspect.seen, &suspect.reach);
            }
        }
        let dir = dir.join(build_id(self.target));
        fs::create_dir_all(&dir).io("create", &dir)?;
        for finding in self.found.values_mut() {
            finding.path = dir.join(format!("{}.txt", finding.name));
            if finding.path.exists() {
                continue;
            }
            // It is there as it was found while it is made small.
            write(finding, self.target)?;
            if !finding.small && !stop() {
                self.second.shrink(0, &finding.program, &finding.failure);
                if let Some(done) = self.second.next(stop)
                    && let Done::Small(_, small) = done?
                {
                    (finding.program, finding.small) = (small.program, true);
                    write(finding, self.target)?;
                }
            }
        }
        self.exchange()
    }
}

/// The build-id of what is fuzzed.
pub fn build_id(target: &Target) -> String {
    hex(&target.build.symbols.build_id)
}

/// Writes `finding` down, as a text that `replay` runs.
fn write(finding: &Finding, target: &Target) -> Result<()> {
    let mut text = format!(
        "# {}\n# Xen: {}, build-id {}\n",
        finding.how,
        target.build.ready.provenance,
        build_id(target)
    );
    if let Some(place) = finding.failure.place() {
        text += &place.line();
    }
    if let Some(known) = &finding.expected {
        let _ = writeln!(text, "# expected by {}: {}", known.source, known.reason);
    }
    text += &finding.program.to_string();
    for line in finding.words() {
        let _ = writeln!(text, "# | {line}");
    }
    fs::write(&finding.path, text).io("write", &finding.path)
}

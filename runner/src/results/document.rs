//! The document's form: each type here is a part of it, and of its schema.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use protocol::metadata::Environment;
use serde::{Deserialize, Serialize};

use super::verdict::VerdictKind;
use crate::base::plural::count;
use crate::base::status::Status;
use crate::judge::{Cause, SeenChange};

/// Name and version of the document's form.
pub const SCHEMA: &str = "xtf-rs/1";

/// A run and all that came of it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, schemars::JsonSchema)]
pub struct Document {
    /// Always `xtf-rs/1`.
    pub schema: String,
    /// Whether every test that was selected has a result. Tests without
    /// one are in `not_run`, cases without a result are in `not_run` of their test.
    pub complete: bool,
    /// Why it is not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete_because: Option<String>,
    /// What was run, when, where and by what.
    pub run: Run,
    /// Every start of the machine, in the order of their numbers.
    pub boots: Vec<Boot>,
    /// Every selected test that was run, for each Xen and environment, in the order of the plan.
    pub tests: Vec<Test>,
    /// What was selected, but has no result.
    pub not_run: Vec<Unit>,
    /// The known outcomes that applied to this run.
    pub expectations: Vec<AppliedExpectation>,
    /// The runs that `merge` made this one of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// The shares that `merge` had no file of. Their tests are not in `not_run`: no file names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_shares: Vec<String>,
}

/// A run that is part of another.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
pub struct Part {
    /// The file that held it.
    pub file: PathBuf,
    /// When it began.
    pub started: String,
    /// The machine's name.
    pub host: String,
    /// Its command line.
    pub command: Vec<String>,
    /// Which share of the whole it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Its exit code; absent if it did not come to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
}

impl Document {
    /// The pairs of Xen and environment, in the order of the plan.
    pub fn columns(&self) -> Vec<(&str, Environment)> {
        let mut columns = Vec::new();
        let tests = self.tests.iter().map(|test| &test.unit);
        for unit in tests.chain(&self.not_run) {
            let column = (unit.xen.as_str(), unit.environment);
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        // A Xen's environments stand together, also where boots were lost.
        let first = |xen: &str| columns.iter().position(|(other, _)| *other == xen);
        let mut sorted = columns.clone();
        sorted.sort_by_key(|(xen, environment)| (first(xen), *environment));
        sorted
    }

    /// The tests, whatever they ran on, in the order of the plan.
    pub fn rows(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        let tests = self.tests.iter().map(|test| &test.unit).chain(&self.not_run);
        tests.map(|unit| unit.test.as_str()).filter(|row| seen.insert(*row)).collect()
    }

    /// How much is missing, for people; nothing if it is not known which tests there would be.
    pub fn missing(&self) -> Option<String> {
        const UNKNOWN: &str = "it is not known how many tests are missing";
        let not_run = format!("{} not run", count(self.not_run.len(), "test"));
        match (self.missing_shares.is_empty(), self.not_run.is_empty(), self.tests.is_empty()) {
            (false, true, _) => Some(UNKNOWN.to_owned()),
            (false, false, _) => Some(format!("{not_run}, and {UNKNOWN}")),
            (true, true, true) => None,
            (true, ..) => Some(not_run),
        }
    }

    /// The boot of that number.
    pub fn boot(&self, number: usize) -> Option<&Boot> {
        self.boots.iter().find(|boot| boot.number == number)
    }

    /// What is to be known about the Xens, each once: a Xen's name and the note.
    pub fn notes(&self) -> Vec<(&str, &str)> {
        let mut notes = Vec::new();
        for boot in &self.boots {
            for note in boot.notes.iter().map(|note| (boot.xen.as_str(), note.as_str())) {
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
        notes
    }

    /// The folder of a boot.
    pub fn logs_of(&self, boot: usize) -> Option<PathBuf> {
        Some(self.run.logs.join(&self.boot(boot)?.logs))
    }
}

/// What was run, when, where and by what.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, schemars::JsonSchema)]
pub struct Run {
    /// The runner's version.
    pub runner: String,
    /// When it began: RFC 3339, with the offset of the local time.
    pub started: String,
    /// Seconds from its beginning to its end, or to when this document was written.
    pub elapsed_s: f64,
    /// The exit code; absent while the run goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// The machine.
    pub host: Host,
    /// QEMU's description of itself.
    pub qemu: String,
    /// The command line.
    pub command: Vec<String>,
    /// Which share of what was selected was run, as `--partition` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// The working directory.
    pub directory: PathBuf,
    /// The test image.
    pub image: PathBuf,
    /// SHA-256 of the test image.
    pub image_sha256: String,
    /// Folder of all logs.
    pub logs: PathBuf,
    /// Seconds from which on a test or a case is marked as slow.
    pub slow_s: f64,
}

/// The machine on which the runner ran.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, schemars::JsonSchema)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Name and release of its kernel.
    pub kernel: String,
    /// CPUs that the runner could use.
    pub cpus: usize,
}

/// One start of the machine.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, schemars::JsonSchema)]
pub struct Boot {
    /// Its number, with which its folder begins.
    pub number: usize,
    /// The Xen, as the user calls it.
    pub xen: String,
    /// Where that Xen came from.
    pub provenance: String,
    /// Its version, as it told the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its build-id in hexadecimal, if its file has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
    /// What the image ran as.
    pub environment: Environment,
    /// How Xen was booted.
    pub backend: String,
    /// What loaded Xen: `direct`, `efi`, `grub` or `grub-efi`; absent if it ran already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loader: Option<String>,
    /// How time ran: `fast` or `plain`; with the accelerator, as `fast, tcg`.
    pub mode: String,
    /// The exact command, to be run in the folder of the logs.
    pub command: String,
    /// Its folder, below that of the run; an absolute path in what `merge` wrote.
    pub logs: PathBuf,
    /// What it was to run.
    pub tests: Vec<String>,
    /// A command that makes this boot again, if a test in it failed and others were with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<String>,
    /// Seconds from power on to the first test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_s: Option<f64>,
    /// Seconds from power on to its end; not there if it has none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_s: Option<f64>,
    /// What ended it early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<Cause>,
    /// Where `run --record-failures` keeps it, or why it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<String>,
    /// Which changes to Xen the guest looked for, and whether this Xen has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<SeenChange>,
    /// What else is to be known about this Xen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What `payload try` did with live patches in it, in the order in which it happened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payload_steps: Vec<PayloadStep>,
}

/// Words in a version that is not one build alone: the next commit is called the same.
const DEVELOPMENT: [&str; 3] = ["unstable", "-pre", "-rc"];

/// Whether a version stands for more than one state of Xen's source.
pub fn is_development(version: &str) -> bool {
    DEVELOPMENT.iter().any(|word| version.contains(word))
}

impl Boot {
    /// What is to be known about a Xen whose version does not tell what it is.
    pub fn of_development(&self) -> Option<String> {
        let version = self.version.as_deref().filter(|version| is_development(version))?;
        let known = match &self.build_id {
            Some(id) => format!("only its build-id, {id}, tells one build from the next"),
            None => "its file has no build-id that would tell one build from the next".into(),
        };
        Some(format!("{version} is a development version: {known}"))
    }
}

/// A step with a live patch, and Xen's answer. The same step with the same answer in the same test is
/// there once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
pub struct PayloadStep {
    /// The test that made it, or around which it was made.
    pub test: String,
    /// What the live patch is called in Xen.
    pub payload: String,
    /// What was done with it: `UPLOAD`, `APPLY`, `REPLACE`, `REVERT`, `APPLY again` or `UNLOAD`.
    pub step: String,
    /// What Xen answered: `success`, or the name of an error; absent if the boot ended before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// What `payload show` foretells; absent if it tells nothing of this step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foretold: Option<String>,
    /// How often it was made with this answer.
    pub times: u64,
    /// What Xen said during the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xen_words: Vec<String>,
}

/// A test on a Xen in an environment.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, schemars::JsonSchema,
)]
pub struct Unit {
    /// The Xen, as the user calls it.
    pub xen: String,
    /// What the image ran as.
    pub environment: Environment,
    /// The test's name.
    pub test: String,
}

/// What became of a test on a Xen in an environment.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, schemars::JsonSchema)]
pub struct Test {
    /// Which test, and where.
    #[serde(flatten)]
    pub unit: Unit,
    /// The test in one line.
    pub title: String,
    /// How many cases it declares.
    pub declared: usize,
    /// Whether it failed and passed when it was booted again.
    pub flaky: bool,
    /// A command that runs it once more, there alone, if it failed; for the folder of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<String>,
    /// The last attempt, which counts.
    #[serde(flatten)]
    pub last: Attempt,
    /// The attempts before it, all of which failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Attempt>,
}

impl Test {
    /// Whether the last attempt was expected to go wrong, and did.
    pub fn is_known(&self) -> bool {
        self.known_verdict() == Some(KnownVerdict::Known)
    }

    /// Whether something in it was expected to go wrong, and did not.
    pub fn is_news(&self) -> bool {
        self.known_verdict() == Some(KnownVerdict::News)
            || self.last.cases.iter().any(Case::is_news)
    }

    /// What became of the expectation of the test as a whole.
    pub fn known_verdict(&self) -> Option<KnownVerdict> {
        self.last.known.as_ref().map(|known| known.verdict)
    }

    /// How many attempts there were.
    pub fn attempts(&self) -> usize {
        self.earlier.len() + 1
    }
}

/// What was seen of the end of a boot, or of a test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
pub struct Evidence {
    /// Other diagnostics of the guest, such as a panic's registers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<String>,
    /// Frames of the guest's backtrace, symbolised, innermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backtrace: Vec<String>,
    /// Xen's last lines, with symbolised addresses where its symbols are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xen_words: Vec<String>,
}

/// A boot that went on with a test.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
pub struct WentOn {
    /// The boot's number.
    pub boot: usize,
    /// The case in which the boot before had ended: this one ran those behind it.
    pub behind: String,
    /// What was seen in this boot.
    #[serde(flatten)]
    pub evidence: Evidence,
}

impl WentOn {
    /// In words.
    pub fn told(&self) -> String {
        format!("went on in boot {} behind {}", self.boot, self.behind)
    }
}

/// A test in one boot, and in those that went on with it behind a case that had ended the boot.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, schemars::JsonSchema)]
pub struct Attempt {
    /// The number of the boot in which it began.
    pub boot: usize,
    /// The boots that went on with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub went_on: Vec<WentOn>,
    /// How it counts: what was expected and tolerated counts as a success.
    pub status: Status,
    /// What is known of its outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<Known>,
    /// Why the status is what it is, as far as the cases don't say it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// What ended the boot early, if this test is blamed for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Seconds from its beginning to its result, in all its boots.
    pub elapsed_s: f64,
    /// Whether that was long.
    pub slow: bool,
    /// The cases that were reported, and those in which a boot ended.
    pub cases: Vec<Case>,
    /// Names of the cases that were selected and have no result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_run: Vec<String>,
    /// What was seen in the boot in which it began.
    #[serde(flatten)]
    pub evidence: Evidence,
}

impl Attempt {
    /// The numbers of its boots.
    pub fn boots(&self) -> impl Iterator<Item = usize> {
        self.story().map(|(number, ..)| number)
    }

    /// Its boots, each with what was seen in it, and how the test went on after it, if it did.
    pub fn story(&self) -> impl Iterator<Item = (usize, &Evidence, Option<String>)> {
        let first = (self.boot, &self.evidence);
        let further = self.went_on.iter().map(|further| (further.boot, &further.evidence));
        let how = self.went_on.iter().map(|further| Some(further.told())).chain([None]);
        let boots = std::iter::once(first).chain(further).zip(how);
        boots.map(|((number, seen), how)| (number, seen, how))
    }

    /// The boot that ended in `case`, if one did, as [`Attempt::story`] has it.
    pub fn ended_in(&self, case: &Case) -> Option<(usize, &Evidence, Option<String>)> {
        let behind = self.went_on.iter().map(|further| further.behind.as_str());
        let last = self.cause.and(self.cases.last()).map(|case| case.name.as_str());
        let boot = behind.chain(last).position(|name| name == case.name)?;
        let is_end =
            matches!(case.verdict.status(), Status::Crash | Status::Timeout | Status::Error);
        self.story().nth(boot).filter(|_| is_end)
    }

    /// Whether the whole test was skipped, and not case by case.
    pub fn is_skipped_as_a_whole(&self) -> bool {
        self.status == Status::Skip && self.cases.is_empty()
    }

    /// Whether the status is what the cases amount to, so that they alone explain it.
    pub fn is_told_by_cases(&self) -> bool {
        let cases = Status::of_parts(self.cases.iter().map(Case::status));
        cases == Some(self.status) && self.reasons.is_empty()
    }
}

/// One claim about Xen.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, schemars::JsonSchema)]
pub struct Case {
    /// The claim.
    pub name: String,
    /// What came of it.
    pub verdict: VerdictKind,
    /// Why it was skipped, could not be decided, or is a tolerated deviation; what ended the boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What is known of its outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<Known>,
    /// What the guest said of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<String>,
    /// Seconds from the case before it to its result.
    pub elapsed_s: f64,
    /// Whether that was long.
    pub slow: bool,
}

impl Case {
    /// How it counts.
    pub fn status(&self) -> Status {
        match self.verdict {
            _ if self.is_tolerated() => Status::Success,
            word => word.status(),
        }
    }

    /// Whether it went wrong as expected.
    pub fn is_tolerated(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.verdict == KnownVerdict::Known)
    }

    /// Whether something else was expected, and it succeeded.
    pub fn is_news(&self) -> bool {
        self.known.as_ref().is_some_and(|known| known.verdict == KnownVerdict::News)
    }

    /// All that was said of it.
    pub fn said(&self) -> String {
        let all: Vec<&str> = self.why.iter().chain(&self.diagnostics).map(String::as_str).collect();
        all.join("; ")
    }
}

/// An outcome that was expected.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
pub struct Known {
    /// Whether it came.
    pub verdict: KnownVerdict,
    /// What was expected.
    pub expected: VerdictKind,
    /// Why; or the name of a deviation, and how it did not show.
    pub reason: String,
    /// Where more is to be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Who says so: a file and a line, or the test.
    pub source: String,
}

impl Known {
    /// In words, with the link.
    pub fn told(&self) -> String {
        let link = self.link.as_ref().map(|link| format!(" <{link}>")).unwrap_or_default();
        format!("{}{link} ({})", self.reason, self.source)
    }
}

/// Whether an expected outcome came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum KnownVerdict {
    /// The result is as expected and tolerated.
    Known,
    /// A success came instead: the expectation is out of date, or something was fixed.
    News,
}

/// A known outcome, and how often it applied.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
pub struct AppliedExpectation {
    /// Who says so: a file and a line.
    pub source: String,
    /// The Xens that it is about.
    pub xen: String,
    /// The environments that it is about.
    pub environment: String,
    /// The tests or cases that it is about.
    pub test: String,
    /// What is expected.
    pub status: Status,
    /// Why.
    pub reason: String,
    /// Where more is to be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// How many results are as expected.
    pub known: usize,
    /// How many are successes instead.
    pub news: usize,
    /// Every Xen and environment was run, and no test matched this entry.
    pub stale: bool,
}

/// Seconds, to the microsecond.
pub fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;

    #[test]
    fn a_development_version_is_called_so() {
        let document = crate::results::sample::whole();
        let note = |version: &str, build_id: Option<&str>| {
            let (version, build_id) = (Some(version.into()), build_id.map(str::to_owned));
            Boot { version, build_id, ..document.boots[0].clone() }.of_development()
        };
        for version in ["4.20.5-pre", "4.22-unstable", "4.22.0-rc3"] {
            let text = note(version, Some("c0ffee")).unwrap();
            assert!(text.starts_with(version) && text.contains("build-id, c0ffee"), "{text}");
            assert!(note(version, None).unwrap().contains("no build-id"));
        }
        assert_eq!(note("4.17.7", None), None);
    }

    #[test]
    fn the_schema_is_documented() {
        let schema = schemars::schema_for!(Document);
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        expect_file!["../../../docs/results.schema.json"].assert_eq(&text);
    }
}

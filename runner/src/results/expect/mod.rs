//! Expectations: which tests, cases and findings are known to go wrong on which Xen, why, and where
//! to read more.
//!
//! They come from a file. A finding of `fuzz` is named `fuzz/NAME` in place of a test and its case,
//! where NAME tells where Xen died. A result as expected is KNOWN and tolerated; a success in its
//! place is NEWS. Nothing else is excused: another status, another panic, a failed
//! case beside the expected one, a boot that never reached the test, or a QEMU that died by itself.

mod releases;

use std::fs;
use std::io;
use std::path::Path;

use protocol::console::NEWS;
use protocol::metadata::Environment;
use serde::Deserialize;
use toml::Spanned;

use crate::base::exit::{Error, IoContext, Result};
use crate::base::pattern::Pattern;
use crate::base::position::line_of;
use crate::base::status::Status;
use crate::base::suggest;
use crate::image::TestMeta;
use crate::judge::{CaseReport, Cause, TestReport, Verdict};
use crate::plan::config::Config;
use crate::results::{AppliedExpectation, Document, Known, KnownVerdict, Test, VerdictKind};
use releases::{Releases, ReleasesText};

/// The file's name where the configuration gives no other.
pub const FILE: &str = "expectations.toml";
/// What is known where there is no configuration either, as in an installed package.
const BUILT_IN: &str = include_str!("../../../../expectations.toml");
/// Stands for a test in what is known of the fuzzer's findings.
const FINDINGS: &str = "fuzz";
/// What can be expected.
const STATUSES: [Status; 4] = [Status::Failure, Status::Error, Status::Crash, Status::Timeout];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    expect: Vec<Spanned<Entry>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    xen: Option<Spanned<String>>,
    releases: Option<Spanned<ReleasesText>>,
    environment: Option<Spanned<String>>,
    test: Spanned<String>,
    status: Spanned<String>,
    panic: Option<Spanned<String>>,
    reason: Spanned<String>,
    link: Option<String>,
}

/// A known outcome.
#[derive(Clone, Debug)]
struct Expectation {
    /// Who says so.
    source: String,
    xen: Pattern,
    releases: Releases,
    environment: Pattern,
    test: Pattern,
    /// Only these cases of the test.
    case: Option<Pattern>,
    status: Status,
    /// Some line of the evidence must be like this.
    panic: Option<Pattern>,
    reason: String,
    link: Option<String>,
}

/// Where a result was found.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The Xen, as the user calls it.
    pub xen: &'a str,
    /// What it calls itself, such as 4.17.7-pre, if it came to that.
    pub version: Option<&'a str>,
    /// What the image ran as.
    pub environment: Environment,
}

/// A report in the light of what is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighed {
    /// How the test counts.
    pub status: Status,
    /// Why it counts like that, where the report does not say so.
    pub reasons: Vec<String>,
    /// What is known of the test.
    pub known: Option<Known>,
    /// What is known of each case.
    pub cases: Vec<Option<Known>>,
}

impl Weighed {
    /// A flaw that counts as a failure from here on, for a reason.
    pub fn fails(&mut self, reason: String) {
        self.status = self.status.max(Status::Failure);
        self.reasons.push(reason);
    }
}

/// All known outcomes.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    entries: Vec<Expectation>,
    /// A success where something else is expected counts as a failure.
    pub strict: bool,
}

impl Expectations {
    /// What the file says that was `named`, or else the configuration's.
    pub fn load(named: Option<&Path>, config: &Config) -> Result<Expectations> {
        let mut expectations = Expectations::default();
        let beside = config.workspace.join(FILE);
        match named.or(config.expectations.as_deref()) {
            Some(path) => expectations.read(path, true)?,
            None if config.is_built_in() && !beside.is_file() => expectations
                .parse(BUILT_IN, &format!("built-in {FILE}"))
                .map_err(|(line, why)| Error::Usage(format!("built-in {FILE}:{line}: {why}")))?,
            None => expectations.read(&beside, false)?,
        }
        Ok(expectations)
    }

    /// Adds those of the file at `path`, which need not exist unless it was `named`.
    pub fn read(&mut self, path: &Path, named: bool) -> Result<()> {
        let text = match fs::read_to_string(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && !named => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                return Err(Error::Usage(format!("{}: is not UTF-8 text", path.display())));
            }
            text => text.io("read the expectations", path)?,
        };
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        self.parse(&text, &name)
            .map_err(|(line, why)| Error::Usage(format!("{}:{line}: {why}", path.display())))
    }

    pub(crate) fn parse(
        &mut self,
        text: &str,
        name: &str,
    ) -> std::result::Result<(), (usize, String)> {
        let line_of = |offset: usize| line_of(text, offset);
        let file: File = toml::from_str(text).map_err(|e| {
            let line = line_of(e.span().map_or(0, |span| span.start));
            (line, suggest::for_key(e.message()))
        })?;
        for entry in file.expect {
            let line = line_of(entry.span().start);
            let entry = entry.into_inner();
            let pattern = |text: &Spanned<String>| {
                let at = line_of(text.span().start);
                Pattern::new(text.get_ref()).map_err(|why| (at, why))
            };
            let or_every = |text: &Option<Spanned<String>>| match text {
                Some(text) => pattern(text),
                None => Ok(Pattern::every()),
            };
            let at = line_of(entry.status.span().start);
            let word = entry.status.get_ref();
            let status = STATUSES.into_iter().find(|status| status.to_string() == *word);
            let status = status.ok_or_else(|| {
                let words = STATUSES.map(|status| status.to_string());
                let otherwise = format!("use one of {}", words.join(", "));
                let words = words.iter().map(String::as_str);
                let hint = suggest::did_you_mean(word, words, &otherwise);
                (at, format!("`{word}` is not a status that can be expected; {hint}"))
            })?;
            if entry.reason.get_ref().trim().is_empty() {
                let at = line_of(entry.reason.span().start);
                return Err((at, "`reason` must not be empty".into()));
            }
            let span = entry.test.span();
            let (test, case) = match entry.test.get_ref().split_once('/') {
                Some((test, case)) => (test.to_owned(), Some(case.to_owned())),
                None => (entry.test.get_ref().clone(), None),
            };
            let environment = or_every(&entry.environment)?;
            let names = Environment::ALL.map(Environment::name);
            if let Some(text) = &entry.environment
                && !names.iter().any(|name| environment.matches(name))
            {
                let (at, word) = (line_of(text.span().start), text.get_ref());
                let otherwise = format!("use one of {}", names.join(", "));
                let hint = suggest::did_you_mean(word, names, &otherwise);
                return Err((at, format!("`{word}` is no environment; {hint}")));
            }
            let case = case.map(|case| pattern(&Spanned::new(span.clone(), case))).transpose()?;
            self.entries.push(Expectation {
                source: format!("{name}:{line}"),
                xen: or_every(&entry.xen)?,
                releases: match &entry.releases {
                    Some(text) => Releases::parse(text.get_ref())
                        .map_err(|why| (line_of(text.span().start), why))?,
                    None => Releases::default(),
                },
                environment,
                test: pattern(&Spanned::new(span, test))?,
                case,
                status,
                panic: entry.panic.as_ref().map(pattern).transpose()?,
                reason: entry.reason.into_inner(),
                link: entry.link,
            });
        }
        Ok(())
    }

    /// Weighs `report` against what is known of `subject`.
    pub fn weigh(&self, report: &TestReport, subject: Subject<'_>) -> Weighed {
        let about = |entry: &&Expectation| {
            entry.is_about(subject, subject.environment.name()) && entry.test.matches(&report.name)
        };
        let (of_cases, of_test): (Vec<&Expectation>, Vec<&Expectation>) =
            self.entries.iter().filter(about).partition(|entry| entry.case.is_some());

        let mut cases = vec![None; report.cases.len()];
        for entry in &of_cases {
            entry.weigh_cases(report, &mut cases);
        }
        for (case, known) in report.cases.iter().zip(&mut cases) {
            if known.is_none() {
                *known = gone(case);
            }
        }
        let mut weighed =
            Weighed { status: report.status, reasons: Vec::new(), known: None, cases };
        // Where no test began, or QEMU failed, nothing was seen of what is known.
        if report.status.is_bad() && (!report.began || report.cause == Some(Cause::Qemu)) {
            return weighed;
        }
        let by_cases = report.reasons.is_empty();
        if report.status.is_bad() {
            let met = of_test.iter().find(|entry| {
                let told = entry.status != Status::Failure || by_cases;
                entry.status == report.status && told && entry.is_like(evidence(report))
            });
            if let Some(entry) = met {
                weighed.known = Some(entry.known(KnownVerdict::Known));
                // What is said of the whole test holds for each such case in it.
                for (case, known) in report.cases.iter().zip(&mut weighed.cases) {
                    if entry.covers(report, case) {
                        known.get_or_insert_with(|| entry.known(KnownVerdict::Known));
                    }
                }
            }
            if met.is_some() || (by_cases && weighed.cases.iter().any(is_known)) {
                let cases = report.cases.iter().zip(&weighed.cases);
                let open = cases.map(|(case, known)| match known {
                    known if is_known(known) => Status::Success,
                    _ => case.verdict.status(),
                });
                weighed.status = Status::of_parts(open).unwrap_or(Status::Success);
            }
        } else if report.status == Status::Success
            && let Some(entry) = of_test.first()
        {
            weighed.known = Some(entry.known(KnownVerdict::News));
        }
        if self.strict {
            let all = weighed.known.iter().chain(weighed.cases.iter().flatten());
            let news: Vec<String> = all
                .filter(|known| known.verdict == KnownVerdict::News)
                .map(|known| {
                    format!("succeeded where {} was expected: {}", known.expected, known.told())
                })
                .collect();
            for text in news {
                weighed.fails(text);
            }
        }
        weighed
    }

    /// What is known of the finding `name` of a fuzzer, in which Xen said `evidence`.
    pub fn of_finding(
        &self,
        name: &str,
        status: Status,
        evidence: &[String],
        subject: Subject<'_>,
    ) -> Option<Known> {
        let known = self.entries.iter().find(|entry| {
            entry.is_about(subject, subject.environment.name())
                && entry.is_of_finding()
                && entry.case.as_ref().is_some_and(|pattern| pattern.matches(name))
                && entry.status == status
                && entry.is_like(evidence.iter().map(String::as_str))
        });
        known.map(|entry| entry.known(KnownVerdict::Known))
    }

    /// What came of each known outcome in `document`; `whole` if that is of every Xen and
    /// environment there is. `tests` are all that the image has.
    pub fn applied(
        &self,
        document: &Document,
        tests: &[TestMeta],
        whole: bool,
    ) -> Vec<AppliedExpectation> {
        let mut applied = Vec::new();
        // Nothing is looked for by chance in a run.
        for entry in self.entries.iter().filter(|entry| !entry.is_of_finding()) {
            // What is said of a whole test and of cases in it came once.
            let came = |test: &Test, verdict| {
                let is = |known: &Option<Known>| {
                    known.as_ref().is_some_and(|k| k.verdict == verdict && k.is_of(entry))
                };
                let cases = || test.last.cases.iter().filter(|case| is(&case.known)).count();
                if is(&test.last.known) { 1 } else { cases() }
            };
            let count = |verdict| document.tests.iter().map(|test| came(test, verdict)).sum();
            let ran = document.tests.iter().map(|test| &test.unit).chain(&document.not_run);
            let version = |xen: &str| {
                let mut boots = document.boots.iter().filter(|boot| boot.xen == xen);
                boots.find_map(|boot| boot.version.as_deref())
            };
            let (mut selected, mut found) = (false, false);
            for unit in ran.filter(|unit| entry.is_of_test(&unit.test, tests)) {
                let (xen, environment) = (unit.xen.as_str(), unit.environment);
                selected = true;
                let subject = Subject { xen, version: version(xen), environment };
                found |= entry.is_about(subject, environment.name());
            }
            let somewhere = tests.iter().any(|test| entry.is_of_test(&test.name, tests));
            applied.push(AppliedExpectation {
                source: entry.source.clone(),
                xen: entry.xen.as_str().into(),
                environment: entry.environment.as_str().into(),
                test: entry.name(),
                status: entry.status,
                reason: entry.reason.clone(),
                link: entry.link.clone(),
                known: count(KnownVerdict::Known),
                news: count(KnownVerdict::News),
                stale: !somewhere || (whole && selected && !found),
            });
        }
        applied
    }
}

/// A deviation that the test knows this Xen for, and that did not show.
fn gone(case: &CaseReport) -> Option<Known> {
    if case.verdict != Verdict::Success {
        return None;
    }
    let reason = case.diagnostics.iter().find_map(|line| line.strip_prefix(NEWS))?;
    Some(Known {
        verdict: KnownVerdict::News,
        expected: VerdictKind::Deviation,
        reason: reason.to_owned(),
        link: None,
        source: "the test tolerates it on this Xen".into(),
    })
}

fn is_known(known: &Option<Known>) -> bool {
    known.as_ref().is_some_and(|known| known.verdict == KnownVerdict::Known)
}

/// The lines that tell one death from another.
fn evidence(report: &TestReport) -> impl Iterator<Item = &str> {
    let lines = report.reasons.iter().chain(&report.xen_words).chain(&report.diagnostics);
    let cases = report.cases.iter().filter(|case| case.verdict.status().is_bad());
    lines.map(String::as_str).chain(cases.flat_map(|case| evidence_of(report, case)))
}

/// The lines that tell one verdict on a case from another.
fn evidence_of<'r>(report: &'r TestReport, case: &'r CaseReport) -> impl Iterator<Item = &'r str> {
    let said = case.diagnostics.iter().map(String::as_str).chain(case.verdict.why());
    let last_words = report.cause.map(|_| report.last_words(case));
    said.chain(last_words.into_iter().flatten())
}

impl Known {
    /// Whether this came of `entry`.
    fn is_of(&self, entry: &Expectation) -> bool {
        (&self.source, self.expected, &self.reason)
            == (&entry.source, VerdictKind::from(entry.status), &entry.reason)
    }
}

impl Expectation {
    fn is_about(&self, subject: Subject<'_>, environment: &str) -> bool {
        let branch = |version: &str| {
            let numbers: Vec<&str> = version.split(['.', '-', ' ']).take(2).collect();
            numbers.join(".")
        };
        let version = subject.version;
        self.environment.matches(environment)
            && self.releases.hold(version)
            && (self.xen.matches(subject.xen)
                || version.is_some_and(|v| self.xen.matches(v) || self.xen.matches(&branch(v))))
    }

    fn is_of_finding(&self) -> bool {
        self.test.as_str() == FINDINGS
    }

    fn is_of_test(&self, name: &str, tests: &[TestMeta]) -> bool {
        let declares = |case: &Pattern| {
            let test = tests.iter().find(|test| test.name == name);
            test.is_some_and(|test| test.cases.iter().any(|name| case.matches(name)))
        };
        self.test.matches(name) && self.case.as_ref().is_none_or(declares)
    }

    fn is_like<'l>(&self, mut lines: impl Iterator<Item = &'l str>) -> bool {
        self.panic.as_ref().is_none_or(|panic| lines.any(|line| panic.matches(line)))
    }

    /// The test or cases, as in the file.
    fn name(&self) -> String {
        match &self.case {
            Some(case) => format!("{}/{case}", self.test),
            None => self.test.to_string(),
        }
    }

    fn known(&self, verdict: KnownVerdict) -> Known {
        Known {
            verdict,
            expected: self.status.into(),
            reason: self.reason.clone(),
            link: self.link.clone(),
            source: self.source.clone(),
        }
    }

    /// Whether `case` of `report` is as expected of the whole test.
    fn covers(&self, report: &TestReport, case: &CaseReport) -> bool {
        // Of failures, what is expected is told by the test's own words.
        let like = || self.status == Status::Failure || self.is_like(evidence_of(report, case));
        case.verdict.status() == self.status && like()
    }

    /// Several cases may be meant: only where none of them is as expected, their success is news.
    fn weigh_cases(&self, report: &TestReport, known: &mut [Option<Known>]) {
        let Some(pattern) = &self.case else { return };
        let cases = &report.cases;
        let mine = || (0..cases.len()).filter(|&index| pattern.matches(&cases[index].name));
        let mut met = false;
        for index in mine() {
            let case = &cases[index];
            // The last case may be the one in which QEMU died.
            if report.cause == Some(Cause::Qemu) && index + 1 == cases.len() {
                continue;
            }
            let like = self.is_like(evidence_of(report, case));
            if case.verdict.status() == self.status && like {
                known[index] = Some(self.known(KnownVerdict::Known));
                met = true;
            }
        }
        if !met {
            for index in mine().filter(|&index| cases[index].verdict == Verdict::Success) {
                known[index].get_or_insert_with(|| self.known(KnownVerdict::News));
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! The outcome of a replay.

use std::fmt::Write as _;

use livepatch::program::Program;
use protocol::console::DIAGNOSTIC;
use protocol::programs::{ANSWERED, DIVERGED_AT, PERFORMED, UNPREDICTED};

use super::place::Place;
use crate::base::exit::Exit;
use crate::base::plural::count;
use crate::base::status::Status;
use crate::judge::{TestReport, Verdict as CaseVerdict, xen};

/// Of how many lines of Xen's last words are quoted.
const QUOTED: usize = 12;

/// How a replay ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every step as predicted.
    Agreement,
    /// A step went otherwise.
    Divergence {
        /// What was compared, such as `answer`.
        what: String,
        /// What was expected, and what came.
        how: String,
    },
    /// Xen died.
    Crash {
        /// Why, in its own words.
        reason: String,
        /// Where.
        at: Place,
        /// The words.
        words: Vec<String>,
    },
    /// Nothing came any more.
    Hang,
    /// The guest could not do its work.
    Error(String),
}

impl Verdict {
    /// What has to be the same in a smaller program: not the numbers in it.
    pub fn kind(&self) -> String {
        match self {
            Self::Agreement => "agreement".into(),
            Self::Divergence { what, how } => kind_of(what, how),
            Self::Crash { reason, at, .. } => format!("crash {reason} {}", at.function()),
            Self::Hang => "hang".into(),
            Self::Error(_) => "error".into(),
        }
    }

    pub fn exit(&self) -> Exit {
        match self {
            Self::Agreement => Exit::Success,
            Self::Divergence { .. } => Exit::Failure,
            Self::Crash { .. } => Exit::Crash,
            Self::Hang => Exit::Timeout,
            Self::Error(_) => Exit::Error,
        }
    }

    /// One line.
    pub fn summary(&self) -> String {
        match self {
            Self::Agreement => "agreement".into(),
            Self::Divergence { what, how } => format!("divergence: {what}: {how}"),
            Self::Crash { reason, at: Place::Said(_), .. } => format!("crash: {reason}"),
            Self::Crash { reason, at, .. } => format!("crash: {reason} {at}"),
            Self::Hang => "hang".into(),
            Self::Error(why) => format!("error: {why}"),
        }
    }
}

/// Which divergence it is of which the guest says `words`, wherever in a program it comes.
pub fn kind_of_divergence(words: &[String]) -> String {
    match difference(words) {
        Some((what, how)) => kind_of(what, how),
        None => format!("divergence {}", numberless(&words.join(" "))),
    }
}

fn kind_of(what: &str, how: &str) -> String {
    format!("divergence {} {how}", numberless(what))
}

/// What was compared, and how it was otherwise, behind the line of the step.
fn difference(words: &[String]) -> Option<(&str, &str)> {
    words.get(1)?.split_once(": ")
}

/// Numbers change with each step that is left out.
fn numberless(text: &str) -> String {
    text.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty()).collect()
}

/// What came of a replay, and how far it got.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// How it ended.
    pub verdict: Verdict,
    /// Steps that were begun; the verdict is about the last of them.
    pub begun: usize,
    /// What Xen answered to those that were finished.
    pub answers: Vec<String>,
    /// From which step on nothing was compared, and why.
    pub lost: Option<(usize, String)>,
}

impl Replayed {
    /// For people.
    pub fn describe(&self, program: &Program) -> String {
        let total = program.steps.len();
        let mut text = match &self.verdict {
            Verdict::Agreement => {
                format!("agreement: Xen answered all {} as predicted", count(total, "step"))
            }
            verdict => {
                let mut text = verdict.summary();
                let step = self.begun.checked_sub(1).and_then(|last| program.steps.get(last));
                if let Some(step) = step {
                    let _ = write!(text, "\n  at step {} of {total}: {step}", self.begun);
                }
                text
            }
        };
        if let Some((step, why)) = &self.lost {
            let _ = write!(text, "\n  no prediction from step {step} on: {why}");
        }
        if let Verdict::Crash { words, .. } = &self.verdict {
            for word in words {
                let _ = write!(text, "\n  | {word}");
            }
        }
        text
    }
}

/// Listens to a replay.
#[derive(Debug, Default)]
pub struct Observer {
    begun: usize,
    answers: Vec<String>,
    lost: Option<(usize, String)>,
    /// The step's line of a failure, and what follows it.
    failure: Vec<String>,
    xen: Vec<String>,
}

impl Observer {
    /// A line of the guest's.
    pub fn guest(&mut self, line: &str) {
        let line = line.trim_start();
        if line.starts_with(PERFORMED) {
            self.begun += 1;
            // What Xen says before the last step does not belong to its end.
            self.xen.clear();
        } else if let Some(answer) = line.strip_prefix(ANSWERED) {
            self.answers.push(answer.into());
        } else if let Some(words) = line.strip_prefix(DIAGNOSTIC) {
            if let Some(why) = words.strip_prefix(UNPREDICTED) {
                self.lost.get_or_insert((self.begun, why.into()));
            } else if words.starts_with(DIVERGED_AT) || !self.failure.is_empty() {
                self.failure.push(words.into());
            }
        }
    }

    /// A line of Xen's.
    pub fn xen(&mut self, line: &str) {
        self.xen.push(line.into());
    }

    /// When there is no more to hear.
    pub fn finish(self, reports: &[TestReport]) -> Replayed {
        let verdict = match reports.first() {
            Some(report) => self.verdict(report),
            None => Verdict::Error("the guest reported nothing".into()),
        };
        let Self { begun, answers, lost, .. } = self;
        Replayed { verdict, begun, answers, lost }
    }

    fn verdict(&self, report: &TestReport) -> Verdict {
        match (report.status, difference(&self.failure)) {
            (Status::Crash, _) => {
                let words = if self.xen.is_empty() { &report.xen_words } else { &self.xen };
                let mut words: Vec<String> =
                    words.iter().map(|line| xen::words(line).into()).collect();
                words.retain(|word| word.contains(char::is_alphanumeric));
                words.dedup();
                let reason = reason(&words);
                let at = Place::of(&words, &reason);
                let words = words.into_iter().take(QUOTED).collect();
                Verdict::Crash { reason, at, words }
            }
            (Status::Timeout, _) => Verdict::Hang,
            (Status::Failure, Some((what, how))) => {
                Verdict::Divergence { what: what.into(), how: how.into() }
            }
            (Status::Success, _) => Verdict::Agreement,
            (status, _) => {
                let mut reasons = report.reasons.clone();
                reasons.extend(report.cases.iter().filter_map(|case| match &case.verdict {
                    CaseVerdict::Error(why) | CaseVerdict::Skip(why) => Some(why.clone()),
                    _ => None,
                }));
                Verdict::Error(format!("{status}: {}", reasons.join("; ")))
            }
        }
    }
}

/// Why Xen died: the assertion, or what it said when it panicked.
fn reason(words: &[String]) -> String {
    let reason = words.iter().enumerate().find_map(|(at, line)| {
        if line.contains("DOUBLE FAULT") || line.starts_with("Assertion ") || line.contains("BUG") {
            return Some(line.trim_matches(|c: char| !c.is_alphanumeric()).to_owned());
        }
        line.starts_with("Panic on CPU").then(|| words.get(at + 1).cloned()).flatten()
    });
    reason.unwrap_or_else(|| "without a message".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_has_a_reason_and_a_place() {
        let words = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let panic = words(
            "----[ Xen-4.17.7  x86_64  debug=n ]----\n\
             RIP:    e008:[<ffff82d04021cd7d>] common/livepatch.c#prepare_payload+0x5ad/0x8f0\n\
             Panic on CPU 0:\n\
             FATAL PAGE FAULT\n\
             [error_code=0000]",
        );
        let crash = |words: &[String]| {
            let reason = reason(words);
            let at = Place::of(words, &reason);
            Verdict::Crash { reason, at, words: Vec::new() }
        };
        assert_eq!(crash(&panic).summary(), "crash: FATAL PAGE FAULT in prepare_payload+0x5ad");
        assert_eq!(crash(&panic).kind(), "crash FATAL PAGE FAULT prepare_payload");
        let double = crash(&words("*** DOUBLE FAULT ***"));
        assert_eq!(double.summary(), "crash: DOUBLE FAULT");
        assert_eq!(crash(&[]).summary(), "crash: without a message");
    }

    #[test]
    fn numbers_do_not_make_a_divergence_another() {
        let kind = |what: &str| {
            Verdict::Divergence { what: what.into(), how: "expected a, got b".into() }.kind()
        };
        assert_eq!(kind("LIST's array name at byte 3"), kind("LIST's array name at byte 17"));
        assert_ne!(kind("LIST's array name at byte 3"), kind("LIST's array len at byte 3"));
        assert_ne!(kind("answer"), Verdict::Agreement.kind());
    }

    #[test]
    fn the_guest_s_lines_are_understood() {
        let mut observer = Observer::default();
        for line in [
            "  # Subtest: livepatch-replay",
            "  #> get \"p\"",
            "  #= ENOENT",
            "  #> action apply \"p\"",
            "  # no prediction from here on: a reason",
            "  #= success",
            "  #> list",
            "  # step 3: list",
            "  # answer: expected 1, got EINVAL",
            "  not ok 1 agrees_with_the_model",
        ] {
            observer.guest(line);
        }
        assert_eq!((observer.begun, observer.answers.len()), (3, 2));
        assert_eq!(observer.lost, Some((2, "a reason".into())));
        assert_eq!(observer.failure, ["step 3: list", "answer: expected 1, got EINVAL"]);
    }
}

//! How things look: a word, a sign and a class of style for each outcome, and times.

use maud::{Markup, html};

use crate::base::status::Status;
use crate::results::{Case, KnownVerdict, Test, VerdictKind};

/// How a test's run looks in one word.
pub(super) struct Look {
    pub(super) class: &'static str,
    pub(super) word: &'static str,
}

impl Look {
    pub(super) fn of(test: &Test) -> Look {
        let look = |class, word| Look { class, word };
        match test.last.status {
            Status::Success if test.is_known() => look("known", "known"),
            Status::Success if test.is_news() => look("news", "news"),
            Status::Success if test.flaky => look("flaky", "flaky"),
            status => Look::of_status(status),
        }
    }

    pub(super) fn of_status(status: Status) -> Look {
        let look = |class, word| Look { class, word };
        match status {
            Status::Success => look("pass", "pass"),
            Status::Skip => look("skip", "skip"),
            Status::Error => look("error", "error"),
            Status::Failure => look("bad", "fail"),
            Status::Crash => look("crash", "crash"),
            Status::Timeout => look("crash", "timeout"),
        }
    }

    pub(super) fn pill(&self) -> Markup {
        html! { span class={ "pill " (self.class) } { (self.word) } }
    }
}

/// A case's verdict as a sign, a class, and a word.
pub(super) fn sign(case: &Case) -> (&'static str, &'static str, &'static str) {
    let known = case.known.as_ref().map(|known| known.verdict);
    match (case.verdict, known) {
        (_, Some(KnownVerdict::Known)) => ("≈", "known", "known"),
        (_, Some(KnownVerdict::News)) => ("★", "news", "news"),
        (VerdictKind::Success, _) => ("✓", "pass", "passed"),
        (VerdictKind::Skip, _) => ("–", "skip", "skipped"),
        (VerdictKind::Deviation, _) => ("~", "deviation", "tolerated"),
        (VerdictKind::Error, _) => ("!", "error", "error"),
        (VerdictKind::Failure, _) => ("✗", "bad", "failed"),
        (VerdictKind::Crash, _) => ("†", "crash", "crashed"),
        (VerdictKind::Timeout, _) => ("†", "crash", "timed out"),
    }
}

/// The classes by which the filter finds a test's run.
pub(super) fn kinds(test: &Test) -> Vec<&'static str> {
    let last = &test.last;
    let has = |wanted: fn(&Case) -> bool| last.cases.iter().any(wanted);
    let all = [
        ("bad", last.status.is_bad()),
        ("known", test.is_known() || has(Case::is_tolerated)),
        ("news", test.is_news()),
        ("flaky", test.flaky),
        ("slow", last.slow || has(|case| case.slow)),
        ("deviation", has(|case| case.verdict == VerdictKind::Deviation)),
        ("partly", last.status != Status::Skip && has(|case| case.verdict == VerdictKind::Skip)),
        ("skip", last.status == Status::Skip),
    ];
    let mut kinds: Vec<&str> =
        all.iter().filter(|(_, applies)| *applies).map(|(kind, _)| *kind).collect();
    if kinds.is_empty() {
        kinds.push("pass");
    }
    kinds
}

pub(super) fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 100.0 => format!("{s:.0} s"),
        s if s >= 1.0 => format!("{s:.1} s"),
        s => format!("{:.0} ms", s * 1000.0),
    }
}

/// A case's sign alone.
pub(super) fn mark(case: &Case) -> Markup {
    let (sign, class, word) = sign(case);
    html! { span class={ "sign " (class) } title=(word) { (sign) } }
}

//! The lines of a test that has just settled.

use std::fmt::Write as _;

use super::style::{CYAN, INDENT, YELLOW, count};
use crate::base::status::Status;
use crate::results::event::SettledTest;
use crate::results::{Attempt, Case, Known, KnownVerdict, VerdictKind};

/// The line of a test that has just settled.
pub(super) fn headline(outcome: &SettledTest, attempt: &Attempt) -> String {
    let SettledTest { xen, environment, report, .. } = outcome;
    let (word, style) = attempt.status.label();
    let (word, style) = match &attempt.known {
        Some(Known { verdict: KnownVerdict::Known, .. }) if !attempt.status.is_bad() => {
            ("KNOWN".to_owned(), YELLOW)
        }
        Some(Known { verdict: KnownVerdict::News, .. }) if !attempt.status.is_bad() => {
            ("NEWS".to_owned(), CYAN)
        }
        _ if outcome.again => (format!("TRY {} {word}", outcome.attempt), style),
        _ if outcome.flaky && !attempt.status.is_bad() => {
            (format!("FLAKY {}", outcome.attempt), YELLOW)
        }
        _ if outcome.attempt > 1 => (format!("TRY {} {word}", outcome.attempt), style),
        _ => (word.to_owned(), style),
    };
    let seconds = attempt.elapsed_s;
    let (env, name) = (environment.name(), &report.name);
    let mut line = format!("{style}{word:>12}{style:#} [{seconds:>7.3}s] {xen} {env:<5} {name}");
    line += &remark(attempt);
    if let Some(last) = attempt.went_on.last().filter(|_| outcome.amended) {
        let _ = write!(line, ", {}", last.told());
    } else if outcome.amended {
        line += ", changed: the boot ended in a way that makes all its results doubtful";
    }
    line.push('\n');
    line
}

/// What belongs right behind a test's name.
fn remark(attempt: &Attempt) -> String {
    let number =
        |wanted: fn(&Case) -> bool| attempt.cases.iter().filter(|case| wanted(case)).count();
    if let Some(known) = attempt.known.as_ref().filter(|_| attempt.status == Status::Success) {
        return match known.verdict {
            KnownVerdict::Known => {
                let seen = attempt.reasons.join("; ");
                format!(": {} as expected, {}{}{seen}", known.expected, known.told(), colon(&seen))
            }
            KnownVerdict::News => format!(": {} was expected, {}", known.expected, known.told()),
        };
    }
    match attempt.status {
        Status::Success => {
            let mut parts = vec![count(attempt.cases.len(), "case")];
            for (what, number) in [
                ("tolerated", number(|case| case.verdict == VerdictKind::Deviation)),
                ("known", number(Case::is_tolerated)),
                ("news", number(Case::is_news)),
                ("skipped", number(|case| case.verdict == VerdictKind::Skip)),
            ] {
                if number > 0 {
                    parts.push(format!("{number} {what}"));
                }
            }
            if attempt.slow {
                parts.push("slow".into());
            }
            format!(" ({})", parts.join(", "))
        }
        Status::Skip if !attempt.reasons.is_empty() => format!(": {}", attempt.reasons.join("; ")),
        _ => String::new(),
    }
}

fn colon(text: &str) -> &'static str {
    if text.is_empty() { "" } else { ": " }
}

/// What has no result, in a line.
pub(super) fn not_run(attempt: &Attempt) -> Option<String> {
    const NAMED: usize = 3;
    let names = &attempt.not_run;
    let more = if names.len() > NAMED { ", ..." } else { "" };
    let named = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    (!names.is_empty()).then(|| format!("not run: {} ({named}{more})", count(names.len(), "case")))
}

/// The lines right below a test: what is wrong, and what was tolerated.
pub(super) fn brief(attempt: &Attempt) -> String {
    let mut text = String::new();
    // Those before have been shown when the boot before had ended.
    let behind = attempt.went_on.last().map(|further| &further.behind);
    let shown = attempt.cases.iter().position(|case| Some(&case.name) == behind);
    for case in attempt.cases.iter().skip(shown.map_or(0, |last| last + 1)) {
        let (name, said) = (&case.name, case.said());
        let colon = colon(&said);
        let slow =
            if case.slow { format!(" [slow: {:.3}s]", case.elapsed_s) } else { String::new() };
        let known = case.known.as_ref();
        let _ = match (case.verdict, known.map(|known| (known.verdict, known))) {
            (_, Some((KnownVerdict::Known, known))) => {
                let word = case.verdict.name();
                let told = known.told();
                writeln!(text, "{INDENT}~ {name}: known {word}, {told}{colon}{said}{slow}")
            }
            (_, Some((KnownVerdict::News, known))) => {
                let (word, told) = (known.expected, known.told());
                writeln!(text, "{INDENT}* {name}: NEWS, {word} was expected, {told}{slow}")
            }
            (VerdictKind::Success, _) if case.slow => writeln!(text, "{INDENT}  {name}{slow}"),
            (VerdictKind::Success, _) => Ok(()),
            (VerdictKind::Skip, _) if attempt.status == Status::Skip => Ok(()),
            (VerdictKind::Skip, _) => writeln!(text, "{INDENT}- {name}: skipped, {said}{slow}"),
            (VerdictKind::Deviation, _) => {
                writeln!(text, "{INDENT}~ {name}: tolerated, {said}{slow}")
            }
            (VerdictKind::Failure, _) => writeln!(text, "{INDENT}✗ {name}{colon}{said}{slow}"),
            (VerdictKind::Error, _) => writeln!(text, "{INDENT}! {name}{colon}{said}{slow}"),
            (VerdictKind::Crash | VerdictKind::Timeout, _) => {
                writeln!(text, "{INDENT}† {name}{colon}{said}{slow}")
            }
        };
    }
    if let Some(line) = not_run(attempt) {
        let _ = writeln!(text, "{INDENT}{line}");
    }
    if attempt.status.is_bad() {
        for reason in &attempt.reasons {
            let _ = writeln!(text, "{INDENT}{reason}");
        }
    }
    text
}

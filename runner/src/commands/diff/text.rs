//! The differences for people: by kind, the worst first, and the sums at the end.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::{Change, Diff, Kind, State};
use crate::base::plural::count;

/// Column where the lines below a heading begin.
const INDENT: &str = "    ";

impl Kind {
    /// As a heading, and in which colour.
    fn label(self) -> (&'static str, Style) {
        let (word, colour) = match self {
            Kind::Regressed => ("regressed", AnsiColor::Red),
            Kind::Vanished => ("vanished", AnsiColor::Red),
            Kind::Skipped => ("newly skipped", AnsiColor::Red),
            Kind::Slower => ("slower", AnsiColor::Yellow),
            Kind::Flaky => ("newly flaky", AnsiColor::Yellow),
            Kind::Changed => ("changed", AnsiColor::Yellow),
            Kind::Fixed => ("fixed", AnsiColor::Green),
            Kind::Appeared => ("appeared", AnsiColor::Cyan),
        };
        (word, colour.on_default().bold())
    }
}

/// All of `diff`.
pub fn told(diff: &Diff) -> String {
    let mut text = String::new();
    for pair in diff.xens.iter().filter(|pair| !pair.is_the_same()) {
        let _ = writeln!(text, "{} is compared with {}", pair.new.told(), pair.old.told());
        if pair.is_told_by_build_id_alone() {
            let _ =
                writeln!(text, "{INDENT}a development version: only the build-ids tell them apart");
        }
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let mut counts: Vec<String> = Vec::new();
    for group in diff.changes.chunk_by(|a, b| a.kind == b.kind) {
        let (word, style) = group[0].kind.label();
        let _ = writeln!(text, "{style}{word}{style:#}");
        for change in group {
            told_change(&mut text, change);
        }
        text.push('\n');
        counts.push(format!("{} {word}", group.len()));
    }
    if counts.is_empty() {
        counts.push("no differences".into());
    }
    let _ = writeln!(text, "{}; {} in both runs", counts.join(", "), count(diff.compared, "test"));
    for (name, source) in [("old", &diff.old), ("new", &diff.new)] {
        if !source.complete {
            let _ = writeln!(text, "the {name} run is partial");
        }
    }
    let regressions = diff.changes.iter().filter(|change| change.regression).count();
    let _ = match regressions {
        0 => writeln!(text, "nothing regressed"),
        1 => writeln!(text, "1 regression"),
        more => writeln!(text, "{more} regressions"),
    };
    text
}

fn told_change(text: &mut String, change: &Change) {
    let unit = &change.unit;
    let _ = write!(text, "{INDENT}{} {:<5} {}", unit.xen, unit.environment.name(), unit.test);
    if let Some(case) = &change.case {
        let _ = write!(text, " {case}");
    }
    let because = |state: &State| match state.why.as_str() {
        "" => String::new(),
        why => format!(" ({why})"),
    };
    let _ = match (&change.old, &change.new) {
        (Some(old), Some(new)) if change.kind == Kind::Slower => {
            let factor = new.elapsed_s / old.elapsed_s.max(1e-6);
            writeln!(text, ": {:.3} s, was {:.3} s ({factor:.1}x)", new.elapsed_s, old.elapsed_s)
        }
        (Some(old), Some(new)) if old.word == new.word => {
            writeln!(text, ": {}, {}; was: {}", new.word, new.why, old.why)
        }
        (Some(old), Some(new)) => {
            let why = if new.status.is_bad() || new.why != old.why {
                because(new)
            } else {
                String::new()
            };
            let was = if new.status.is_bad() { String::new() } else { because(old) };
            writeln!(text, ": {}{was} -> {}{why}", old.word, new.word)
        }
        (Some(old), None) => writeln!(text, ": was {}{}", old.word, because(old)),
        (None, Some(new)) => writeln!(text, ": {}{}", new.word, because(new)),
        (None, None) => writeln!(text),
    };
}

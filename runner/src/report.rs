//! The display: a line for each test, the failures again at the end, then the sums.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;

use anstyle::Style;

use crate::event::{Listener, RunEvent, TestOutcome};
use crate::exit::Exit;
use crate::judge::{Known, Verdict};
use crate::matrix;
use crate::status::Status;

/// Column where the lines below a test begin.
const INDENT: &str = "             ";
/// Of a long quotation of Xen, this many lines from each end.
const QUOTE_ENDS: usize = 16;

const BOLD: Style = Style::new().bold();

/// Prints to a terminal or a pipe; colour is the writer's business.
pub struct Display<W: Write> {
    out: W,
    verbose: bool,
    boots: usize,
    planned: usize,
    /// The boots that are running, by number, as a person knows them.
    under_way: BTreeMap<usize, String>,
    outcomes: Vec<TestOutcome>,
}

impl<W: Write> Display<W> {
    /// A display on `out`; `verbose` shows the guest's lines as they come.
    pub fn new(out: W, verbose: bool) -> Self {
        let under_way = BTreeMap::new();
        Display { out, verbose, boots: 0, planned: 0, under_way, outcomes: Vec::new() }
    }

    /// A reader who went away must not stop the tests: the logs still fill.
    fn print(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }

    fn summary(&mut self, elapsed: Duration, stopped: Option<Exit>) {
        self.outcomes.sort_by_key(|outcome| outcome.place);
        let mut text = String::new();
        let bad: Vec<&TestOutcome> =
            self.outcomes.iter().filter(|outcome| outcome.report.status.is_bad()).collect();
        text += "------------\n";
        if !bad.is_empty() {
            text += "What went wrong:\n\n";
        }
        for outcome in bad {
            text += &headline(outcome);
            text += &brief(outcome);
            text += &full(outcome);
            text.push('\n');
        }

        let table = matrix::table(&self.outcomes);
        if !table.is_empty() {
            text += &table;
            text.push('\n');
        }

        let cases = || self.outcomes.iter().flat_map(|outcome| &outcome.report.cases);
        let count_cases = |status| cases().filter(|case| case.verdict.status() == status).count();
        let deviations =
            cases().filter(|case| matches!(case.verdict, Verdict::Deviation(_))).count();
        let tests = |wanted: fn(Status) -> bool| {
            self.outcomes.iter().filter(|outcome| wanted(outcome.report.status)).count()
        };
        let _ = writeln!(
            text,
            "{BOLD}{:>12}{BOLD:#} [{:>7.3}s] {}, {}; cases: {} passed, {} failed, {} in error, \
             {} skipped, {}",
            "Summary",
            elapsed.as_secs_f64(),
            count(self.boots, "boot"),
            count(self.outcomes.len(), "test"),
            count_cases(Status::Success) - deviations,
            count_cases(Status::Failure),
            count_cases(Status::Error),
            count_cases(Status::Skip),
            count(deviations, "deviation"),
        );
        if let Some(signal) = stopped {
            let name = if signal == Exit::Interrupted { "SIGINT" } else { "SIGTERM" };
            let left = self.planned.saturating_sub(self.outcomes.len());
            let _ = writeln!(text, "{INDENT}stopped by {name}; {} not run", count(left, "test"));
        }
        let _ = writeln!(
            text,
            "{} passed, {} failed, {} skipped",
            tests(|status| status == Status::Success),
            tests(Status::is_bad),
            tests(|status| status == Status::Skip),
        );
        self.print(&text);
    }
}

impl<W: Write + Send> Listener for Display<W> {
    fn event(&mut self, event: &RunEvent<'_>) {
        match event {
            RunEvent::Note(text) => self.print(&format!("{INDENT}{text}\n")),
            RunEvent::RunStarted { boots, tests, logs } => {
                self.planned = *tests;
                self.print(&format!(
                    "{BOLD}{:>12}{BOLD:#} {} in {}; logs in {}\n",
                    "Running",
                    count(*tests, "test"),
                    count(*boots, "boot"),
                    logs.display()
                ));
            }
            RunEvent::BootStarted { boot, xen, environment, tests } => {
                self.boots += 1;
                let label = format!("{xen} {}", environment.name());
                if self.verbose {
                    self.print(&format!("\n=== {label}: {}\n", tests.join(" ")));
                }
                self.under_way.insert(*boot, label);
            }
            RunEvent::GuestLine { boot, text } if self.verbose => {
                let label = self.under_way.get(boot).filter(|_| self.under_way.len() > 1);
                let line = label.map_or_else(
                    || format!("{text}\n"),
                    |label| format!("[{boot} {label}] {text}\n"),
                );
                self.print(&line);
            }
            RunEvent::GuestLine { .. } => {}
            RunEvent::BootEnded { boot } => {
                self.under_way.remove(boot);
                if self.verbose {
                    self.print("\n");
                }
            }
            RunEvent::TestSettled { outcome, .. } => {
                self.print(&(headline(outcome) + &brief(outcome)));
                self.outcomes.push((*outcome).clone());
            }
            RunEvent::RunEnded { elapsed, stopped } => self.summary(*elapsed, *stopped),
        }
    }
}

fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// The line of a test.
fn headline(outcome: &TestOutcome) -> String {
    let TestOutcome { xen, environment, report, .. } = outcome;
    let (word, style) = report.status.label();
    let seconds = report.elapsed.as_secs_f64();
    let env = environment.name();
    let name = &report.name;
    let word = if report.known == Some(Known::Died) { "KNOWN" } else { word };
    let mut line = format!("{style}{word:>12}{style:#} [{seconds:>7.3}s] {xen} {env:<5} {name}");
    let skipped = report.cases.iter().filter(|case| case.verdict.status() == Status::Skip).count();
    let cases = count(report.cases.len(), "case");
    let _ = match (report.status, skipped) {
        (Status::Success, _) if report.known == Some(Known::Died) => {
            write!(line, ": kills this Xen, as it is known to: {}", report.reasons.join("; "))
        }
        (Status::Success, _) if report.known == Some(Known::Survived) => {
            write!(line, ": NEWS: known to kill this Xen, which went on")
        }
        (Status::Success, 0) => write!(line, " ({cases})"),
        (Status::Success, _) => write!(line, " ({cases}, {skipped} skipped)"),
        (Status::Skip, _) if !report.reasons.is_empty() => {
            write!(line, ": {}", report.reasons.join("; "))
        }
        _ => Ok(()),
    };
    line.push('\n');
    line
}

/// The lines right below a test: what is wrong, and what was tolerated.
fn brief(outcome: &TestOutcome) -> String {
    let report = &outcome.report;
    let mut text = String::new();
    for case in &report.cases {
        let said = case.diagnostics.join("; ");
        let _ = match &case.verdict {
            Verdict::Success => Ok(()),
            Verdict::Skip(_) if report.status == Status::Skip => Ok(()),
            Verdict::Skip(why) => writeln!(text, "{INDENT}- {}: skipped, {why}", case.name),
            Verdict::Deviation(why) => writeln!(text, "{INDENT}~ {}: tolerated, {why}", case.name),
            Verdict::Failure if said.is_empty() => writeln!(text, "{INDENT}✗ {}", case.name),
            Verdict::Failure => writeln!(text, "{INDENT}✗ {}: {said}", case.name),
            Verdict::Error(why) if said.is_empty() => {
                writeln!(text, "{INDENT}! {}: {why}", case.name)
            }
            Verdict::Error(why) => writeln!(text, "{INDENT}! {}: {why}; {said}", case.name),
        };
    }
    if report.status.is_bad() {
        if let Some(case) = &report.at_case {
            let _ = writeln!(text, "{INDENT}in case {case}");
        }
        for reason in &report.reasons {
            let _ = writeln!(text, "{INDENT}{reason}");
        }
    }
    text
}

/// The evidence, for the end of the run.
fn full(outcome: &TestOutcome) -> String {
    let report = &outcome.report;
    let mut text = String::new();
    for line in &report.diagnostics {
        let _ = writeln!(text, "{INDENT}# {line}");
    }
    for frame in &outcome.frames {
        let _ = writeln!(text, "{INDENT}at {frame}");
    }
    let words = &report.xen_words;
    let hidden = words.len().saturating_sub(2 * QUOTE_ENDS);
    for (index, line) in words.iter().enumerate() {
        if hidden == 0 || index < QUOTE_ENDS || index >= QUOTE_ENDS + hidden {
            let _ = writeln!(text, "{INDENT}| {line}");
        } else if index == QUOTE_ENDS {
            let _ = writeln!(text, "{INDENT}| ... {hidden} more lines in xen.log");
        }
    }
    let _ = writeln!(text, "{INDENT}logs: {}", outcome.logs.display());
    text
}

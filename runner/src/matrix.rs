//! The results as a table: tests downwards, Xens and environments across.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::event::TestOutcome;
use crate::judge::{Known, Verdict};
use crate::status::Status;

/// What a reader has to know of the cells.
const LEGEND: &str = "passed cases; ~ tolerated deviations; - skipped; known: kills this Xen";

/// The table, or nothing where a list of tests says as much.
pub fn table(outcomes: &[TestOutcome]) -> String {
    let mut columns: Vec<(&str, &str)> = Vec::new();
    let mut rows: Vec<&str> = Vec::new();
    let mut cells = BTreeMap::new();
    for outcome in outcomes {
        let column = (outcome.xen.as_str(), outcome.environment.name());
        let row = outcome.report.name.as_str();
        if !columns.contains(&column) {
            columns.push(column);
        }
        if !rows.contains(&row) {
            rows.push(row);
        }
        cells.insert((row, column), cell(outcome));
    }
    if columns.len() < 2 || rows.len() < 2 {
        return String::new();
    }

    let first = rows.iter().map(|row| row.len()).max().unwrap_or(0);
    let width = |column: &(&str, &str)| {
        let own = column.0.len().max(column.1.len());
        rows.iter()
            .filter_map(|row| cells.get(&(*row, *column)))
            .map(Cell::width)
            .fold(own, usize::max)
    };
    let widths: Vec<usize> = columns.iter().map(width).collect();
    let mut text = format!("{:first$}", "");
    for (index, ((xen, _), width)) in columns.iter().zip(&widths).enumerate() {
        // A Xen's name stands above the first of its environments.
        let shown = if index > 0 && columns[index - 1].0 == *xen { "" } else { xen };
        let _ = write!(text, "  {shown:>width$}");
    }
    let _ = write!(text, "\n{:first$}", "");
    for ((_, environment), width) in columns.iter().zip(&widths) {
        let _ = write!(text, "  {environment:>width$}");
    }
    text.push('\n');
    for row in rows {
        let _ = write!(text, "{row:first$}");
        for (column, width) in columns.iter().zip(&widths) {
            match cells.get(&(row, *column)) {
                Some(cell) => {
                    let _ = write!(text, "  {}{}", " ".repeat(width - cell.width()), cell.styled());
                }
                None => {
                    let _ = write!(text, "  {:>width$}", "");
                }
            }
        }
        text.push('\n');
    }
    text + "(" + LEGEND + ")\n"
}

struct Cell {
    status: Status,
    text: String,
}

impl Cell {
    fn width(&self) -> usize {
        self.text.chars().count()
    }

    fn styled(&self) -> String {
        let (_, style) = self.status.label();
        format!("{style}{}{style:#}", self.text)
    }
}

fn cell(outcome: &TestOutcome) -> Cell {
    let report = &outcome.report;
    let status = report.status;
    let cases = report.cases.iter().map(|case| &case.verdict);
    let passed = cases.clone().filter(|verdict| matches!(verdict, Verdict::Success)).count();
    let deviations = cases.filter(|verdict| matches!(verdict, Verdict::Deviation(_))).count();
    let text = match (status, deviations) {
        (Status::Success, _) if report.known == Some(Known::Died) => "known".into(),
        (Status::Success, _) if report.known == Some(Known::Survived) => "NEWS".into(),
        (Status::Success, 0) => passed.to_string(),
        (Status::Success, _) => format!("{passed}~{deviations}"),
        (Status::Skip, _) => "-".into(),
        _ => status.label().0.to_owned(),
    };
    Cell { status, text }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::cli::Environment;
    use crate::judge::{CaseReport, TestReport};

    fn outcome(
        xen: &str,
        environment: Environment,
        name: &str,
        verdicts: &[Verdict],
    ) -> TestOutcome {
        let case = |verdict: &Verdict| CaseReport {
            name: "case".into(),
            verdict: verdict.clone(),
            diagnostics: Vec::new(),
        };
        TestOutcome {
            xen: xen.into(),
            environment,
            report: TestReport {
                name: name.into(),
                status: Status::of_parts(verdicts.iter().map(Verdict::status)).unwrap(),
                cases: verdicts.iter().map(case).collect(),
                reasons: Vec::new(),
                at_case: None,
                diagnostics: Vec::new(),
                backtrace: Vec::new(),
                known: None,
                xen_words: Vec::new(),
                elapsed: Duration::ZERO,
            },
            frames: Vec::new(),
            logs: PathBuf::new(),
            place: 0,
        }
    }

    #[test]
    fn cells_stand_in_their_columns() {
        use Environment::{Pv64, Pvh64};
        let (good, bad) = (Verdict::Success, Verdict::Failure);
        let known = Verdict::Deviation("doc-1: so".into());
        let outcomes = [
            outcome("4.14", Pv64, "list", &[good.clone(), known]),
            outcome("4.14", Pv64, "priv", &[Verdict::Skip("why".into())]),
            outcome("4.14", Pvh64, "list", &[good.clone(), good.clone()]),
            outcome("4.17", Pv64, "list", &[good, bad]),
        ];
        let text = anstream::adapter::strip_str(&table(&outcomes)).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..4],
            [
                "      4.14         4.17",
                "      pv64  pvh64  pv64",
                "list   1~1      2  FAIL",
                "priv     -             ",
            ]
        );
    }

    #[test]
    fn one_column_needs_no_table() {
        let outcomes = [outcome("4.14", Environment::Pv64, "list", &[Verdict::Success])];
        assert_eq!(table(&outcomes), "");
    }
}

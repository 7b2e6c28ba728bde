//! The results as a table: tests downwards, Xens and environments across.

use std::collections::BTreeMap;
use std::fmt::Write;

use protocol::metadata::Environment;

use crate::base::status::Status;
use crate::results::{CaseCounts, Document, Test};

/// What a reader has to know of the cells.
const LEGEND: &str = "passed cases; ~ tolerated; - skipped";
/// What needs no explanation unless it is there.
const WORDS: [(&str, &str); 3] = [
    ("KNOWN", "failed as expected"),
    ("NEWS", "passed where a failure was expected"),
    ("FLAKY", "failed, then passed"),
];

/// The table, or nothing where a list of tests says as much.
pub fn table(document: &Document) -> String {
    let columns = document.columns();
    let rows = document.rows();
    if columns.len() < 2 || rows.len() < 2 {
        return String::new();
    }
    let mut cells = BTreeMap::new();
    for test in &document.tests {
        let unit = &test.unit;
        let column = (unit.xen.as_str(), unit.environment);
        cells.insert((unit.test.as_str(), column), cell(test));
    }

    let first = rows.iter().map(|row| row.len()).max().unwrap_or(0);
    let width = |column: &(&str, Environment)| {
        let own = column.0.len().max(column.1.name().len());
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
        let _ = write!(text, "  {:>width$}", environment.name());
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
    text += &format!("({LEGEND})\n");
    for (word, meaning) in WORDS {
        if cells.values().any(|cell| cell.text == word) {
            let _ = writeln!(text, "({word}: {meaning})");
        }
    }
    text
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

fn cell(test: &Test) -> Cell {
    let status = test.last.status;
    let counts = CaseCounts::of([&test.last]);
    let passed = counts.passed;
    let tolerated = counts.deviations + counts.known;
    let text = match status {
        Status::Success if test.is_known() => "KNOWN".into(),
        Status::Success if test.is_news() => "NEWS".into(),
        Status::Success if test.flaky => "FLAKY".into(),
        Status::Success if tolerated == 0 => passed.to_string(),
        Status::Success => format!("{passed}~{tolerated}"),
        Status::Skip => "-".into(),
        _ => status.label().0.to_owned(),
    };
    Cell { status, text }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::results::sample;

    #[test]
    fn cells_stand_in_their_columns() {
        let text = anstream::adapter::strip_str(&table(&sample::whole())).to_string();
        expect![[r#"
                      4.17          4.20
                      pv64  pvh64   pv64
            list       1~1    1~1    1~1
            elf          3      3  ERROR
            stack    KNOWN  FLAKY   FAIL
            crash    KNOWN   NEWS  KNOWN
            trap     CRASH      1      1
            priv         -      -      -
            soak   TIMEOUT      2      2
            tool     ERROR      1      1
            (passed cases; ~ tolerated; - skipped)
            (KNOWN: failed as expected)
            (NEWS: passed where a failure was expected)
            (FLAKY: failed, then passed)
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn one_column_needs_no_table() {
        let mut document = sample::whole();
        document.tests.retain(|test| test.unit.xen == "4.20");
        assert_eq!(table(&document), "");
    }
}

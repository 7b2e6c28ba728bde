//! All that the page is made of, and what its parts ask of it.

use std::collections::BTreeMap;
use std::path::Path;

use maud::{Markup, html};
use protocol::metadata::Environment;

use super::look::kinds;
use crate::results::compare::Diff;
use crate::results::{Document, Test, Unit};

/// A Xen in an environment.
pub(super) type Column<'d> = (&'d str, Environment);

pub(super) fn key(unit: &Unit) -> (&str, Column<'_>) {
    (unit.test.as_str(), (unit.xen.as_str(), unit.environment))
}

/// All that the page is made of.
pub(super) struct Page<'d> {
    pub(super) document: &'d Document,
    /// How it differs from a baseline.
    pub(super) diff: Option<&'d Diff>,
    pub(super) columns: Vec<Column<'d>>,
    pub(super) tests: BTreeMap<(&'d str, Column<'d>), &'d Test>,
    /// Where the page is to be.
    pub(super) folder: &'d Path,
}

impl Page<'_> {
    /// Whether a column is the first of its Xen.
    pub(super) fn is_first(&self, index: usize) -> bool {
        index == 0 || self.columns[index - 1].0 != self.columns[index].0
    }

    /// The classes of a row.
    pub(super) fn kinds_of_row(&self, row: &str) -> String {
        let mut all: Vec<&str> = Vec::new();
        for column in &self.columns {
            if let Some(test) = self.tests.get(&(row, *column)) {
                all.extend(kinds(test));
            }
        }
        if self.document.not_run.iter().any(|unit| unit.test == row) {
            all.push("bad");
        }
        all.sort_unstable();
        all.dedup();
        all.join(" ")
    }

    pub(super) fn is_missing(&self, row: &str, column: Column<'_>) -> bool {
        self.document.not_run.iter().any(|unit| key(unit) == (row, column))
    }

    /// The heads of a table that has something called `what` in each row.
    pub(super) fn heads(&self, what: &str) -> Markup {
        let groups = self.columns.chunk_by(|a, b| a.0 == b.0);
        html! {
            thead {
                tr {
                    th.corner rowspan="2" scope="col" { (what) }
                    @for group in groups.clone() {
                        th.xen colspan=(group.len()) scope="colgroup" { (group[0].0) }
                    }
                }
                tr {
                    @for group in groups {
                        @for (index, (_, environment)) in group.iter().enumerate() {
                            th.first[index == 0] scope="col" { (environment.name()) }
                        }
                    }
                }
            }
        }
    }
}

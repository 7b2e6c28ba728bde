//! The table of all tests by Xen and environment.

use maud::{Markup, html};

use super::link::{id, run_id};
use super::look::{Look, time};
use super::page::{Column, Page};
use crate::results::CaseCounts;

impl Page<'_> {
    pub(super) fn matrix(&self) -> Markup {
        html! {
            div.scroll {
                table.matrix {
                    caption { "Passed cases of each test, by Xen and environment" }
                    (self.heads("Test"))
                    tbody {
                        @for row in self.document.rows() {
                            tr data-test=(row) data-kinds=(self.kinds_of_row(row)) {
                                th scope="row" { a href={ "#" (id(row)) } { (row) } }
                                @for (index, column) in self.columns.iter().enumerate() {
                                    (self.cell(row, *column, self.is_first(index)))
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn cell(&self, row: &str, column: Column<'_>, first: bool) -> Markup {
        let first = if first { "first" } else { "" };
        let Some(test) = self.tests.get(&(row, column)) else {
            let missing = self.is_missing(row, column);
            return html! {
                td class=(first) { @if missing { span.cell.missing { b { "not run" } } } }
            };
        };
        let look = Look::of(test);
        let counts = CaseCounts::of([&test.last]);
        let tolerated = counts.deviations + counts.known;
        let about = format!("{} {} {row}: {}", column.0, column.1.name(), look.word);
        html! {
            td class=(first) {
                a class={ "cell " (look.class) } href={ "#" (run_id(&test.unit)) } title=(about) {
                    b {
                        @if look.class == "pass" { (counts.passed) } @else { (look.word) }
                        @if look.class == "pass" && tolerated > 0 {
                            span.plus { "~" (tolerated) }
                        }
                        @if look.class == "pass" && counts.skipped > 0 {
                            span.plus { "–" (counts.skipped) }
                        }
                    }
                    small class=[test.last.slow.then_some("long")] { (time(test.last.elapsed_s)) }
                }
            }
        }
    }
}

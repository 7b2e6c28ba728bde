//! A section for each test: how its runs went, with the evidence and the way back.

use maud::{Markup, html};

use super::appendix::told;
use super::link::{id, run_id};
use super::look::{Look, mark, time};
use super::page::Page;
use crate::base::plural::count;
use crate::results::again;
use crate::results::compare::Identity;
use crate::results::{Attempt, CaseCounts, Test};

/// So many failed tests are open from the start: who reads further opens what is of interest.
const OPEN: usize = 20;
/// Of the failed cases of a run, so many stand beside the evidence. The table has them all.
const FAILED_CASES: usize = 20;

impl Page<'_> {
    pub(super) fn sections(&self) -> Markup {
        html! {
            section.tests {
                h2 { "Tests" }
                @let mut open = OPEN;
                @for row in self.document.rows() { (self.section(row, &mut open)) }
            }
        }
    }

    /// A test; it takes one from `open` if it failed.
    fn section(&self, row: &str, open: &mut usize) -> Markup {
        let runs: Vec<&Test> =
            self.columns.iter().filter_map(|c| self.tests.get(&(row, *c)).copied()).collect();
        let bad = *open > 0 && runs.iter().any(|test| test.last.status.is_bad());
        *open -= usize::from(bad);
        let title = runs.iter().map(|test| test.title.as_str()).find(|title| !title.is_empty());
        let mut looks: Vec<Look> = runs.iter().map(|test| Look::of(test)).collect();
        looks.sort_by_key(|look| look.word);
        looks.dedup_by_key(|look| look.word);
        let total: f64 = runs.iter().map(|test| test.last.elapsed_s).sum();
        html! {
            details.test id=(id(row)) data-test=(row) data-kinds=(self.kinds_of_row(row)) open[bad] {
                summary {
                    span.name { (row) }
                    span.title { @if let Some(title) = title { (title) } }
                    span.looks { @for look in &looks { (look.pill()) } }
                    span.time { (time(total)) }
                }
                div.runs {
                    @for test in &runs { (self.run(test)) }
                    @for column in &self.columns {
                        @if self.is_missing(row, *column) {
                            div.run { p.line {
                                span.pill.missing { "not run" }
                                b { (column.0) " " (column.1.name()) }
                            } }
                        }
                    }
                }
                (self.cases(&runs))
            }
        }
    }

    /// How a test went on one Xen in one environment.
    fn run(&self, test: &Test) -> Markup {
        let last = &test.last;
        let counts = CaseCounts::of([last]);
        let unit = &test.unit;
        let evident = last.status.is_bad() || test.is_known() || test.is_news() || test.flaky;
        html! {
            div.run id=(run_id(unit)) {
                p.line {
                    (Look::of(test).pill())
                    b { (unit.xen) " " (unit.environment.name()) }
                    span {
                        (counts.passed) " of " (count(last.cases.len().max(test.declared), "case"))
                        @let tolerated = counts.deviations + counts.known;
                        @if tolerated > 0 { ", " (tolerated) " tolerated" }
                        @if counts.skipped > 0 { ", " (counts.skipped) " skipped" }
                        @if counts.not_run > 0 { ", " (counts.not_run) " not run" }
                        @if last.slow { ", " span.long { "slow" } }
                    }
                    span.time { (time(last.elapsed_s)) }
                    (self.links(last))
                }
                @if evident {
                    div.evidence {
                        @if last.status.is_bad() { (self.way_back(test)) }
                        @for attempt in &test.earlier {
                            p.attempt {
                                "Failed before: " (Look::of_status(attempt.status).pill())
                                (self.links(attempt))
                            }
                            (evidence(attempt))
                        }
                        @if !test.earlier.is_empty() {
                            p.attempt {
                                "Attempt " (test.attempts()) ": "
                                (Look::of_status(last.status).pill())
                            }
                        }
                        (evidence(last))
                    }
                } @else {
                    @for reason in &last.reasons { p.reason { (reason) } }
                }
            }
        }
    }

    /// How to see it fail again, and on what it failed.
    fn way_back(&self, test: &Test) -> Markup {
        let xen = Identity::under(self.document, test);
        let image = &self.document.run.image_sha256;
        html! {
            @if let Some(command) = &test.again { pre.again title="runs it again" { (command) } }
            @if let Some(command) = again::debug_test(self.document, test) {
                pre.again title="opens a debugger at its end" { (command) }
            }
            @for boot in test.last.boots() {
                @if let Some(recording) = again::recording(self.document, boot) {
                    p.identity { "boot " (boot) ": " (recording) }
                }
            }
            p.identity {
                "Xen " (xen.version.as_deref().unwrap_or("of an unknown version")) ", "
                @match &xen.build_id {
                    Some(id) => { "build-id " code { (id) } },
                    None => "no build-id",
                }
                @if !image.is_empty() { "; image sha256 " code { (image) } }
            }
        }
    }

    /// Its boots and their logs.
    fn links(&self, attempt: &Attempt) -> Markup {
        html! {
            @for number in attempt.boots() {
                span.links {
                    a href={ "#boot-" (number) } { "boot " (number) }
                    @if let Some(boot) = self.document.boot(number) { (self.logs(boot)) }
                }
            }
        }
    }
}

/// What was seen of an attempt.
fn evidence(attempt: &Attempt) -> Markup {
    let bad = || attempt.cases.iter().filter(|case| case.status().is_bad());
    let hidden = bad().count().saturating_sub(FAILED_CASES);
    html! {
        @if let Some(known) = &attempt.known { p.reason { (told(known)) } }
        @for reason in &attempt.reasons { p.reason { (reason) } }
        @for case in bad().take(FAILED_CASES) {
            p.reason { (mark(case)) " " code { (case.name) } " " (case.said()) }
        }
        @if hidden > 0 { p.reason { "and " (count(hidden, "more failed case")) " below" } }
        @for (_, seen, how) in attempt.story() {
            @if !seen.xen_words.is_empty() {
                figure { figcaption { "Xen's last lines" } pre.xen { (seen.xen_words.join("\n")) } }
            }
            @if !seen.diagnostics.is_empty() {
                figure { figcaption { "The guest" } pre { (seen.diagnostics.join("\n")) } }
            }
            @if !seen.backtrace.is_empty() {
                figure { figcaption { "Backtrace" } pre { (seen.backtrace.join("\n")) } }
            }
            @if let Some(how) = how { p.reason { (how) } }
        }
    }
}

//! A section for each test: how its runs went, with the evidence, and its cases side by side.

use maud::{Markup, html};

use super::appendix::told;
use super::link::{id, run_id};
use super::look::{Look, mark, sign, time};
use super::page::{Column, Page};
use crate::base::plural::count;
use crate::results::{Attempt, Case, CaseCounts, Known, Test};

/// From how many seconds on a case's time is shown.
const WORTH_SHOWING: f64 = 0.01;

impl Page<'_> {
    pub(super) fn sections(&self) -> Markup {
        html! {
            section.tests {
                h2 { "Tests" }
                @for row in self.document.rows() { (self.section(row)) }
            }
        }
    }

    fn section(&self, row: &str) -> Markup {
        let runs: Vec<&Test> =
            self.columns.iter().filter_map(|c| self.tests.get(&(row, *c)).copied()).collect();
        let bad = runs.iter().any(|test| test.last.status.is_bad());
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
                (self.cases(row, &runs))
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
            div.run id=(run_id(test)) {
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

    /// The cases of a test, side by side.
    fn cases(&self, row: &str, runs: &[&Test]) -> Markup {
        let mut names: Vec<&str> = Vec::new();
        for test in runs {
            let reported = test.last.cases.iter().map(|case| case.name.as_str());
            for name in reported.chain(test.last.not_run.iter().map(String::as_str)) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        if names.is_empty() {
            return html! {};
        }
        html! {
            div.scroll {
                table.cases {
                    (self.heads("Case"))
                    tbody {
                        @for name in names {
                            @let cases = self.across(row, name);
                            tr data-case=(name) {
                                th scope="row" {
                                    code { (name) }
                                    (remarks(&cases))
                                }
                                @for (index, column) in self.columns.iter().enumerate() {
                                    @let case = cases.iter().find(|(c, _)| c == column);
                                    td.first[self.is_first(index)] {
                                        @if let Some((_, case)) = case {
                                            (verdict(case))
                                        } @else if self.lacks(row, *column, name) {
                                            span.sign.missing title="not run" { "?" }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn verdict(case: &Case) -> Markup {
    let (sign, class, word) = sign(case);
    let about = match case.said() {
        said if said.is_empty() => format!("{word}, {}", time(case.elapsed_s)),
        said => format!("{word}, {}: {said}", time(case.elapsed_s)),
    };
    html! {
        span class={ "sign " (class) } title=(about) { (sign) }
        @if case.slow {
            small.long { (time(case.elapsed_s)) }
        } @else if case.elapsed_s >= WORTH_SHOWING {
            small { (time(case.elapsed_s)) }
        }
    }
}

/// What was said of a case, and where; what is the same in several places once.
fn remarks(cases: &[(Column<'_>, &Case)]) -> Markup {
    type Remark<'c> = (&'static str, &'static str, String, Option<&'c Known>);
    let mut remarks: Vec<(Remark<'_>, Vec<String>)> = Vec::new();
    for ((xen, environment), case) in cases {
        let (_, class, word) = sign(case);
        let known = case.known.as_ref();
        let said = case.said();
        if said.is_empty() && known.is_none() {
            continue;
        }
        let remark = (class, word, said, known);
        let place = format!("{xen} {}", environment.name());
        match remarks.iter_mut().find(|(other, _)| *other == remark) {
            Some((_, places)) => places.push(place),
            None => remarks.push((remark, vec![place])),
        }
    }
    let everywhere = |places: &[String]| places.len() == cases.len() && cases.len() > 1;
    html! {
        @for ((class, word, said, known), places) in &remarks {
            p class={ "remark " (class) } {
                b { (word) }
                @if !said.is_empty() { " " (said) }
                @if let Some(known) = known { " · " (told(known)) }
                span.dim {
                    " · "
                    @if everywhere(places) { "everywhere" } @else { (places.join(", ")) }
                }
            }
        }
    }
}

/// What was seen of an attempt.
fn evidence(attempt: &Attempt) -> Markup {
    html! {
        @if let Some(known) = &attempt.known { p.reason { (told(known)) } }
        @for reason in &attempt.reasons { p.reason { (reason) } }
        @for case in attempt.cases.iter().filter(|case| case.status().is_bad()) {
            p.reason { (mark(case)) " " code { (case.name) } " " (case.said()) }
        }
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

//! The cases of a test, side by side.
//!
//! A run may have tens of thousands of them. A browser with script takes what is in `noscript` for
//! text, and the script makes elements only of the rows that somebody looks at. A browser without
//! script shows all of them.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::appendix::told;
use super::look::{sign, time};
use super::page::{Column, Page, key};
use crate::results::{Case, Known, Test};

/// From how many seconds on a case's time is shown.
const WORTH_SHOWING: f64 = 0.01;

/// A test's cases on a Xen in an environment, by their names, and those without a result.
type Cases<'d> = (BTreeMap<&'d str, &'d Case>, BTreeSet<&'d str>);

impl Page<'_> {
    pub(super) fn cases(&self, runs: &[&Test]) -> Markup {
        let mut seen = BTreeSet::new();
        let mut names: Vec<&str> = Vec::new();
        let mut by_column: BTreeMap<Column<'_>, Cases<'_>> = BTreeMap::new();
        for test in runs {
            let last = &test.last;
            let reported = last.cases.iter().map(|case| case.name.as_str());
            let missing = last.not_run.iter().map(String::as_str);
            let all = reported.chain(missing.clone());
            names.extend(all.filter(|name| seen.insert(*name)));
            // Of two of the same name, the first.
            let cases = last.cases.iter().rev().map(|case| (case.name.as_str(), case)).collect();
            by_column.insert(key(&test.unit).1, (cases, missing.collect()));
        }
        if names.is_empty() {
            return html! {};
        }
        html! {
            noscript {
                div.scroll {
                    table.cases {
                        (self.heads("Case"))
                        tbody { @for name in names { (self.case(name, &by_column)) } }
                    }
                }
            }
        }
    }

    fn case(&self, name: &str, by_column: &BTreeMap<Column<'_>, Cases<'_>>) -> Markup {
        let all: Vec<(Column<'_>, &Case)> = self
            .columns
            .iter()
            .filter_map(|column| Some((*column, *by_column.get(column)?.0.get(name)?)))
            .collect();
        html! {
            tr {
                th scope="row" {
                    code { (name) }
                    (remarks(&all))
                }
                @for (index, column) in self.columns.iter().enumerate() {
                    @let case = all.iter().find(|(other, _)| other == column);
                    td.first[self.is_first(index)] {
                        @if let Some((_, case)) = case {
                            (verdict(case))
                        } @else if by_column.get(column).is_some_and(|(_, lacks)| lacks.contains(name)) {
                            span.sign.missing title="not run" { "?" }
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

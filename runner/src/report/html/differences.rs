//! What differs from the baseline, if there is one.

use maud::{Markup, html};

use super::link::run_id;
use super::page::{Page, key};
use crate::report::differences::{happened, place, subjects, sums, word};
use crate::results::compare::Change;

/// Of each kind, so many are shown: `diff` tells all.
const SHOWN: usize = 100;

impl Page<'_> {
    pub(super) fn differences(&self) -> Markup {
        let Some(diff) = self.diff else { return html! {} };
        html! {
            section.differences {
                h2 { "Compared with the run of " (diff.old.started.replace('T', " ")) }
                @for line in subjects(diff) { p.reason { (line) } }
                @for line in sums(diff) { p.reason { (line) } }
                @for group in diff.changes.chunk_by(|a, b| a.kind == b.kind) {
                    @let bad = group.iter().any(|change| change.regression);
                    details open[bad] {
                        summary { b { (word(group[0].kind)) } " " (group.len()) }
                        ul {
                            @for change in group.iter().take(SHOWN) { li { (self.change(change)) } }
                            @if group.len() > SHOWN {
                                li { "and " (group.len() - SHOWN) " more" }
                            }
                        }
                    }
                }
            }
        }
    }

    /// A change, with a link to what is now there.
    fn change(&self, change: &Change) -> Markup {
        html! {
            @if self.tests.contains_key(&key(&change.unit)) {
                a href={ "#" (run_id(&change.unit)) } { (place(change)) }
            } @else {
                (place(change))
            }
            ": " (happened(change))
        }
    }
}

//! What stands below the tests: known outcomes, and boots with their logs.

use maud::{Markup, html};

use super::link::link_to;
use super::look::time;
use super::page::Page;
use crate::base::plural::count;
use crate::results::{AppliedExpectation, Boot, Known};

/// The logs of a boot that people want to read.
const LOGS: [&str; 4] = ["guest.log", "xen.log", "runner.log", "console.log"];

impl Page<'_> {
    pub(super) fn expectations(&self) -> Markup {
        let all = &self.document.expectations;
        if all.is_empty() {
            return html! {};
        }
        html! {
            section {
                h2 { "Known outcomes" }
                div.scroll { table.plain {
                    thead { tr {
                        th { "Says" } th { "Xen" } th { "Environment" } th { "Test" } th { "Expects" }
                        th { "Reason" } th { "Came" } th { "News" }
                    } }
                    tbody { @for expected in all { (expectation(expected)) } }
                } }
            }
        }
    }

    pub(super) fn boots(&self) -> Markup {
        html! {
            section {
                h2 { "Boots" }
                @for boot in &self.document.boots {
                    details.boot {
                        summary {
                            b { (boot.number) }
                            span { (boot.xen) " " (boot.environment.name()) }
                            span.dim { (count(boot.tests.len(), "test")) }
                            @if let Some(cause) = boot.ended_by {
                                span.pill.crash { "ended by " (format!("{cause:?}").to_lowercase()) }
                            }
                            span.time {
                                @match boot.elapsed_s { Some(s) => (time(s)), None => "not over" }
                            }
                        }
                        dl id={ "boot-" (boot.number) } {
                            dt { "Xen" } dd {
                                (boot.version.as_deref().unwrap_or("version unknown"))
                                ", " (boot.provenance)
                            }
                            @if let Some(id) = &boot.build_id { dt { "Build-id" } dd { code { (id) } } }
                            @for note in &boot.notes { dt { "Note" } dd { (note) } }
                            dt { "Machine" } dd {
                                (boot.backend) ", "
                                @if let Some(loader) = &boot.loader { "loader " (loader) ", " }
                                (boot.mode)
                            }
                            @if let Some(s) = boot.boot_s {
                                dt { "First test" } dd { "after " (time(s)) }
                            }
                            dt { "Tests" } dd { (boot.tests.join(" ")) }
                            dt { "Logs" } dd { (self.logs(boot)) }
                            @if let Some(command) = &boot.again {
                                dt { "Again" } dd { pre.again { (command) } }
                            }
                            @if !boot.command.is_empty() {
                                dt { "Command" } dd { pre { (boot.command) } }
                            }
                        }
                    }
                }
            }
        }
    }

    pub(super) fn logs(&self, boot: &Boot) -> Markup {
        let folder = link_to(&self.document.run.logs.join(&boot.logs), self.folder);
        html! {
            @for log in LOGS {
                " " a href={ (folder) "/" (log) } {
                    (log.trim_end_matches(".log"))
                }
            }
        }
    }
}

fn expectation(expected: &AppliedExpectation) -> Markup {
    html! {
        tr class=[expected.stale.then_some("stale")] {
            td { (expected.source) @if expected.stale { " " span.pill.news { "stale" } } }
            td { (expected.xen) }
            td { (expected.environment) }
            td { code { (expected.test) } }
            td { (expected.status.to_string()) }
            td { (reason(&expected.reason, expected.link.as_deref())) }
            td.number { (expected.known) }
            td.number { (expected.news) }
        }
    }
}

pub(super) fn told(known: &Known) -> Markup {
    html! {
        (known.expected.to_string()) " expected: " (reason(&known.reason, known.link.as_deref()))
        span.dim { " (" (known.source) ")" }
    }
}

/// A reason with its link; what is no web address is no link.
fn reason(text: &str, link: Option<&str>) -> Markup {
    let web = |link: &&str| link.starts_with("https://") || link.starts_with("http://");
    html! {
        @match link.filter(web) {
            Some(link) => a href=(link) rel="noreferrer" { (text) },
            None => { (text) @if let Some(link) = link { " " (link) } }
        }
    }
}

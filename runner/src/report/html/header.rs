//! The top of the page: what came of the run as a whole, and the filters.

use maud::{Markup, html};

use super::link::link_to;
use super::look::{kinds, time};
use super::page::Page;
use crate::base::plural::count;
use crate::base::shell;
use crate::results::{Document, Test};

/// What a filter can ask for: its class, its name, and what it means.
const KINDS: [(&str, &str, &str); 9] = [
    ("bad", "failed", "failed, crashed, timed out, in error, or not run"),
    ("known", "known", "failed as expected"),
    ("news", "news", "passed where a failure was expected"),
    ("flaky", "flaky", "failed, then passed"),
    ("slow", "slow", "took long"),
    ("deviation", "deviations", "cases that the test tolerates on this Xen"),
    ("partly", "skipped cases", "cases that were not tried"),
    ("skip", "skipped", "tests that were not tried"),
    ("pass", "passed", "passed, and none of the above"),
];

impl Page<'_> {
    pub(super) fn title(&self) -> String {
        let xens: Vec<&str> = self.columns.iter().map(|(xen, _)| *xen).collect();
        let mut xens: Vec<&str> = xens.chunk_by(|a, b| a == b).map(|chunk| chunk[0]).collect();
        xens.truncate(4);
        let on =
            if xens.is_empty() { String::new() } else { format!(" on Xen {}", xens.join(", ")) };
        format!("xtf-rs: {}{on}", self.verdict().1)
    }

    /// How the run as a whole went, as a class and in words.
    fn verdict(&self) -> (&'static str, String) {
        let counts = self.document.counts();
        match (self.document.complete, counts.failed) {
            (_, failed @ 1..) => ("bad", format!("{failed} failed")),
            (false, _) => ("partial", "partial".into()),
            _ if counts.passed == 0 => ("skip", "nothing passed".into()),
            _ => ("pass", "all passed".into()),
        }
    }

    pub(super) fn header(&self) -> Markup {
        let document = self.document;
        let run = &document.run;
        let (class, verdict) = self.verdict();
        html! {
            header {
                div.headline {
                    h1 { "xtf-rs" }
                    p class={ "verdict " (class) } { (verdict) }
                    p.when { (run.started.replace('T', " ")) ", " (time(run.elapsed_s)) }
                }
                @if let Some(why) = &document.incomplete_because {
                    p.banner role="alert" {
                        strong { "This report is partial: " }
                        (why) "; "
                        (document.missing().as_deref().unwrap_or("no test was run")) "."
                    }
                }
                (sums(document))
                details.facts {
                    summary {
                        "Run on " (run.host.name)
                        @if !run.qemu.is_empty() { " with " (run.qemu) }
                    }
                    dl {
                        dt { "Command" } dd { code { (shell::line(&run.command)) } }
                        dt { "Folder" } dd { code { (run.directory.display()) } }
                        @if !run.image_sha256.is_empty() {
                            dt { "Image" } dd {
                                code { (run.image.display()) } " "
                                span.dim { "sha256 " (run.image_sha256) }
                            }
                        }
                        // What was merged has logs in several folders.
                        @if run.logs.is_absolute() && document.parts.is_empty() {
                            dt { "Logs" }
                            dd { a href=(link_to(&run.logs, self.folder)) { (run.logs.display()) } }
                        }
                        dt { "Host" } dd { (run.host.kernel) ", " (count(run.host.cpus, "CPU")) }
                        dt { "Exit code" } dd {
                            @match run.exit_code { Some(code) => (code), None => "none yet" }
                        }
                    }
                }
            }
        }
    }

    pub(super) fn filters(&self) -> Markup {
        let has = |kind: &str| {
            self.document.tests.iter().any(|test| kinds(test).contains(&kind))
                || (kind == "bad" && !self.document.not_run.is_empty())
        };
        html! {
            form.filters hidden role="search" {
                input #filter type="search" placeholder="Filter tests and cases  ( / )" autocomplete="off"
                    aria-label="Filter tests and cases";
                div.chips {
                    @for (class, name, meaning) in KINDS {
                        @if has(class) {
                            button type="button" class={ "chip " (class) } data-kind=(class)
                                title=(meaning) aria-pressed="false" { (name) }
                        }
                    }
                }
                button #unfold type="button" { "Open all" }
                output #found {}
            }
        }
    }
}

/// How many tests and cases went which way.
fn sums(document: &Document) -> Markup {
    let counts = document.counts();
    let cases = document.case_counts();
    let of = |wanted: fn(&Test) -> bool| document.tests.iter().filter(|t| wanted(t)).count();
    let good = |test: &Test| !test.last.status.is_bad();
    let tests = [
        (counts.passed, "passed", "pass"),
        (counts.failed, "failed", "bad"),
        (counts.skipped, "skipped", "skip"),
        (document.not_run.len(), "not run", "bad"),
        (document.tests.iter().filter(|t| good(t) && t.flaky).count(), "flaky", "flaky"),
        (document.tests.iter().filter(|t| good(t) && t.is_known()).count(), "known", "known"),
        (of(Test::is_news), "news", "news"),
        (of(|test| test.last.slow), "slow", "slow"),
    ];
    let cases = [
        (cases.passed, "passed", "pass"),
        (cases.failed, "failed", "bad"),
        (cases.errors, "in error", "error"),
        (cases.ended, "crashed or timed out", "crash"),
        (cases.not_run, "not run", "bad"),
        (cases.skipped, "skipped", "skip"),
        (cases.deviations, "deviations", "deviation"),
        (cases.known, "known", "known"),
    ];
    html! {
        div.sums {
            (tiles("Tests", &tests))
            (tiles("Cases", &cases))
        }
    }
}

/// A row of numbers, each with its word and its class; the first three stand there even if zero.
fn tiles(name: &str, tiles: &[(usize, &str, &str)]) -> Markup {
    html! {
        dl.tiles aria-label=(name) {
            dt.what { (name) }
            @for (index, (number, word, class)) in tiles.iter().enumerate() {
                @if *number > 0 || index < 3 {
                    div class={ "tile " (if *number > 0 { class } else { "none" }) } {
                        dd { (number) }
                        dt { (word) }
                    }
                }
            }
        }
    }
}

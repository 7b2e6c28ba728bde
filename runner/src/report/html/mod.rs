//! `--html`: one page that needs nothing but itself.
//!
//! A matrix of tests by Xen and environment leads to a section for each test: how each of its runs
//! went, with the evidence, and its cases side by side. All of it is there without script; the script
//! only filters. The text that it shows comes from guests: it is escaped where it is put in.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Component, Path};

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::base::environment::Environment;
use crate::base::status::Status;
use crate::results::{
    Attempt, Boot, Case, CaseCounts, Document, Expected, Known, KnownVerdict, Place, Test, Word,
};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// The logs of a boot that people want to read.
const LOGS: [&str; 4] = ["guest.log", "xen.log", "runner.log", "console.log"];
/// From how many seconds on a case's time is shown.
const WORTH_SHOWING: f64 = 0.01;

/// What a filter can ask for: its class, its name, and what it means.
const KINDS: [(&str, &str, &str); 9] = [
    ("bad", "failed", "failed, crashed, timed out, in error, or not run"),
    ("known", "known", "bad as expected"),
    ("news", "news", "good where something else was expected"),
    ("flaky", "flaky", "failed, then passed"),
    ("slow", "slow", "took long"),
    ("deviation", "deviations", "cases that the test tolerates on this Xen"),
    ("partly", "skipped cases", "cases that were not tried"),
    ("skip", "skipped", "tests that were not tried"),
    ("pass", "passed", "passed, without anything of the above"),
];

/// A Xen in an environment.
type Column<'d> = (&'d str, Environment);

/// The page, with links to logs from the folder `place`.
pub fn text(document: &Document, place: &Path) -> String {
    let page = Page {
        document,
        columns: document.columns(),
        tests: document.tests.iter().map(|test| (key(&test.place), test)).collect(),
        logs: link_base(&document.run.logs, place),
    };
    page.whole().into_string()
}

fn key(place: &Place) -> (&str, Column<'_>) {
    (place.test.as_str(), (place.xen.as_str(), place.environment))
}

/// The way from `place` to `logs`: relative where both can be moved together.
fn link_base(logs: &Path, place: &Path) -> String {
    let together = |path: &Path| path.components().nth(1).map(|c| c.as_os_str().to_owned());
    let relative = pathdiff::diff_paths(logs, place);
    let relative =
        relative.filter(|_| together(logs).is_some() && together(logs) == together(place));
    match relative {
        Some(path) => encoded(&path),
        None => format!("file://{}", encoded(logs)),
    }
}

/// `path` as part of a link.
fn encoded(path: &Path) -> String {
    let mut text = String::new();
    for (index, part) in path.components().enumerate() {
        if part == Component::RootDir {
            continue;
        }
        if index > 0 {
            text.push('/');
        }
        for byte in part.as_os_str().as_encoded_bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'+' => {
                    text.push(char::from(*byte));
                }
                other => {
                    let _ = write!(text, "%{other:02X}");
                }
            }
        }
    }
    text
}

/// How a test's run looks in one word.
struct Look {
    class: &'static str,
    word: &'static str,
}

impl Look {
    fn of(test: &Test) -> Look {
        let look = |class, word| Look { class, word };
        match test.last.status {
            Status::Success if test.is_known() => look("known", "known"),
            Status::Success if test.is_news() => look("news", "news"),
            Status::Success if test.flaky => look("flaky", "flaky"),
            status => Look::of_status(status),
        }
    }

    fn of_status(status: Status) -> Look {
        let look = |class, word| Look { class, word };
        match status {
            Status::Success => look("pass", "pass"),
            Status::Skip => look("skip", "skip"),
            Status::Error => look("error", "error"),
            Status::Failure => look("bad", "fail"),
            Status::Crash => look("crash", "crash"),
            Status::Timeout => look("crash", "timeout"),
        }
    }

    fn pill(&self) -> Markup {
        html! { span class={ "pill " (self.class) } { (self.word) } }
    }
}

/// A case's verdict as a sign, a class, and a word.
fn sign(case: &Case) -> (&'static str, &'static str, &'static str) {
    let known = case.known.as_ref().map(|known| known.verdict);
    match (case.verdict, known) {
        (_, Some(KnownVerdict::Known)) => ("≈", "known", "known"),
        (_, Some(KnownVerdict::News)) => ("★", "news", "news"),
        (Word::Success, _) => ("✓", "pass", "passed"),
        (Word::Skip, _) => ("–", "skip", "skipped"),
        (Word::Deviation, _) => ("~", "deviation", "tolerated"),
        (Word::Error, _) => ("!", "error", "error"),
        (Word::Failure, _) => ("✗", "bad", "failed"),
    }
}

/// The classes by which the filter finds a test's run.
fn kinds(test: &Test) -> Vec<&'static str> {
    let last = &test.last;
    let has = |wanted: fn(&Case) -> bool| last.cases.iter().any(wanted);
    let all = [
        ("bad", last.status.is_bad()),
        ("known", test.is_known() || has(Case::is_tolerated)),
        ("news", test.is_news()),
        ("flaky", test.flaky),
        ("slow", last.slow || has(|case| case.slow)),
        ("deviation", has(|case| case.verdict == Word::Deviation)),
        ("partly", last.status != Status::Skip && has(|case| case.verdict == Word::Skip)),
        ("skip", last.status == Status::Skip),
    ];
    let mut kinds: Vec<&str> =
        all.iter().filter(|(_, applies)| *applies).map(|(kind, _)| *kind).collect();
    if kinds.is_empty() {
        kinds.push("pass");
    }
    kinds
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s >= 100.0 => format!("{s:.0} s"),
        s if s >= 1.0 => format!("{s:.1} s"),
        s => format!("{:.0} ms", s * 1000.0),
    }
}

fn plural(number: usize, word: &str) -> String {
    super::display::count(number, word)
}

/// All that the page is made of.
struct Page<'d> {
    document: &'d Document,
    columns: Vec<Column<'d>>,
    tests: BTreeMap<(&'d str, Column<'d>), &'d Test>,
    logs: String,
}

impl Page<'_> {
    fn whole(&self) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title()) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    (self.header())
                    main {
                        (self.filters())
                        (self.matrix())
                        (self.sections())
                        (self.expectations())
                        (self.boots())
                    }
                    footer { "xtf-runner " (self.document.run.runner) ", schema " (self.document.schema) }
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        }
    }

    fn verdict(&self) -> (&'static str, String) {
        let counts = self.document.counts();
        match (self.document.complete, counts.failed) {
            (_, failed @ 1..) => ("bad", format!("{failed} failed")),
            (false, _) => ("partial", "partial".into()),
            _ if counts.passed == 0 => ("skip", "nothing passed".into()),
            _ => ("pass", "all passed".into()),
        }
    }

    fn title(&self) -> String {
        let xens: Vec<&str> = self.columns.iter().map(|(xen, _)| *xen).collect();
        let mut xens: Vec<&str> = xens.chunk_by(|a, b| a == b).map(|chunk| chunk[0]).collect();
        xens.truncate(4);
        format!("xtf-rs: {} on Xen {}", self.verdict().1, xens.join(", "))
    }

    fn header(&self) -> Markup {
        let document = self.document;
        let run = &document.run;
        let (class, verdict) = self.verdict();
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
            (cases.skipped, "skipped", "skip"),
            (cases.deviations, "deviations", "deviation"),
            (cases.known, "known", "known"),
        ];
        let tiles = |name: &str, tiles: &[(usize, &str, &str)]| {
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
        };
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
                        (why) "; " (plural(document.not_run.len(), "test")) " not run."
                    }
                }
                div.sums {
                    (tiles("Tests", &tests))
                    (tiles("Cases", &cases))
                }
                details.facts {
                    summary { "Run on " (run.host.name) " with " (run.qemu) }
                    dl {
                        dt { "Command" } dd { code { (shell(&run.command)) } }
                        dt { "Folder" } dd { code { (run.directory.display()) } }
                        dt { "Image" } dd {
                            code { (run.image.display()) } " "
                            span.dim { "sha256 " (run.image_sha256) }
                        }
                        dt { "Logs" } dd { a href=(self.logs) { (run.logs.display()) } }
                        dt { "Host" } dd { (run.host.kernel) ", " (plural(run.host.cpus, "CPU")) }
                        dt { "Exit code" } dd {
                            @match run.exit_code { Some(code) => (code), None => "none yet" }
                        }
                    }
                }
            }
        }
    }

    fn filters(&self) -> Markup {
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

    /// The heads of a table that has something called `what` in each row.
    fn heads(&self, what: &str) -> Markup {
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

    /// Whether a column is the first of its Xen.
    fn is_first(&self, index: usize) -> bool {
        index == 0 || self.columns[index - 1].0 != self.columns[index].0
    }

    /// The classes of a row.
    fn kinds_of_row(&self, row: &str) -> String {
        let mut all: Vec<&str> = Vec::new();
        for column in &self.columns {
            if let Some(test) = self.tests.get(&(row, *column)) {
                all.extend(kinds(test));
            }
        }
        if self.document.not_run.iter().any(|place| place.test == row) {
            all.push("bad");
        }
        all.sort_unstable();
        all.dedup();
        all.join(" ")
    }

    fn is_missing(&self, row: &str, column: Column<'_>) -> bool {
        self.document.not_run.iter().any(|place| key(place) == (row, column))
    }

    fn matrix(&self) -> Markup {
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
        let counts = CaseCounts::of(&test.last.cases);
        let tolerated = counts.deviations + counts.known;
        let about = format!("{} {} {row}: {}", column.0, column.1.name(), look.word);
        html! {
            td class=(first) {
                a class={ "cell " (look.class) } href={ "#" (run_id(test)) } title=(about) {
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

    fn sections(&self) -> Markup {
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
        let counts = CaseCounts::of(&last.cases);
        let place = &test.place;
        let evident = last.status.is_bad() || test.is_known() || test.is_news() || test.flaky;
        html! {
            div.run id=(run_id(test)) {
                p.line {
                    (Look::of(test).pill())
                    b { (place.xen) " " (place.environment.name()) }
                    span {
                        (counts.passed) " of " (plural(last.cases.len().max(test.declared), "case"))
                        @let tolerated = counts.deviations + counts.known;
                        @if tolerated > 0 { ", " (tolerated) " tolerated" }
                        @if counts.skipped > 0 { ", " (counts.skipped) " skipped" }
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

    /// A boot and its logs.
    fn links(&self, attempt: &Attempt) -> Markup {
        html! {
            span.links {
                a href={ "#boot-" (attempt.boot) } { "boot " (attempt.boot) }
                @if let Some(boot) = self.document.boot(attempt.boot) { (self.logs(boot)) }
            }
        }
    }

    fn logs(&self, boot: &Boot) -> Markup {
        html! {
            @for log in LOGS {
                " " a href={ (self.logs) "/" (encoded(&boot.logs)) "/" (log) } {
                    (log.trim_end_matches(".log"))
                }
            }
        }
    }

    /// The cases of a test, side by side.
    fn cases(&self, row: &str, runs: &[&Test]) -> Markup {
        let mut names: Vec<&str> = Vec::new();
        for test in runs {
            let reported = test.last.cases.iter().map(|case| case.name.as_str());
            for name in reported.chain(test.last.at_case.as_deref()) {
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
                                        } @else if self.ended_in(row, *column, name) {
                                            span.sign.crash title="the boot ended here" { "†" }
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

    /// Whether the case was under way when the boot ended.
    fn ended_in(&self, row: &str, column: Column<'_>, case: &str) -> bool {
        let test = self.tests.get(&(row, column));
        test.is_some_and(|test| test.last.at_case.as_deref() == Some(case))
    }

    /// A case wherever it ran.
    fn across(&self, row: &str, name: &str) -> Vec<(Column<'_>, &Case)> {
        let of = |column: &Column<'_>| {
            let test = self.tests.get(&(row, *column))?;
            test.last.cases.iter().find(|case| case.name == name)
        };
        self.columns.iter().filter_map(|column| Some((*column, of(column)?))).collect()
    }

    fn expectations(&self) -> Markup {
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

    fn boots(&self) -> Markup {
        html! {
            section {
                h2 { "Boots" }
                @for boot in &self.document.boots {
                    details.boot {
                        summary {
                            b { (boot.number) }
                            span { (boot.xen) " " (boot.environment.name()) }
                            span.dim { (plural(boot.tests.len(), "test")) }
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
                            dt { "Machine" } dd { (boot.backend) ", " (boot.mode) }
                            @if let Some(s) = boot.boot_s {
                                dt { "First test" } dd { "after " (time(s)) }
                            }
                            dt { "Tests" } dd { (boot.tests.join(" ")) }
                            dt { "Logs" } dd { (self.logs(boot)) }
                            dt { "Command" } dd { pre { (boot.command) } }
                        }
                    }
                }
            }
        }
    }
}

fn id(row: &str) -> String {
    format!("test-{row}")
}

fn run_id(test: &Test) -> String {
    let Place { xen, environment, test } = &test.place;
    format!("run-{test}-{}-{}", xen.replace(char::is_whitespace, "_"), environment.name())
}

fn shell(words: &[String]) -> String {
    let quoted = |word: &String| match shlex::try_quote(word) {
        Ok(quoted) => quoted.into_owned(),
        Err(_) => word.clone(),
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// A case's sign alone.
fn mark(case: &Case) -> Markup {
    let (sign, class, word) = sign(case);
    html! { span class={ "sign " (class) } title=(word) { (sign) } }
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

fn told(known: &Known) -> Markup {
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

fn expectation(expected: &Expected) -> Markup {
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

/// What was seen of an attempt.
fn evidence(attempt: &Attempt) -> Markup {
    html! {
        @if let Some(known) = &attempt.known { p.reason { (told(known)) } }
        @for reason in &attempt.reasons { p.reason { (reason) } }
        @if let Some(case) = &attempt.at_case { p.reason { "in case " code { (case) } } }
        @for case in attempt.cases.iter().filter(|case| case.status().is_bad()) {
            p.reason { (mark(case)) " " code { (case.name) } " " (case.said()) }
        }
        @if !attempt.xen_words.is_empty() {
            figure { figcaption { "Xen's last words" } pre.xen { (attempt.xen_words.join("\n")) } }
        }
        @if !attempt.diagnostics.is_empty() {
            figure { figcaption { "The guest" } pre { (attempt.diagnostics.join("\n")) } }
        }
        @if !attempt.backtrace.is_empty() {
            figure { figcaption { "Backtrace" } pre { (attempt.backtrace.join("\n")) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;
    use crate::results::sample;

    #[test]
    fn all_that_there_is_to_show() {
        let text = text(&sample::whole(), Path::new("/home/user/xtf/out"));
        // Style and script are files of their own: the markup is what is made here.
        let text = text.replace(STYLE, "").replace(SCRIPT, "").replace("><", ">\n<");
        expect_file!["../../../tests/fixtures/results/whole.html"].assert_eq(&text);
    }

    #[test]
    fn nothing_is_loaded_and_nothing_is_injected() {
        let text = text(&sample::whole(), Path::new("/home/user/xtf/out"));
        for outside in ["src=", "<link", "@import", "url(", "//cdn"] {
            assert!(!text.contains(outside), "{outside}");
        }
        assert!(text.contains("expected &quot;EINVAL&quot;, got &lt;success&gt; ]]&gt;"));
        assert!(!text.contains("<success>") && !text.contains("<two>"));
        assert_eq!(text.matches("<script>").count(), 1);
    }

    #[test]
    fn a_partial_page_says_so() {
        let text = text(&sample::stopped(), Path::new("/"));
        assert!(
            text.contains("This report is partial: </strong>stopped by SIGINT; 22 tests not run.")
        );
        assert_eq!(text.matches("cell missing").count(), 22);
        assert!(!text.contains("all passed"));
    }

    #[test]
    fn links_are_relative_where_both_ends_can_be_moved_together() {
        let base = |logs: &str, place: &str| link_base(Path::new(logs), Path::new(place));
        assert_eq!(base("/home/u/x/logs/1", "/home/u/x"), "logs/1");
        assert_eq!(base("/home/u/x y/logs/#1", "/home/u/out"), "../x%20y/logs/%231");
        assert_eq!(base("/home/u/logs/1", "/tmp"), "file:///home/u/logs/1");
    }
}

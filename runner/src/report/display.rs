//! The display: a line for each test when it settles, the evidence at the end, then the sums.
//!
//! On a terminal, lines below those show what runs at the moment. Whatever it is printed to, a test
//! that takes long is announced once while it still runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::matrix;
use crate::base::status::Status;
use crate::results::event::{Listener, RunEvent, TestOutcome};
use crate::results::{Attempt, Case, Document, Known, KnownVerdict, Test, Word, attempt_of};

/// Column where the lines below a test begin.
const INDENT: &str = "             ";
/// Of a long quotation of Xen, this many lines from each end.
const QUOTE_ENDS: usize = 16;
/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(100);

const BOLD: Style = Style::new().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
const CYAN: Style = AnsiColor::Cyan.on_default().bold();

/// Prints to a terminal or a pipe; colour is the writer's business.
pub struct Display<W: Write + Send + 'static> {
    screen: Arc<Mutex<Screen<W>>>,
    ticker: Option<(Sender<()>, JoinHandle<()>)>,
}

/// What a display and its clock share.
struct Screen<W> {
    out: W,
    verbose: bool,
    /// From when on a test or case takes long.
    slow: Duration,
    /// Where progress is drawn; nowhere if that is no terminal.
    progress: MultiProgress,
    total: Option<ProgressBar>,
    planned: usize,
    settled: usize,
    failed: usize,
    /// By boot.
    under_way: BTreeMap<usize, UnderWay>,
    /// Why something could not be shown.
    error: Option<io::Error>,
}

/// A boot that runs.
struct UnderWay {
    /// As a person knows it.
    label: String,
    since: Instant,
    test: Option<(String, Instant)>,
    announced: bool,
    bar: ProgressBar,
}

impl<W: Write + Send> Display<W> {
    /// A display on `out`; `verbose` shows the guest's lines as they come.
    pub fn new(out: W, verbose: bool, slow: Duration, interactive: bool) -> Self {
        let target = match interactive && !verbose {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let screen = Screen {
            out,
            verbose,
            slow,
            progress: MultiProgress::with_draw_target(target),
            total: None,
            planned: 0,
            settled: 0,
            failed: 0,
            under_way: BTreeMap::new(),
            error: None,
        };
        Display { screen: Arc::new(Mutex::new(screen)), ticker: None }
    }

    /// Why something could not be shown.
    pub fn take_error(&mut self) -> Option<io::Error> {
        lock(&self.screen).error.take()
    }

    /// What is shown in the end.
    pub fn summary(&mut self, document: &Document) {
        lock(&self.screen).print(&summary(document));
    }

    fn start_clock(&mut self) {
        let screen = Arc::clone(&self.screen);
        let (stop, stopped) = mpsc::channel();
        let ticking = thread::spawn(move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                lock(&screen).tick();
            }
        });
        self.ticker = Some((stop, ticking));
    }

    fn stop_clock(&mut self) {
        if let Some((stop, ticking)) = self.ticker.take() {
            drop(stop);
            // A clock that panicked has nothing to say that matters now.
            let _ = ticking.join();
        }
    }
}

impl<W: Write + Send> Drop for Display<W> {
    fn drop(&mut self) {
        self.stop_clock();
    }
}

fn lock<W>(screen: &Mutex<Screen<W>>) -> MutexGuard<'_, Screen<W>> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<W: Write> Screen<W> {
    /// What can't be shown must not stop the tests: the logs still fill. A reader who went away does
    /// not want to know; a full disk is told in the end.
    fn print(&mut self, text: &str) {
        let Screen { out, progress, error, .. } = self;
        let shown = progress.suspend(|| out.write_all(text.as_bytes()).and_then(|()| out.flush()));
        if let Err(e) = shown
            && e.kind() != io::ErrorKind::BrokenPipe
        {
            error.get_or_insert(e);
        }
    }

    fn tick(&mut self) {
        let slow = self.slow;
        let mut text = String::new();
        for boot in self.under_way.values_mut() {
            boot.bar.tick();
            let Some((test, since)) = &boot.test else { continue };
            if !boot.announced && since.elapsed() >= slow {
                boot.announced = true;
                let word = format!("{YELLOW}{:>12}{YELLOW:#}", "SLOW");
                let _ =
                    writeln!(text, "{word} [>{:>6.3}s] {} {test}", slow.as_secs_f64(), boot.label);
            }
        }
        if let Some(total) = &self.total {
            total.tick();
        }
        if !text.is_empty() {
            self.print(&text);
        }
    }

    fn event(&mut self, event: &RunEvent<'_>) {
        match event {
            RunEvent::RunStarted { boots, plan, logs } => {
                self.planned = plan.len();
                self.print(&format!(
                    "{BOLD}{:>12}{BOLD:#} {} in {}; logs in {}\n",
                    "Running",
                    count(plan.len(), "test"),
                    count(*boots, "boot"),
                    logs.display()
                ));
                let total = ProgressBar::new(plan.len() as u64).with_style(total_style());
                self.total = Some(self.progress.add(total));
            }
            RunEvent::BootStarted { boot, xen, environment, tests, .. } => {
                let label = format!("{xen} {:<5}", environment.name());
                if self.verbose {
                    self.print(&format!("\n=== {}: {}\n", label.trim_end(), tests.join(" ")));
                }
                let bar = ProgressBar::no_length().with_style(boot_style(self.slow));
                let bar = match &self.total {
                    Some(total) => self.progress.insert_before(total, bar),
                    None => self.progress.add(bar),
                };
                bar.set_message(format!("{label} boots for {}", count(tests.len(), "test")));
                let since = Instant::now();
                let boot_under_way = UnderWay { label, since, test: None, announced: false, bar };
                self.under_way.insert(*boot, boot_under_way);
                self.count();
            }
            RunEvent::TestStarted { boot, test } => {
                if let Some(boot) = self.under_way.get_mut(boot) {
                    boot.test = Some(((*test).to_owned(), Instant::now()));
                    boot.announced = false;
                    boot.bar.reset_elapsed();
                    boot.bar.set_message(format!("{} {test}", boot.label));
                }
            }
            RunEvent::GuestLine { boot, text } if self.verbose => {
                let several = self.under_way.len() > 1;
                let label = self.under_way.get(boot).filter(|_| several);
                let line = label.map_or_else(
                    || format!("{text}\n"),
                    |under_way| format!("[{boot} {}] {text}\n", under_way.label.trim_end()),
                );
                self.print(&line);
            }
            RunEvent::GuestLine { .. } => {}
            RunEvent::Note { boot, text } => {
                let lines = text.lines().map(|line| format!("{:13}{line}\n", ""));
                let about = format!("{:>12} boot {boot}:\n", "Note");
                self.print(&(about + &lines.collect::<String>()));
            }
            RunEvent::BootEnded { boot, .. } => {
                if let Some(boot) = self.under_way.remove(boot) {
                    boot.bar.finish_and_clear();
                    self.progress.remove(&boot.bar);
                    if self.verbose {
                        let seconds = boot.since.elapsed().as_secs_f64();
                        self.print(&format!("=== {}: {seconds:.3} s\n\n", boot.label.trim_end()));
                    }
                }
                self.count();
            }
            RunEvent::TestSettled { boot, outcome } => {
                let attempt = attempt_of(*boot, outcome, self.slow.as_secs_f64());
                self.print(&(headline(outcome, &attempt) + &brief(&attempt)));
                if !outcome.again {
                    self.settled += usize::from(!outcome.amended);
                    self.failed += usize::from(attempt.status.is_bad());
                }
                self.count();
            }
            RunEvent::RunEnded { .. } => {
                if let Some(total) = self.total.take() {
                    total.finish_and_clear();
                }
            }
        }
    }

    fn count(&self) {
        let Some(total) = &self.total else { return };
        total.set_position(self.settled as u64);
        let mut text = format!("{} running", count(self.under_way.len(), "boot"));
        if self.failed > 0 {
            let red = AnsiColor::Red.on_default().bold();
            let _ = write!(text, ", {red}{} failed{red:#}", self.failed);
        }
        total.set_message(text);
    }
}

impl<W: Write + Send> Listener for Display<W> {
    fn event(&mut self, event: &RunEvent<'_>) {
        lock(&self.screen).event(event);
        match event {
            RunEvent::RunStarted { .. } => self.start_clock(),
            RunEvent::RunEnded { .. } => self.stop_clock(),
            _ => {}
        }
    }
}

/// The line of all tests.
fn total_style() -> ProgressStyle {
    ProgressStyle::with_template("{elapsed_precise:>12} {bar:28.cyan/dim} {pos}/{len} tests, {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸━")
}

/// The line of a boot and the test in it.
fn boot_style(slow: Duration) -> ProgressStyle {
    ProgressStyle::with_template("{word:>12} [{clock:>8}] {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .with_key("word", move |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
            let (word, style) =
                if state.elapsed() >= slow { ("SLOW", YELLOW) } else { ("Running", CYAN) };
            let _ = write!(out, "{style}{word:>12}{style:#}");
        })
        .with_key("clock", |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{:>7.1}s", state.elapsed().as_secs_f64());
        })
}

/// A number of things.
pub fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// The line of a test that has just settled.
fn headline(outcome: &TestOutcome, attempt: &Attempt) -> String {
    let TestOutcome { xen, environment, report, .. } = outcome;
    let (word, style) = attempt.status.label();
    let (word, style) = match &attempt.known {
        Some(Known { verdict: KnownVerdict::Known, .. }) if !attempt.status.is_bad() => {
            ("KNOWN".to_owned(), YELLOW)
        }
        Some(Known { verdict: KnownVerdict::News, .. }) if !attempt.status.is_bad() => {
            ("NEWS".to_owned(), CYAN)
        }
        _ if outcome.again => (format!("TRY {} {word}", outcome.attempt), style),
        _ if outcome.flaky && !attempt.status.is_bad() => {
            (format!("FLAKY {}", outcome.attempt), YELLOW)
        }
        _ if outcome.attempt > 1 => (format!("TRY {} {word}", outcome.attempt), style),
        _ => (word.to_owned(), style),
    };
    let seconds = attempt.elapsed_s;
    let (env, name) = (environment.name(), &report.name);
    let mut line = format!("{style}{word:>12}{style:#} [{seconds:>7.3}s] {xen} {env:<5} {name}");
    line += &remark(attempt);
    if outcome.amended {
        line += ", amended: the end of its boot casts doubt on all of it";
    }
    line.push('\n');
    line
}

/// What belongs right behind a test's name.
fn remark(attempt: &Attempt) -> String {
    let number =
        |wanted: fn(&Case) -> bool| attempt.cases.iter().filter(|case| wanted(case)).count();
    if let Some(known) = attempt.known.as_ref().filter(|_| attempt.status == Status::Success) {
        return match known.verdict {
            KnownVerdict::Known => {
                let seen = attempt.reasons.join("; ");
                format!(": {} as expected, {}{}{seen}", known.expected, known.told(), colon(&seen))
            }
            KnownVerdict::News => format!(": {} was expected, {}", known.expected, known.told()),
        };
    }
    match attempt.status {
        Status::Success => {
            let mut parts = vec![count(attempt.cases.len(), "case")];
            let skipped = number(|case| case.verdict == Word::Skip);
            if skipped > 0 {
                parts.push(format!("{skipped} skipped"));
            }
            if attempt.slow {
                parts.push("slow".into());
            }
            format!(" ({})", parts.join(", "))
        }
        Status::Skip if !attempt.reasons.is_empty() => format!(": {}", attempt.reasons.join("; ")),
        _ => String::new(),
    }
}

fn colon(text: &str) -> &'static str {
    if text.is_empty() { "" } else { ": " }
}

/// The lines right below a test: what is wrong, and what was tolerated.
fn brief(attempt: &Attempt) -> String {
    let mut text = String::new();
    for case in &attempt.cases {
        let (name, said) = (&case.name, case.said());
        let colon = colon(&said);
        let slow =
            if case.slow { format!(" [slow: {:.3}s]", case.elapsed_s) } else { String::new() };
        let known = case.known.as_ref();
        let _ = match (case.verdict, known.map(|known| (known.verdict, known))) {
            (_, Some((KnownVerdict::Known, known))) => {
                let word = case.verdict.name();
                let told = known.told();
                writeln!(text, "{INDENT}~ {name}: known {word}, {told}{colon}{said}{slow}")
            }
            (_, Some((KnownVerdict::News, known))) => {
                let (word, told) = (known.expected, known.told());
                writeln!(text, "{INDENT}* {name}: NEWS, {word} was expected, {told}{slow}")
            }
            (Word::Success, _) if case.slow => writeln!(text, "{INDENT}  {name}{slow}"),
            (Word::Success, _) => Ok(()),
            (Word::Skip, _) if attempt.status == Status::Skip => Ok(()),
            (Word::Skip, _) => writeln!(text, "{INDENT}- {name}: skipped, {said}{slow}"),
            (Word::Deviation, _) => writeln!(text, "{INDENT}~ {name}: tolerated, {said}{slow}"),
            (Word::Failure, _) => writeln!(text, "{INDENT}✗ {name}{colon}{said}{slow}"),
            (Word::Error, _) => writeln!(text, "{INDENT}! {name}{colon}{said}{slow}"),
        };
    }
    if attempt.status.is_bad() {
        if let Some(case) = &attempt.at_case {
            let _ = writeln!(text, "{INDENT}in case {case}");
        }
        for reason in &attempt.reasons {
            let _ = writeln!(text, "{INDENT}{reason}");
        }
    }
    text
}

/// What remains to be said when everything is over.
fn summary(document: &Document) -> String {
    let mut text = String::from("------------\n");
    let bad: Vec<&Test> = document.tests.iter().filter(|test| test.last.status.is_bad()).collect();
    if !bad.is_empty() {
        text += "What went wrong:\n\n";
    }
    for test in bad {
        text += &evidence(document, test);
        text.push('\n');
    }

    let table = matrix::table(document);
    if !table.is_empty() {
        text += &table;
        text.push('\n');
    }
    for expected in document.expectations.iter().filter(|expected| expected.stale) {
        let _ = writeln!(
            text,
            "{YELLOW}{:>12}{YELLOW:#} {}: nothing here is `{}` on Xen `{}` in `{}`: {}",
            "STALE",
            expected.source,
            expected.test,
            expected.xen,
            expected.environment,
            expected.reason
        );
    }

    let cases = document.case_counts();
    let mut parts = vec![
        format!("{} passed", cases.passed),
        format!("{} failed", cases.failed),
        format!("{} in error", cases.errors),
        format!("{} skipped", cases.skipped),
        count(cases.deviations, "deviation"),
    ];
    if cases.known > 0 {
        parts.push(format!("{} known", cases.known));
    }
    let _ = writeln!(
        text,
        "{BOLD}{:>12}{BOLD:#} [{:>7.3}s] {}, {}; cases: {}",
        "Summary",
        document.run.elapsed_s,
        count(document.boots.len(), "boot"),
        count(document.tests.len(), "test"),
        parts.join(", "),
    );
    if let Some(why) = &document.incomplete_because {
        let left = document.not_run.len();
        let _ = writeln!(text, "{INDENT}{why}; {} not run", count(left, "test"));
    }
    let counts = document.counts();
    let of = |wanted: fn(&Test) -> bool| document.tests.iter().filter(|test| wanted(test)).count();
    let kinds = [
        (of(|test| test.flaky && !test.last.status.is_bad()), "flaky"),
        (of(|test| test.is_known() && !test.last.status.is_bad()), "known"),
        (of(|test| test.is_news() && !test.last.status.is_bad()), "news"),
        (of(|test| test.last.slow && !test.last.status.is_bad()), "slow"),
    ];
    let kinds: Vec<String> = kinds
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{number} {word}"))
        .collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
    let _ = writeln!(
        text,
        "{} passed{kinds}, {} failed, {} skipped",
        counts.passed, counts.failed, counts.skipped
    );
    text
}

/// The evidence for a bad test: what was too long to be shown at once.
fn evidence(document: &Document, test: &Test) -> String {
    let attempt = &test.last;
    let (word, style) = attempt.status.label();
    let place = &test.place;
    let mut text = format!(
        "{style}{word:>12}{style:#} [{:>7.3}s] {} {:<5} {}",
        attempt.elapsed_s,
        place.xen,
        place.environment.name(),
        place.test
    );
    if test.attempts() > 1 {
        let _ = write!(text, ", {} attempts", test.attempts());
    }
    text.push('\n');
    let bad: Vec<&str> = attempt
        .cases
        .iter()
        .filter(|case| case.status().is_bad())
        .map(|case| case.name.as_str())
        .chain(attempt.at_case.as_deref())
        .collect();
    if !bad.is_empty() {
        let _ = writeln!(text, "{INDENT}cases: {}", bad.join(", "));
    }
    for reason in &attempt.reasons {
        let _ = writeln!(text, "{INDENT}{reason}");
    }
    for line in &attempt.diagnostics {
        let _ = writeln!(text, "{INDENT}# {line}");
    }
    for frame in &attempt.backtrace {
        let _ = writeln!(text, "{INDENT}at {frame}");
    }
    let words = &attempt.xen_words;
    let hidden = words.len().saturating_sub(2 * QUOTE_ENDS);
    for (index, line) in words.iter().enumerate() {
        if hidden == 0 || index < QUOTE_ENDS || index >= QUOTE_ENDS + hidden {
            let _ = writeln!(text, "{INDENT}| {line}");
        } else if index == QUOTE_ENDS {
            let _ = writeln!(text, "{INDENT}| ... {hidden} more lines in xen.log");
        }
    }
    for attempt in test.earlier.iter().chain([attempt]) {
        if let Some(dir) = document.logs_of(attempt.boot) {
            let _ = writeln!(text, "{INDENT}logs: {}", dir.display());
        }
    }
    text
}

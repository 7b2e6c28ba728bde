//! The display: a line for each test when it settles, the evidence at the end, then the sums.
//!
//! On a terminal, lines below those show what runs at the moment. Whatever it is printed to, a test
//! that takes long is announced once while it still runs.

mod lines;
mod style;
mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anstyle::AnsiColor;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::results::compare::Diff;
use crate::results::event::{Listener, RunEvent};
use crate::results::{Document, attempt_of};
use lines::{brief, headline};
pub use style::count;
use style::{BOLD, CYAN, YELLOW};
use summary::{Skipped, summary};

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(100);

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
    /// Tests with a result, by their index in the plan,
    settled: BTreeSet<usize>,
    /// and those of them that failed.
    failed: BTreeSet<usize>,
    /// Why tests were skipped, as far as it was shown.
    skipped: BTreeSet<Skipped>,
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
            settled: BTreeSet::new(),
            failed: BTreeSet::new(),
            skipped: BTreeSet::new(),
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
    pub fn summary(&mut self, document: &Document, diff: Option<&Diff>) {
        lock(&self.screen).print(&summary(document, diff));
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
    /// What can't be shown must not stop the tests: the logs still fill. A reader who went away
    /// does not want to know; a full disk is told in the end.
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
            RunEvent::ListeningStarted { console, logs } => {
                let logs = logs.display();
                self.print(&format!("{BOLD}{:>12}{BOLD:#} {console}; logs in {logs}\n", "Judging"));
                let total = ProgressBar::new(0).with_style(total_style());
                self.total = Some(self.progress.add(total));
            }
            RunEvent::TestHeardOf { .. } => {
                self.planned += 1;
                if let Some(total) = &self.total {
                    total.set_length(self.planned as u64);
                }
            }
            RunEvent::BootStarted { boot, xen, environment, tests, .. } => {
                self.boot_started(*boot, format!("{xen} {:<5}", environment.name()), tests);
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
            RunEvent::GuestLine { .. }
            | RunEvent::XenSeen { .. }
            | RunEvent::PayloadSteps { .. } => {}
            RunEvent::Note { boot, text } | RunEvent::Recorded { boot, text } => {
                let lines = text.lines().map(|line| format!("{:13}{line}\n", ""));
                let about = format!("{:>12} boot {boot}:\n", "Note");
                self.print(&(about + &lines.collect::<String>()));
            }
            RunEvent::BootEnded { boot, .. } => self.boot_ended(*boot),
            RunEvent::TestSettled { boot, outcome } => {
                let attempt = attempt_of(*boot, outcome, self.slow.as_secs_f64());
                // What all tests are skipped for is said once, and summed up in the end.
                let skipped = summary::skipped(&outcome.xen, outcome.environment, &attempt);
                if skipped.is_none_or(|reason| self.skipped.insert(reason)) {
                    self.print(&(headline(outcome, &attempt) + &brief(&attempt)));
                }
                if !outcome.again {
                    self.settled.insert(outcome.index);
                    if attempt.status.is_bad() {
                        self.failed.insert(outcome.index);
                    }
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

    fn boot_started(&mut self, boot: usize, label: String, tests: &[&str]) {
        if self.verbose {
            let tests =
                if tests.is_empty() { String::new() } else { format!(": {}", tests.join(" ")) };
            self.print(&format!("\n=== {}{tests}\n", label.trim_end()));
        }
        let bar = ProgressBar::no_length().with_style(boot_style(self.slow));
        let bar = match &self.total {
            Some(total) => self.progress.insert_before(total, bar),
            None => self.progress.add(bar),
        };
        bar.set_message(format!("{label} boots for {}", count(tests.len(), "test")));
        let since = Instant::now();
        let under_way = UnderWay { label, since, test: None, announced: false, bar };
        self.under_way.insert(boot, under_way);
        self.count();
    }

    fn boot_ended(&mut self, boot: usize) {
        if let Some(boot) = self.under_way.remove(&boot) {
            boot.bar.finish_and_clear();
            self.progress.remove(&boot.bar);
            if self.verbose {
                let seconds = boot.since.elapsed().as_secs_f64();
                self.print(&format!("=== {}: {seconds:.3} s\n\n", boot.label.trim_end()));
            }
        }
        self.count();
    }

    fn count(&self) {
        let Some(total) = &self.total else { return };
        total.set_position(self.settled.len() as u64);
        let mut text = format!("{} running", count(self.under_way.len(), "boot"));
        if !self.failed.is_empty() {
            let red = AnsiColor::Red.on_default().bold();
            let _ = write!(text, ", {red}{} failed{red:#}", self.failed.len());
        }
        total.set_message(text);
    }
}

impl<W: Write + Send> Listener for Display<W> {
    fn event(&mut self, event: &RunEvent<'_>) {
        lock(&self.screen).event(event);
        match event {
            RunEvent::RunStarted { .. } | RunEvent::ListeningStarted { .. } => self.start_clock(),
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

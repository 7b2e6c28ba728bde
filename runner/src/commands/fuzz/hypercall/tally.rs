//! What a campaign has come to, and how it is told.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::flaw::Flaw;
use crate::base::exit::Exit;
use crate::base::plural::count;
use crate::results::Known;

/// The status line changes this often on a terminal,
const LIVE: Duration = Duration::from_millis(500);
/// and a new one comes this often elsewhere.
const LOG: Duration = Duration::from_secs(5);

/// A flaw that came again.
pub struct Finding {
    pub flaw: Flaw,
    pub expected: Option<Known>,
    /// Its script.
    pub path: PathBuf,
    pub times: usize,
}

/// See the module.
pub struct Tally {
    /// When it began.
    pub start: Instant,
    /// When the status line was written last.
    told: Option<Instant>,
    pub domains: usize,
    pub calls: u64,
    /// Deaths by the call that was the last one, and one example of each.
    pub deaths: BTreeMap<String, (usize, String)>,
    /// By the flaw's name.
    pub findings: BTreeMap<String, Finding>,
    pub unconfirmed: usize,
}

impl Tally {
    /// Nothing yet.
    pub fn new() -> Tally {
        Tally {
            start: Instant::now(),
            told: None,
            domains: 0,
            calls: 0,
            deaths: BTreeMap::new(),
            findings: BTreeMap::new(),
            unconfirmed: 0,
        }
    }

    /// The status line.
    pub fn tell(&mut self) {
        let live = stderr().is_terminal();
        let pause = if live { LIVE } else { LOG };
        if self.told.is_some_and(|told| told.elapsed() < pause) {
            return;
        }
        self.told = Some(Instant::now());
        let line = self.line();
        // On a terminal it takes the last one's place.
        if live { eprint!("\r{line}\x1b[K") } else { eprintln!("{line}") }
    }

    fn line(&self) -> String {
        let seconds = self.start.elapsed().as_secs_f64();
        let deaths: usize = self.deaths.values().map(|(count, _)| count).sum();
        format!(
            "{seconds:.0} s: {} ({:.1}/s), {} ({:.0}/s), {}, {}",
            count(self.domains, "domain"),
            self.domains as f64 / seconds,
            count(self.calls, "call"),
            self.calls as f64 / seconds,
            count(deaths, "death"),
            count(self.findings.len(), "finding")
        )
    }

    /// What there is to say in the end; the list of all deaths is in `deaths`.
    pub fn summary(&self, deaths: &Path) {
        if stderr().is_terminal() {
            eprintln!();
        }
        println!("{}; {} unconfirmed", self.line(), self.unconfirmed);
        let mut sorted: Vec<_> = self.deaths.iter().collect();
        sorted.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
        for (name, (count, example)) in sorted {
            println!(" death {count:>4} × {name}, as {example}");
        }
        if !self.deaths.is_empty() {
            println!("       all of them: {}", deaths.display());
        }
        for (name, Finding { flaw, expected, path, times }) in &self.findings {
            match expected {
                Some(Known { reason, link, .. }) => {
                    let link = link.as_ref().map(|link| format!(" ({link})")).unwrap_or_default();
                    println!(" KNOWN {name} ({times}): {reason}{link}");
                }
                None => {
                    let path = path.display();
                    println!("{} {name} ({times} times): {}\n       {path}", flaw.status, flaw.how);
                }
            }
        }
    }

    /// The worst of what was not known before.
    pub fn verdict(&self) -> Exit {
        let news = self.findings.values().filter(|finding| finding.expected.is_none());
        news.map(|finding| finding.flaw.status.into()).fold(Exit::Success, Ord::max)
    }
}

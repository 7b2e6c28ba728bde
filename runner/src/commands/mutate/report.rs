//! What a campaign prints: its progress, the table of functions, and where to look for each
//! survivor.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::journal::{Fate, SettledMutant};
use super::sites::Site;
use crate::base::exit::Result;
use crate::base::plural::count;
use crate::xen::symbols::code::{assembly, instructions};
use crate::xen::symbols::{XenFunction, XenSyms};

/// Instructions shown before a survivor: what it compares is mostly among them,
const BEFORE: usize = 5;
/// and after it, where the flow went on.
const AFTER: usize = 2;

/// Says how it goes: a line for each mutant, or one line that changes on a terminal.
pub struct Progress {
    total: usize,
    begun_with: usize,
    done: usize,
    killed: usize,
    start: Instant,
    live: bool,
}

impl Progress {
    /// Before the first mutant, but for `known` ones, of whom `killed` were killed.
    pub fn new(total: usize, known: usize, killed: usize) -> Progress {
        let live = io::stdout().is_terminal();
        Progress { total, begun_with: known, done: known, killed, start: Instant::now(), live }
    }

    /// A mutant is settled.
    pub fn settled(&mut self, finding: &SettledMutant) {
        self.done += 1;
        let outcome = match &finding.verdict {
            Fate::Killed { killer } => {
                self.killed += 1;
                let case = killer.case.as_deref().unwrap_or("(no case)");
                let env = killer.environment.name();
                format!("killed by {env} {} {case} ({})", killer.test, killer.status)
            }
            Fate::Survived { .. } => "survived".into(),
            Fate::Undecided { why } => format!("undecided: {why}"),
            Fate::NotReached => "not reached".into(),
        };
        let (done, total) = (self.done, self.total);
        if !self.live {
            return print(&format!("{done:>5}/{total} {:<44} {outcome}\n", finding.site));
        }
        let new = u32::try_from(done - self.begun_with).unwrap_or(u32::MAX).max(1);
        let left = u32::try_from(total - done).unwrap_or(u32::MAX);
        let left = (self.start.elapsed() / new).saturating_mul(left);
        print(&format!(
            "\r\x1b[K{done}/{total} mutants: {} killed, {} not; {} left",
            self.killed,
            done - self.killed,
            clock(left)
        ));
    }

    /// Nothing more comes.
    pub fn end(&self) {
        if self.live && self.done > self.begun_with {
            print("\n");
        }
    }
}

/// A reader who went away must not stop the campaign: the file still fills.
fn print(text: &str) {
    let mut out = io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

/// The places where Xen would be broken, one line each.
pub fn listing(symbols: &XenSyms, sites: &[Site<'_>]) -> Result<String> {
    let mut text = String::new();
    for site in sites {
        let instruction = instructions(site.function)?
            .into_iter()
            .find(|instruction| instruction.ip() == site.address)
            .map(|instruction| assembly(symbols, &instruction))
            .unwrap_or_default();
        let _ = writeln!(text, "{:#x}  {:<44} {instruction}", site.address, site.name());
    }
    Ok(text)
}

/// The final word: the table, the survivors, and who killed.
///
/// `findings` are those of `sites` that are settled, by their address; `elapsed` is the time of a run.
pub fn summary(
    symbols: &XenSyms,
    sites: &[Site<'_>],
    findings: &BTreeMap<u64, SettledMutant>,
    elapsed: Option<Duration>,
) -> Result<String> {
    let settled: Vec<(&Site<'_>, &SettledMutant)> =
        sites.iter().filter_map(|site| Some((site, findings.get(&site.address)?))).collect();
    let mut text = survivors(symbols, &settled)?;
    text += &table(sites, &settled);
    text += &killers(&settled);
    let boots: usize = settled.iter().map(|(_, finding)| finding.boots).sum();
    let boots = count(boots, "boot");
    let _ = match elapsed {
        Some(elapsed) => writeln!(text, "{boots}; {} min in this run", clock(elapsed)),
        None => writeln!(text, "{boots}"),
    };
    Ok(text)
}

fn table(sites: &[Site<'_>], settled: &[(&Site<'_>, &SettledMutant)]) -> String {
    let mut functions: Vec<&XenFunction> = sites.iter().map(|site| site.function).collect();
    functions.dedup();
    let mut text =
        row("Function", ["sites", "killed", "survived", "not reached"].map(String::from));
    let mut sums = [0; 4];
    let mut undecided = 0;
    for function in functions {
        let all = sites.iter().filter(|site| site.function == function).count();
        let of_it = || settled.iter().filter(|(site, _)| site.function == function);
        let killed = of_it().filter(|(_, finding)| finding.killer().is_some()).count();
        let not_reached = |finding: &SettledMutant| finding.verdict == Fate::NotReached;
        let not_reached = of_it().filter(|(_, finding)| not_reached(finding)).count();
        let survived = |finding: &SettledMutant| matches!(finding.verdict, Fate::Survived { .. });
        let survived = of_it().filter(|(_, finding)| survived(finding)).count();
        undecided += of_it().count() - killed - not_reached - survived;
        let counts = [all, killed, survived, not_reached];
        text += &row(&function.label, counts.map(|count| count.to_string()));
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    text += &row("all", sums.map(|sum| sum.to_string()));
    let done = sums[1] + sums[2] + sums[3];
    let _ = write!(text, "\n{} of {done} mutants killed", sums[1]);
    if let Some(percent) = (100 * sums[1]).checked_div(done) {
        let _ = write!(text, " ({percent} %)");
    }
    if undecided > 0 {
        let _ = write!(text, "; {undecided} undecided, because QEMU failed");
    }
    if done + undecided < sums[0] {
        let _ = write!(text, "; {} not run", sums[0] - done - undecided);
    }
    text.push('\n');
    text
}

fn row(name: &str, [sites, killed, survived, not_reached]: [String; 4]) -> String {
    format!("{name:<44} {sites:>6} {killed:>7} {survived:>9} {not_reached:>12}\n")
}

/// How often each test killed, and how.
fn killers(settled: &[(&Site<'_>, &SettledMutant)]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for killer in settled.iter().filter_map(|(_, finding)| finding.killer()) {
        let who = format!("{} {} {}", killer.environment.name(), killer.test, killer.status);
        *counts.entry(who).or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut text = String::new();
    for (who, count) in counts {
        let _ = writeln!(text, "{count:>6} by {who}");
    }
    text
}

fn survivors(symbols: &XenSyms, settled: &[(&Site<'_>, &SettledMutant)]) -> Result<String> {
    let mut text = String::new();
    for (site, finding) in settled {
        let (outcome, differences) = match &finding.verdict {
            Fate::Killed { .. } => continue,
            Fate::Survived { differences } => ("survived", differences.as_slice()),
            Fate::Undecided { .. } => ("undecided", &[][..]),
            Fate::NotReached => ("not reached", &[][..]),
        };
        let _ = writeln!(text, "\n{outcome}: {} at {:#x}", site.name(), site.address);
        let instructions = instructions(site.function)?;
        let at = instructions.iter().position(|i| i.ip() == site.address).unwrap_or(0);
        let end = (at + AFTER + 1).min(instructions.len());
        for instruction in &instructions[at.saturating_sub(BEFORE)..end] {
            let mark = if instruction.ip() == site.address { '>' } else { ' ' };
            let line = assembly(symbols, instruction);
            let offset = instruction.ip() - site.function.address;
            let _ = writeln!(text, "  {mark} +{offset:<#7x} {line}");
        }
        if let Fate::Undecided { why } = &finding.verdict {
            let _ = writeln!(text, "    QEMU ended by itself each time: {why}");
        }
        for difference in differences {
            let _ = writeln!(text, "    differs from the run on Xen itself: {difference}");
        }
    }
    if !text.is_empty() {
        text.push('\n');
    }
    Ok(text)
}

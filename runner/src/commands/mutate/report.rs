//! What a campaign prints: its progress, the table of functions, and where to look for each
//! survivor.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::journal::{Fate, SettledMutant};
use super::sites::{Id, Site};
use crate::base::exit::Result;
use crate::base::plural::count;
use crate::base::source_lines::SourceLines;
use crate::xen::mutation::Operator;
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
            Fate::Patched => "not run: Xen patches it at boot".into(),
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

/// Where what is shown comes from.
pub struct Source<'a> {
    /// Names for addresses.
    pub symbols: &'a XenSyms,
    /// Lines of Xen's source for addresses, where they are known.
    pub lines: &'a SourceLines,
}

/// The mutants, one line each: the instruction, and what becomes of it.
pub fn listing(source: &Source<'_>, sites: &[Site<'_>]) -> String {
    let mut text = String::new();
    for site in sites {
        let (symbols, operator) = (source.symbols, site.mutation.operator.name());
        let whole = assembly(symbols, &site.whole());
        let (name, broken) = (site.name(), assembly(symbols, &site.broken()));
        let _ = write!(text, "{:#x}  {name:<44} {operator:<9} {whole} => {broken}", site.address);
        if let Some(line) = source.lines.of(site.address) {
            let _ = write!(text, "  at {line}");
        }
        if let Some(why) = site.mutation.equivalent {
            let _ = write!(text, "  (equivalent: {why})");
        }
        text.push('\n');
    }
    text
}

/// The final word: the tables, the survivors, and who killed.
///
/// `findings` are those of `sites` that are settled; `elapsed` is the time of a run.
pub fn summary(
    source: &Source<'_>,
    sites: &[Site<'_>],
    findings: &BTreeMap<Id, SettledMutant>,
    elapsed: Option<Duration>,
) -> Result<String> {
    let settled: Vec<(&Site<'_>, &SettledMutant)> =
        sites.iter().filter_map(|site| Some((site, findings.get(&site.id())?))).collect();
    let mut text = survivors(source, &settled)?;
    text += &by_function(sites, &settled);
    text += &by_operator(sites, &settled);
    text += &total(sites, &settled);
    text += &killers(&settled);
    let boots: usize = settled.iter().map(|(_, finding)| finding.boots).sum();
    let boots = count(boots, "boot");
    let _ = match elapsed {
        Some(elapsed) => writeln!(text, "{boots}; {} min in this run", clock(elapsed)),
        None => writeln!(text, "{boots}"),
    };
    Ok(text)
}

/// The same for a document, of a Xen of that name: what became of how many, by operator and by
/// function, and each mutant that was not killed.
pub fn markdown(
    xen: &str,
    source: &Source<'_>,
    sites: &[Site<'_>],
    findings: &BTreeMap<Id, SettledMutant>,
) -> String {
    let settled: Vec<(&Site<'_>, &SettledMutant)> =
        sites.iter().filter_map(|site| Some((site, findings.get(&site.id())?))).collect();
    let row = |name: &str, counts: &Counts| {
        let Counts { all, killed, survived, not_reached, equivalent, patched, .. } = *counts;
        let share = counts.exact_share().unwrap_or_default();
        format!(
            "| {xen} | {name} | {all} | {killed} | {survived} | {not_reached} | {patched} | \
             {equivalent} | {share} |\n"
        )
    };
    let head = |what: &str| {
        format!(
            "| Xen | {what} | Mutants | Killed | Survived | Not reached | Patched | Equivalent | Share |\n\
             |---|---|---|---|---|---|---|---|---|\n"
        )
    };
    let mut text = head("Operator");
    for operator in Operator::ALL {
        let counts = Counts::of(sites, &settled, |site| site.mutation.operator == operator);
        if counts.all + counts.equivalent > 0 {
            text += &row(operator.name(), &counts);
        }
    }
    text += &format!("\n{}", head("Function"));
    let mut functions: Vec<&XenFunction> = sites.iter().map(|site| site.function).collect();
    functions.dedup();
    for function in functions {
        let counts = Counts::of(sites, &settled, |site| site.function == function);
        text += &row(&format!("`{}`", function.label), &counts);
    }
    let mut left = String::new();
    for (site, finding) in settled {
        let outcome = match finding.verdict {
            Fate::Killed { .. } => continue,
            Fate::Survived { .. } => "survived",
            Fate::Undecided { .. } => "undecided",
            Fate::NotReached => "not reached",
            Fate::Patched => "patched",
        };
        let place = source.lines.of(site.address).map(|places| short(&places)).unwrap_or_default();
        let _ = writeln!(left, "| {xen} | `{}` | {outcome} | {place} |", site.name());
    }
    if !left.is_empty() {
        text += &format!("\n| Xen | Mutant | Outcome | Source |\n|---|---|---|---|\n{left}");
    }
    text
}

/// Places in Xen's source without their folders, which are those of whoever built it.
fn short(places: &str) -> String {
    let name = |place: &str| place.rsplit('/').next().unwrap_or_default().to_owned();
    places.split(", inlined at ").map(name).collect::<Vec<_>>().join(", in ")
}

/// What became of some mutants.
#[derive(Clone, Copy, Default)]
struct Counts {
    /// Those that are run.
    all: usize,
    killed: usize,
    survived: usize,
    not_reached: usize,
    patched: usize,
    undecided: usize,
    /// They are not run.
    equivalent: usize,
}

impl Counts {
    /// Of those `sites` of which `which` is true.
    fn of(
        sites: &[Site<'_>],
        settled: &[(&Site<'_>, &SettledMutant)],
        which: impl Fn(&Site<'_>) -> bool,
    ) -> Counts {
        let mut counts = Counts::default();
        for site in sites.iter().filter(|site| which(site)) {
            *if site.counts() { &mut counts.all } else { &mut counts.equivalent } += 1;
        }
        for (_, finding) in settled.iter().filter(|(site, _)| which(site)) {
            *match finding.verdict {
                Fate::Killed { .. } => &mut counts.killed,
                Fate::Survived { .. } => &mut counts.survived,
                Fate::NotReached => &mut counts.not_reached,
                Fate::Patched => &mut counts.patched,
                Fate::Undecided { .. } => &mut counts.undecided,
            } += 1;
        }
        counts
    }

    /// How many could have been killed.
    fn done(&self) -> usize {
        self.killed + self.survived + self.not_reached
    }

    /// The share that was killed to a tenth, which is not rounded up.
    fn exact_share(&self) -> Option<String> {
        let tenths = (1000 * self.killed).checked_div(self.done())?;
        Some(format!("{}.{} %", tenths / 10, tenths % 10))
    }

    /// The share that was killed, in words.
    fn share(&self) -> Option<String> {
        Some(format!("{} %", (100 * self.killed).checked_div(self.done())?))
    }
}

/// A line for each function.
fn by_function(sites: &[Site<'_>], settled: &[(&Site<'_>, &SettledMutant)]) -> String {
    let mut functions: Vec<&XenFunction> = sites.iter().map(|site| site.function).collect();
    functions.dedup();
    let row = |name: &str, [all, killed, survived, not_reached]: [String; 4]| {
        format!("{name:<44} {all:>6} {killed:>7} {survived:>9} {not_reached:>12}\n")
    };
    let of = |name: &str, counts: Counts| {
        let Counts { all, killed, survived, not_reached, .. } = counts;
        row(name, [all, killed, survived, not_reached].map(|count| count.to_string()))
    };
    let head = ["sites", "killed", "survived", "not reached"];
    let mut text = row("Function", head.map(str::to_owned));
    for function in functions {
        let counts = Counts::of(sites, settled, |site| site.function == function);
        text += &of(&function.label, counts);
    }
    text + &of("all", Counts::of(sites, settled, |_| true))
}

/// A line for each operator, where there is more to say than for the functions.
fn by_operator(sites: &[Site<'_>], settled: &[(&Site<'_>, &SettledMutant)]) -> String {
    let of =
        |operator: Operator| Counts::of(sites, settled, |site| site.mutation.operator == operator);
    let counts = Operator::ALL.map(|operator| (operator, of(operator)));
    let used = counts.iter().filter(|(_, counts)| counts.all + counts.equivalent > 0);
    let used: Vec<&(Operator, Counts)> = used.collect();
    if used.iter().all(|(_, counts)| used.len() == 1 && counts.equivalent + counts.patched == 0) {
        return String::new();
    }
    let row = |name: &str, columns: [String; 7]| {
        let [all, killed, survived, not_reached, share, equivalent, patched] = columns;
        format!(
            "{name:<12} {all:>7} {killed:>7} {survived:>9} {not_reached:>12} {share:>7} \
             {equivalent:>11} {patched:>8}\n"
        )
    };
    let head = ["mutants", "killed", "survived", "not reached", "share", "equivalent", "patched"];
    let mut text = String::from("\n") + &row("Operator", head.map(str::to_owned));
    for (operator, counts) in used {
        let Counts { all, killed, survived, not_reached, equivalent, patched, .. } = *counts;
        let numbers = [all, killed, survived, not_reached].map(|count| count.to_string());
        let [all, killed, survived, not_reached] = numbers;
        let (share, rest) = (counts.share().unwrap_or_default(), [equivalent, patched]);
        let [equivalent, patched] = rest.map(|count| count.to_string());
        let columns = [all, killed, survived, not_reached, share, equivalent, patched];
        text += &row(operator.name(), columns);
    }
    text
}

/// One line of all.
fn total(sites: &[Site<'_>], settled: &[(&Site<'_>, &SettledMutant)]) -> String {
    let counts = Counts::of(sites, settled, |_| true);
    let Counts { all, killed, patched, undecided, .. } = counts;
    let done = counts.done();
    let mut text = format!("\n{killed} of {done} mutants killed");
    if let Some(share) = counts.share() {
        let _ = write!(text, " ({share})");
    }
    if patched > 0 {
        let _ = write!(text, "; {patched} not run, because Xen patches the instruction at boot");
    }
    if undecided > 0 {
        let _ = write!(text, "; {undecided} undecided, because QEMU failed");
    }
    if done + patched + undecided < all {
        let _ = write!(text, "; {} not run", all - done - patched - undecided);
    }
    text.push('\n');
    text
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

fn survivors(source: &Source<'_>, settled: &[(&Site<'_>, &SettledMutant)]) -> Result<String> {
    let mut text = String::new();
    for (site, finding) in settled {
        let (outcome, differences) = match &finding.verdict {
            Fate::Killed { .. } => continue,
            Fate::Survived { differences } => ("survived", differences.as_slice()),
            Fate::Undecided { .. } => ("undecided", &[][..]),
            Fate::NotReached => ("not reached", &[][..]),
            Fate::Patched => ("patched", &[][..]),
        };
        let _ = write!(text, "\n{outcome}: {} at {:#x}", site.name(), site.address);
        if let Some(line) = source.lines.of(site.address) {
            let _ = write!(text, ", {line}");
        }
        text.push('\n');
        let instructions = instructions(site.function)?;
        let at = instructions.iter().position(|i| i.ip() == site.address).unwrap_or(0);
        let end = (at + AFTER + 1).min(instructions.len());
        for instruction in &instructions[at.saturating_sub(BEFORE)..end] {
            let mark = if instruction.ip() == site.address { '>' } else { ' ' };
            let line = assembly(source.symbols, instruction);
            let offset = instruction.ip() - site.function.address;
            let _ = write!(text, "  {mark} +{offset:<#7x} {line}");
            if instruction.ip() == site.address && site.mutation.operator != Operator::Branch {
                let _ = write!(text, " => {}", assembly(source.symbols, &site.broken()));
            }
            text.push('\n');
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::mutate::journal::Killer;
    use crate::commands::mutate::sites::find;
    use crate::xen::mutation::Flow;

    /// Two functions, each with three branches and a comparison that has two mutants.
    #[test]
    fn a_document_has_tables() {
        let code = [0x74, 0x00, 0x75, 0x00, 0x3c, 0x10, 0x74, 0x00, 0xc3];
        let functions = [
            XenFunction::sample("f", None, 0x2000, &code),
            XenFunction::sample("g", None, 0x3000, &code),
        ];
        let symbols =
            XenSyms { build_id: Vec::new(), functions: functions.to_vec(), names: Vec::new() };
        let flow = Flow::of(&symbols);
        let operators = [Operator::Branch, Operator::Immediate];
        let sites: Vec<Site<'_>> =
            functions.iter().flat_map(|f| find(f, &operators, &flow).unwrap()).collect();
        let killer = || Killer {
            environment: protocol::metadata::Environment::Pv64,
            test: "a".into(),
            case: None,
            status: crate::base::status::Status::Crash,
            reason: String::new(),
        };
        let fates = [
            Fate::Killed { killer: killer() },
            Fate::Killed { killer: killer() },
            Fate::Survived { differences: Vec::new() },
            Fate::Patched,
            Fate::NotReached,
        ];
        let finding = |(site, verdict): (&Site<'_>, &Fate)| {
            let (id, operator) = (site.id(), site.mutation.operator);
            let finding = SettledMutant {
                id,
                operator,
                site: site.name(),
                verdict: verdict.clone(),
                boots: 1,
                milliseconds: 1,
            };
            (id, finding)
        };
        let findings: BTreeMap<Id, SettledMutant> =
            sites.iter().zip(fates.iter().cycle()).map(finding).collect();
        let lines = SourceLines::read(std::path::Path::new("none"));
        let source = Source { symbols: &symbols, lines: &lines };
        let expected = "\
| Xen | Operator | Mutants | Killed | Survived | Not reached | Patched | Equivalent | Share |
|---|---|---|---|---|---|---|---|---|
| 4.17 | branch | 6 | 4 | 0 | 2 | 0 | 0 | 66.6 % |
| 4.17 | immediate | 4 | 0 | 2 | 0 | 2 | 0 | 0.0 % |

| Xen | Function | Mutants | Killed | Survived | Not reached | Patched | Equivalent | Share |
|---|---|---|---|---|---|---|---|---|
| 4.17 | `f` | 5 | 2 | 1 | 1 | 1 | 0 | 50.0 % |
| 4.17 | `g` | 5 | 2 | 1 | 1 | 1 | 0 | 50.0 % |

| Xen | Mutant | Outcome | Source |
|---|---|---|---|
";
        let text = markdown("4.17", &source, &sites, &findings);
        assert!(text.starts_with(expected), "{text}");
        let left: Vec<&str> = text[expected.len()..].lines().collect();
        assert_eq!(
            left[..4],
            [
                "| 4.17 | `f+0x4:-1` | survived |  |",
                "| 4.17 | `f+0x4:+1` | patched |  |",
                "| 4.17 | `f+0x6` | not reached |  |",
                "| 4.17 | `g+0x4:-1` | survived |  |",
            ]
        );
    }

    #[test]
    fn a_share_is_not_rounded_up() {
        let counts = |killed, survived| Counts { killed, survived, ..Counts::default() };
        for (killed, survived, share) in
            [(537, 11, "97.9 %"), (538, 10, "98.1 %"), (1, 2, "33.3 %"), (3, 0, "100.0 %")]
        {
            assert_eq!(counts(killed, survived).exact_share().unwrap(), share);
        }
        assert_eq!(Counts::default().exact_share(), None);
    }

    #[test]
    fn a_place_has_no_folders() {
        let places = "/home/me/xen/./arch/x86/include/asm/uaccess.h:254, inlined at ./common/a.c:7";
        assert_eq!(short(places), "uaccess.h:254, in a.c:7");
    }
}

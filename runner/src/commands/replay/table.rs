//! A folder of findings on several Xens: which of them still die.

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{fmt, fs, thread};

use livepatch::program::Program;
use serde::Serialize;

use super::verdict::{Replayed, Verdict};
use super::{Finding, Place, Replayer, read};
use crate::base::exit::{Error, Exit, IoContext, Result};
use crate::base::output::{json, write_out};
use crate::cli::ReplayArgs;
use crate::machine::queue::Queue;
use crate::machine::session::cpus;

/// Of what the document is.
const SCHEMA: &str = "xtf-rs/replay/1";
/// How the names of programs end.
const ENDINGS: [&str; 2] = ["txt", "xtf"];

/// What became of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Xen answers as predicted.
    Agrees,
    /// It answers something else.
    Diverges,
    /// It dies in another place than it did, or the finding does not say where it did.
    DiesElsewhere,
    /// It dies in the same function, or hangs as it did.
    StillDies,
    /// The guest could not do its work.
    NotReplayed,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Outcome::Agrees => "agrees",
            Outcome::Diverges => "diverges",
            Outcome::DiesElsewhere => "dies elsewhere",
            Outcome::StillDies => "still dies",
            Outcome::NotReplayed => "not replayed",
        })
    }
}

impl Outcome {
    /// Of a replay of what once died in the function `place`.
    fn of(replayed: &Replayed, place: Option<&str>) -> Outcome {
        let at = match &replayed.verdict {
            Verdict::Agreement => return Outcome::Agrees,
            Verdict::Divergence { .. } => return Outcome::Diverges,
            Verdict::Error(_) => return Outcome::NotReplayed,
            Verdict::Crash { at, .. } => at,
            Verdict::Hang => &Place::hang(),
        };
        if place == Some(at.function()) { Outcome::StillDies } else { Outcome::DiesElsewhere }
    }
}

/// A finding on a Xen.
#[derive(Clone, Debug, Serialize)]
struct Cell {
    xen: String,
    outcome: Outcome,
    /// In a line.
    how: String,
    #[serde(skip)]
    exit: Exit,
}

impl Cell {
    fn of(xen: &str, row: &Row, replayed: &Replayed) -> Cell {
        let outcome = Outcome::of(replayed, row.place.as_deref());
        let (how, exit) = (replayed.verdict.summary(), replayed.verdict.exit());
        Cell { xen: xen.to_owned(), outcome, how, exit }
    }
}

/// A finding.
#[derive(Clone, Debug, Serialize)]
struct Row {
    finding: PathBuf,
    /// The function in which Xen once died of it.
    place: Option<String>,
    replays: Vec<Cell>,
}

/// All of them.
#[derive(Clone, Debug, Serialize)]
struct Table {
    schema: &'static str,
    findings: Vec<Row>,
}

/// Replays all findings of a file or a folder on all Xens that `args` name.
pub fn replay(args: &ReplayArgs) -> Result<Exit> {
    let start = &args.program.file;
    let mut files = Vec::new();
    collect(start, &mut files)?;
    files.sort();
    if files.is_empty() {
        let what = format!("{}: no file in it is called *.txt or *.xtf", start.display());
        return Err(Error::EmptySelection(what));
    }
    // All of them are read before anything boots.
    let findings = files.iter().map(|file| read(file)).collect::<Result<Vec<_>>>()?;
    let mut table = Table { schema: SCHEMA, findings: Vec::new() };
    let mut programs = Vec::new();
    for (file, Finding { program, place }) in files.iter().zip(findings) {
        let name = file.strip_prefix(start).unwrap_or(file);
        let finding = if name == Path::new("") { file } else { name }.to_owned();
        table.findings.push(Row { finding, place, replays: Vec::new() });
        programs.push(program);
    }
    for machine in Replayer::each(args)? {
        let work = table.findings.iter_mut().zip(&programs);
        on_one_xen(&machine?, work, args.jobs.unwrap_or_else(cpus), !args.json)?;
    }
    if args.json {
        write_out(&json(&table)?)?;
    } else {
        write_out(&told(&table))?;
    }
    let cells = table.findings.iter().flat_map(|row| &row.replays);
    Ok(cells.map(|cell| cell.exit).fold(Exit::Success, Ord::max))
}

/// Replays findings on a Xen, `jobs` at a time, and tells of each if it is to be `told`.
fn on_one_xen<'w>(
    machine: &Replayer,
    work: impl IntoIterator<Item = (&'w mut Row, &'w Program)>,
    jobs: NonZeroUsize,
    told: bool,
) -> Result<()> {
    let queue = Queue::new(work);
    let error = Mutex::new(None);
    let worker = || {
        while let Some(mut piece) = queue.take() {
            let (row, program) = &mut piece.work;
            match machine.replay(program) {
                Ok(replayed) => {
                    let cell = Cell::of(machine.xen(), row, &replayed);
                    if told {
                        let finding = row.finding.display();
                        eprintln!("{} {finding}: {}: {}", cell.xen, cell.outcome, cell.how);
                    }
                    row.replays.push(cell);
                }
                Err(e) => {
                    error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
                    queue.close();
                }
            }
        }
    };
    thread::scope(|scope| (0..jobs.get()).for_each(|_| drop(scope.spawn(worker))));
    error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// The programs at `path`.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path).io("read", path)? {
        let path = entry.io("read", path)?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if path.is_dir() || ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
            collect(&path, files)?;
        }
    }
    Ok(())
}

/// For people.
fn told(table: &Table) -> String {
    const GAP: usize = 2;
    let name = |row: &Row| row.finding.display().to_string();
    let first = table.findings.iter().map(|row| name(row).chars().count()).max().unwrap_or(0);
    let xens: Vec<&str> =
        table.findings.iter().take(1).flat_map(|row| &row.replays).map(|cell| &*cell.xen).collect();
    let widest = Outcome::DiesElsewhere.to_string().len();
    let width = |xen: &str| xen.chars().count().max(widest) + GAP;
    let mut text = format!("{:first$}", "");
    for xen in &xens {
        let _ = write!(text, "{:GAP$}{xen:<width$}", "", width = width(xen) - GAP);
    }
    let mut lines = vec![text.trim_end().to_owned()];
    for row in &table.findings {
        let mut line = format!("{:first$}", name(row));
        for cell in &row.replays {
            let width = width(&cell.xen) - GAP;
            let _ = write!(line, "{:GAP$}{:<width$}", "", cell.outcome);
        }
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn replayed(verdict: Verdict) -> Replayed {
        Replayed { verdict, begun: 1, answers: Vec::new(), lost: None }
    }

    #[test]
    fn the_place_tells_the_same_death_from_another() {
        let crash = replayed(Verdict::Crash {
            reason: "FATAL PAGE FAULT".into(),
            at: Place::In("f".into(), 0x17),
            words: Vec::new(),
        });
        assert_eq!(Outcome::of(&crash, Some("f")), Outcome::StillDies);
        assert_eq!(Outcome::of(&crash, Some("g")), Outcome::DiesElsewhere);
        assert_eq!(Outcome::of(&crash, None), Outcome::DiesElsewhere);
        let hang = replayed(Verdict::Hang);
        assert_eq!(Outcome::of(&hang, Some("hang")), Outcome::StillDies);
        assert_eq!(Outcome::of(&hang, Some("f")), Outcome::DiesElsewhere);
        let agreement = replayed(Verdict::Agreement);
        assert_eq!(Outcome::of(&agreement, Some("f")), Outcome::Agrees);
        let divergence = Verdict::Divergence { what: "answer".into(), how: "other".into() };
        assert_eq!(Outcome::of(&replayed(divergence), None), Outcome::Diverges);
        assert_eq!(Outcome::of(&replayed(Verdict::Error("x".into())), None), Outcome::NotReplayed);
    }

    #[test]
    fn findings_are_lines_and_xens_are_columns() {
        let cell = |xen: &str, outcome| {
            let how = "a line".into();
            Cell { xen: xen.into(), outcome, how, exit: Exit::Success }
        };
        let row = |finding: &str, outcomes: [Outcome; 2]| Row {
            finding: finding.into(),
            place: Some("f".into()),
            replays: vec![cell("4.17", outcomes[0]), cell("/path/to/a/xen.gz", outcomes[1])],
        };
        let table = Table {
            schema: SCHEMA,
            findings: vec![
                row("00ff/f+0x17.txt", [Outcome::StillDies, Outcome::Agrees]),
                row("00ff/g+0x1.txt", [Outcome::DiesElsewhere, Outcome::Diverges]),
            ],
        };
        expect![[r#"
                             4.17            /path/to/a/xen.gz
            00ff/f+0x17.txt  still dies      agrees
            00ff/g+0x1.txt   dies elsewhere  diverges
        "#]]
        .assert_eq(&told(&table));
        let json = serde_json::to_string(&table.findings[0].replays[0]).unwrap();
        assert_eq!(json, r#"{"xen":"4.17","outcome":"still-dies","how":"a line"}"#);
    }
}

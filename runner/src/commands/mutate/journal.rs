//! The results, a line of JSON each, and what of them a later run need not repeat.
//!
//! A line is appended and complete as soon as its mutant is settled, so that an interrupted
//! campaign loses nothing. Each has the name of its campaign. The same mutant of another Xen, or
//! under other tests, is a different measurement. Of which operator a mutant is, each line says for
//! itself; a line that does not is of a branch.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use protocol::metadata::Environment;
use serde::{Deserialize, Serialize};

use super::sites::Id;
use crate::base::exit::{Error, IoContext, Result};
use crate::base::hash::sha256;
use crate::base::status::Status;
use crate::xen::mutation::Operator;

/// How every line begins.
const BEGINNING: &str = "{\"record\":";

/// What all mutants of a campaign have in common, apart from how fast it is done.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Subject {
    /// SHA-256 of the Xen that boots.
    pub xen: String,
    /// SHA-256 of the image.
    pub image: String,
    /// Each boot, by its QEMU's arguments.
    pub boots: Vec<String>,
}

impl Subject {
    /// A short name for this and nothing else.
    pub fn id(&self) -> Result<String> {
        let json = serde_json::to_vec(self).io("describe", Path::new("the campaign"))?;
        Ok(sha256(&json)[..16].to_owned())
    }
}

/// Who noticed that Xen is broken, and how.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Killer {
    /// Where.
    pub environment: Environment,
    /// Which test.
    pub test: String,
    /// Its failing case, or the one that was under way.
    pub case: Option<String>,
    /// What became of it.
    pub status: Status,
    /// In words.
    pub reason: String,
}

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Fate {
    /// A test failed.
    Killed {
        /// The first one.
        killer: Killer,
    },
    /// All tests were content.
    Survived {
        /// What was different all the same, such as a case that was skipped.
        differences: Vec<String>,
    },
    /// QEMU ended by itself, again and again, which says nothing about the tests.
    Undecided {
        /// How.
        why: String,
    },
    /// No test executes the site, and neither does Xen's boot: nothing was run.
    NotReached,
    /// Xen put another instruction there when it booted, so that nobody executes the mutant.
    Patched,
}

/// A settled mutant.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SettledMutant {
    /// Which one.
    #[serde(flatten)]
    pub id: Id,
    /// What kind of change it is.
    #[serde(default)]
    pub operator: Operator,
    /// Its name.
    pub site: String,
    /// What became of it.
    #[serde(flatten)]
    pub verdict: Fate,
    /// Boots that it took.
    pub boots: usize,
    /// Time that it took.
    pub milliseconds: u64,
}

impl SettledMutant {
    /// Whether it was killed or not, for all that can be known.
    pub fn is_decided(&self) -> bool {
        !matches!(self.verdict, Fate::Undecided { .. })
    }

    /// Who killed it.
    pub fn killer(&self) -> Option<&Killer> {
        match &self.verdict {
            Fate::Killed { killer } => Some(killer),
            Fate::Survived { .. } | Fate::Undecided { .. } | Fate::NotReached | Fate::Patched => {
                None
            }
        }
    }
}

/// A line of the file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
enum Record {
    /// Begins a campaign, or its continuation.
    Campaign { campaign: String, subject: Subject },
    /// A settled mutant.
    Mutant {
        campaign: String,
        #[serde(flatten)]
        finding: SettledMutant,
    },
}

/// The file, open for more.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    campaign: String,
}

impl Journal {
    /// Opens or creates `path`; returns what it has on this `subject`, which without `resume` must
    /// be nothing at all.
    pub fn open(
        path: &Path,
        subject: &Subject,
        resume: bool,
    ) -> Result<(Journal, HashMap<Id, SettledMutant>)> {
        let campaign = subject.id()?;
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => String::new(),
            Err(e) => return Err(e).io("read", path),
        };
        if !text.is_empty() && !resume {
            return Err(Error::Usage(format!(
                "--out: {} exists already; use --resume to continue it, or name another file",
                path.display()
            )));
        }
        let (known, whole) = parse(path, &text, &campaign)?;
        let file = OpenOptions::new().create(true).append(true).open(path).io("open", path)?;
        file.set_len(whole as u64).io("write", path)?;
        let mut journal = Journal { path: path.to_owned(), file, campaign: campaign.clone() };
        journal.write(&Record::Campaign { campaign, subject: subject.clone() })?;
        Ok((journal, known))
    }

    /// What `path` has on this `subject`.
    pub fn read(path: &Path, subject: &Subject) -> Result<HashMap<Id, SettledMutant>> {
        let text = fs::read_to_string(path).io("read", path)?;
        parse(path, &text, &subject.id()?).map(|(known, _)| known)
    }

    /// Adds a settled mutant.
    pub fn add(&mut self, finding: &SettledMutant) -> Result<()> {
        let campaign = self.campaign.clone();
        self.write(&Record::Mutant { campaign, finding: finding.clone() })
    }

    fn write(&mut self, record: &Record) -> Result<()> {
        let mut line = serde_json::to_vec(record).io("write", &self.path)?;
        line.push(b'\n');
        self.file.write_all(&line).io("write", &self.path)
    }
}

/// The mutants of a `campaign` in the `text` of the file at `path`, and where its last whole line ends.
fn parse(path: &Path, text: &str, campaign: &str) -> Result<(HashMap<Id, SettledMutant>, usize)> {
    let foreign = |line: usize, why: &dyn fmt::Display| {
        let path = path.display();
        Error::Data(format!("{path}:{line}: {why}; this file was not written by --out"))
    };
    // A line without an end was cut by the runner's death: its mutant is not settled.
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    if !text[whole..].is_empty() && !text[whole..].starts_with(BEGINNING) {
        return Err(foreign(text.lines().count(), &"not a record"));
    }
    let mut known = HashMap::new();
    for (index, line) in text[..whole].lines().enumerate() {
        let record: Record = serde_json::from_str(line).map_err(|e| foreign(index + 1, &e))?;
        if let Record::Mutant { campaign: of, finding } = record
            && of == campaign
        {
            known.insert(finding.id, finding);
        }
    }
    Ok((known, whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xen::mutation::Change;

    fn subject(image: &str) -> Subject {
        let boots = vec!["-smp 1".into()];
        Subject { xen: "x".into(), image: image.into(), boots }
    }

    fn id(address: u64) -> Id {
        Id { address, change: Change::Inverted }
    }

    fn finding(address: u64, killed: bool) -> SettledMutant {
        let verdict = if killed {
            Fate::Killed {
                killer: Killer {
                    environment: Environment::Pv64,
                    test: "a".into(),
                    case: Some("x/y".into()),
                    status: Status::Failure,
                    reason: "expected 1, got 2".into(),
                },
            }
        } else {
            Fate::Survived { differences: vec!["pv64 b: skipped".into()] }
        };
        let (operator, site) = (Operator::Branch, "f+0x1".into());
        SettledMutant { id: id(address), operator, site, verdict, boots: 1, milliseconds: 7 }
    }

    #[test]
    fn what_is_settled_is_not_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.jsonl");
        let addresses = [0xffff_82d0_4022_14c0, 0xffff_82d0_4022_14c1];
        let (mut journal, known) = Journal::open(&path, &subject("i"), false).unwrap();
        assert!(known.is_empty());
        for (address, killed) in addresses.into_iter().zip([true, false]) {
            journal.add(&finding(address, killed)).unwrap();
        }

        let (_, known) = Journal::open(&path, &subject("i"), true).unwrap();
        assert_eq!(known.len(), 2);
        assert_eq!(known[&id(addresses[0])], finding(addresses[0], true));
        assert_eq!(known[&id(addresses[1])], finding(addresses[1], false));

        assert_eq!(Journal::read(&path, &subject("i")).unwrap(), known);
        let (_, known) = Journal::open(&path, &subject("other"), true).unwrap();
        assert!(known.is_empty(), "another image, another question: {known:?}");

        let error = Journal::open(&path, &subject("i"), false).unwrap_err();
        assert!(error.to_string().contains("--resume"), "{error}");
    }

    /// As they were written when there were only branches.
    #[test]
    fn a_line_without_an_operator_is_of_a_branch() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.jsonl");
        let campaign = subject("i").id().unwrap();
        let line = format!(
            r#"{{"record":"mutant","campaign":"{campaign}","address":"0x7","site":"f+0x1","#
        ) + r#""verdict":"not-reached","boots":0,"milliseconds":0}"#;
        fs::write(&path, line + "\n").unwrap();
        let (mut journal, known) = Journal::open(&path, &subject("i"), true).unwrap();
        assert_eq!(known[&id(7)].operator, Operator::Branch);

        // Another mutant of the same instruction does not take its place.
        let more = Id { address: 7, change: Change::More };
        let other = SettledMutant { id: more, operator: Operator::Immediate, ..finding(7, true) };
        journal.add(&other).unwrap();
        let known = Journal::read(&path, &subject("i")).unwrap();
        assert_eq!((known.len(), &known[&more]), (2, &other));
        assert_eq!(known[&id(7)].verdict, Fate::NotReached);
    }

    #[test]
    fn a_cut_line_is_dropped_and_a_bad_one_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.jsonl");
        let (mut journal, _) = Journal::open(&path, &subject("i"), true).unwrap();
        journal.add(&finding(1, true)).unwrap();
        journal.add(&finding(2, true)).unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 9]).unwrap();

        let (mut journal, known) = Journal::open(&path, &subject("i"), true).unwrap();
        assert_eq!(known.into_keys().collect::<Vec<_>>(), [id(1)]);
        let not_reached = SettledMutant { verdict: Fate::NotReached, ..finding(3, true) };
        journal.add(&not_reached).unwrap();
        let (_, known) = Journal::open(&path, &subject("i"), true).unwrap();
        assert_eq!(known.len(), 2);
        assert_eq!(known[&id(3)], not_reached);

        fs::write(&path, format!("{whole}{{}}\n")).unwrap();
        let error = Journal::open(&path, &subject("i"), true).unwrap_err().to_string();
        assert!(error.contains("out.jsonl:4: "), "{error}");
        fs::write(&path, "a letter to my mother").unwrap();
        assert!(Journal::open(&path, &subject("i"), true).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "a letter to my mother");
    }
}

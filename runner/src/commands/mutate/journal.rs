//! The results, a line of JSON each, and what of them a later run need not repeat.
//!
//! A line is appended and complete as soon as its mutant is settled, so that an interrupted
//! campaign loses nothing. Each has the name of its campaign. The same mutant of another Xen, or
//! under other tests, is a different measurement. Those of one Xen under several tests can be put
//! together ([`merge`]): what one of them noticed is noticed. Of which operator a mutant is, each line
//! says for itself; a line that does not is of a branch.

use std::collections::{HashMap, HashSet};
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

    /// How much it says: that a test failed more than that none did, and what was executed more than
    /// what was not.
    fn weight(&self) -> u8 {
        match self.verdict {
            Fate::Killed { .. } => 4,
            Fate::Survived { .. } => 3,
            Fate::Patched => 2,
            Fate::NotReached => 1,
            Fate::Undecided { .. } => 0,
        }
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
        let (known, whole) = parse(path, &text, &Wanted::Campaign(&campaign))?;
        let file = OpenOptions::new().create(true).append(true).open(path).io("open", path)?;
        file.set_len(whole as u64).io("write", path)?;
        let mut journal = Journal { path: path.to_owned(), file, campaign: campaign.clone() };
        journal.write(&Record::Campaign { campaign, subject: subject.clone() })?;
        Ok((journal, known))
    }

    /// What `path` has on this `subject`.
    pub fn read(path: &Path, subject: &Subject) -> Result<HashMap<Id, SettledMutant>> {
        let text = fs::read_to_string(path).io("read", path)?;
        parse(path, &text, &Wanted::Campaign(&subject.id()?)).map(|(known, _)| known)
    }

    /// What `path` has on the Xen with this SHA-256, of all its campaigns.
    pub fn read_any(path: &Path, xen: &str) -> Result<HashMap<Id, SettledMutant>> {
        let text = fs::read_to_string(path).io("read", path)?;
        parse(path, &text, &Wanted::Xen(xen)).map(|(known, _)| known)
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

/// Adds what a further campaign found. Of two results of a mutant the one that says more counts: one
/// that was killed once is killed.
pub fn merge(all: &mut HashMap<Id, SettledMutant>, more: impl IntoIterator<Item = SettledMutant>) {
    for finding in more {
        let known = all.entry(finding.id).or_insert_with(|| finding.clone());
        if finding.weight() > known.weight() {
            *known = finding;
        }
    }
}

/// Which campaigns count.
enum Wanted<'a> {
    /// The one of this name.
    Campaign(&'a str),
    /// All on the Xen with this SHA-256.
    Xen(&'a str),
}

/// The mutants of what is `wanted` in the `text` of the file at `path`, and where its last whole line
/// ends.
fn parse(
    path: &Path,
    text: &str,
    wanted: &Wanted<'_>,
) -> Result<(HashMap<Id, SettledMutant>, usize)> {
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
    let mut on_xen = HashSet::new();
    for (index, line) in text[..whole].lines().enumerate() {
        match serde_json::from_str(line).map_err(|e| foreign(index + 1, &e))? {
            Record::Campaign { campaign, subject } => {
                if matches!(wanted, Wanted::Xen(xen) if *xen == subject.xen) {
                    on_xen.insert(campaign);
                }
            }
            Record::Mutant { campaign, finding } => match wanted {
                Wanted::Campaign(of) if campaign == **of => {
                    known.insert(finding.id, finding);
                }
                Wanted::Xen(_) if on_xen.contains(&campaign) => merge(&mut known, [finding]),
                _ => {}
            },
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

    #[test]
    fn what_one_campaign_killed_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.jsonl");
        let with = |address, verdict| SettledMutant { verdict, ..finding(address, true) };
        let survived = finding(0, false).verdict;
        let first = [
            finding(1, true),
            finding(2, false),
            with(3, Fate::NotReached),
            with(4, Fate::NotReached),
            with(5, Fate::Patched),
            with(6, survived.clone()),
        ];
        let second = [
            finding(1, false),
            finding(2, true),
            with(3, survived.clone()),
            with(4, Fate::Patched),
            with(5, survived.clone()),
            with(7, Fate::NotReached),
        ];
        let other_xen = Subject { xen: "y".into(), ..subject("i") };
        for (subject, findings) in [
            (subject("i"), &first[..]),
            (subject("j"), &second[..]),
            // Of another Xen.
            (other_xen, &[finding(6, true), finding(8, true)][..]),
        ] {
            let (mut journal, _) = Journal::open(&path, &subject, true).unwrap();
            findings.iter().for_each(|finding| journal.add(finding).unwrap());
        }
        let verdicts = |known: HashMap<Id, SettledMutant>| {
            let mut verdicts: Vec<(u64, u8)> =
                known.values().map(|finding| (finding.id.address, finding.weight())).collect();
            verdicts.sort_unstable();
            verdicts
        };
        let (killed, survived, patched, not_reached) = (4, 3, 2, 1);
        assert_eq!(
            verdicts(Journal::read_any(&path, "x").unwrap()),
            [
                (1, killed),
                (2, killed),
                (3, survived),
                (4, patched),
                (5, survived),
                (6, survived),
                (7, not_reached)
            ]
        );
        assert_eq!(verdicts(Journal::read_any(&path, "y").unwrap()), [(6, killed), (8, killed)]);
        // Each of them for itself is as before.
        assert_eq!(verdicts(Journal::read(&path, &subject("j")).unwrap())[0], (1, survived));
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

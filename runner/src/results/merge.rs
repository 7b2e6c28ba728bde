//! Several runs as one: the shares of a run that `--partition` divided, or runs of different Xens.
//!
//! Everything in it is there once: where two runs have a result of the same test, the worse one counts,
//! and of equal ones the later. What no run has is named.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::iter;
use std::path::{Path, PathBuf};

use chrono::{DateTime, FixedOffset};

use super::document::{AppliedExpectation, Attempt, Document, Part, Run, Test, Unit};
use super::whereabouts;
use crate::base::exit::{Exit, Result};
use crate::base::status::Status;
use crate::plan::partition::Partition;

/// A run, and the file that holds it.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file.
    pub file: PathBuf,
    /// What is in it.
    pub document: Document,
}

impl Source {
    /// Reads a document that `--json` wrote, and finds the logs of its boots.
    pub fn read(file: &Path) -> Result<Source> {
        let mut document = Document::read(file)?;
        whereabouts::settle(&mut document, file);
        Ok(Source { file: file.to_owned(), document })
    }
}

/// Something that a person should know of a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// Two files have a result of it; the one in the last file counts.
    Overlap(Unit, [PathBuf; 2], PathBuf),
    /// No file has this share.
    Gap(String),
    /// The runs are of different images.
    Images(PathBuf, PathBuf),
    /// Two builds have the same name.
    Builds(String, PathBuf, PathBuf),
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remark::Overlap(unit, [one, other], counts) => {
                let Unit { xen, environment, test } = unit;
                let (one, other, counts) = (one.display(), other.display(), counts.display());
                let place = format!("{xen} {} {test}", environment.name());
                write!(f, "overlap: {place} is in {one} and in {other}; that of {counts} counts")
            }
            Remark::Gap(share) => write!(f, "gap: no file has the share {share}"),
            Remark::Images(one, other) => {
                let (one, other) = (one.display(), other.display());
                write!(f, "{one} and {other} are of different images")
            }
            Remark::Builds(xen, one, other) => {
                let (one, other) = (one.display(), other.display());
                write!(f, "{xen} of {one} and {xen} of {other} are different builds")
            }
        }
    }
}

/// The runs as one, of which there is at least one.
pub fn merge(sources: &[Source]) -> (Document, Vec<Remark>) {
    let mut remarks = Vec::new();
    let mut tests: Vec<(Test, &Source)> = Vec::new();
    let mut places: HashMap<Unit, usize> = HashMap::new();
    let mut boots = Vec::new();
    for source in sources {
        let document = &source.document;
        // Numbers of boots tell them apart.
        let behind = boots.iter().map(|boot: &super::Boot| boot.number).max().unwrap_or(0);
        boots.extend(document.boots.iter().cloned().map(|mut boot| {
            // No run has so many; a document may say so.
            boot.number = boot.number.saturating_add(behind);
            boot.logs = document.run.logs.join(&boot.logs);
            boot
        }));
        for test in &document.tests {
            let test = renumbered(test, behind);
            let place = *places.entry(test.unit.clone()).or_insert(tests.len());
            let Some((known, first)) = tests.get_mut(place) else {
                tests.push((test, source));
                continue;
            };
            let files = [first.file.clone(), source.file.clone()];
            let later = start(&document.run) >= start(&first.document.run);
            if outranks(&test, known, later) {
                (*known, *first) = (test, source);
            }
            remarks.push(Remark::Overlap(known.unit.clone(), files, first.file.clone()));
        }
    }
    let missing = gaps(sources);
    remarks.extend(missing.iter().cloned().map(Remark::Gap));
    let first = &sources[0];
    let image = &first.document.run.image_sha256;
    let other = sources.iter().find(|source| source.document.run.image_sha256 != *image);
    remarks.extend(other.map(|other| Remark::Images(first.file.clone(), other.file.clone())));
    remarks.extend(builds(sources));

    let tests: Vec<Test> = tests.into_iter().map(|(test, _)| test).collect();
    let mut named = HashSet::new();
    let lacking = sources.iter().flat_map(|source| &source.document.not_run);
    let lacking = lacking.filter(|unit| !places.contains_key(*unit) && named.insert(*unit));
    let not_run: Vec<Unit> = lacking.cloned().collect();
    let because = match (missing.as_slice(), not_run.is_empty()) {
        ([], true) => None,
        ([], false) => Some("some tests have no result".to_owned()),
        (shares, _) => Some(format!("no file has the share {}", shares.join(", "))),
    };
    let mut document = Document {
        schema: first.document.schema.clone(),
        complete: because.is_none(),
        run: run(sources, &tests, because.is_some()),
        incomplete_because: because,
        boots,
        tests,
        not_run,
        expectations: expectations(sources),
        parts: Vec::new(),
        missing_shares: missing,
    };
    for part in sources.iter().flat_map(parts) {
        if !document.parts.contains(&part) {
            document.parts.push(part);
        }
    }
    sort(&mut document, sources);
    (document, remarks)
}

fn renumbered(test: &Test, behind: usize) -> Test {
    let mut test = test.clone();
    let renumber = |attempt: &mut Attempt| {
        let further = attempt.went_on.iter_mut().map(|further| &mut further.boot);
        for boot in further.chain([&mut attempt.boot]) {
            *boot = boot.saturating_add(behind);
        }
    };
    renumber(&mut test.last);
    test.earlier.iter_mut().for_each(renumber);
    test
}

/// When a run began, on whatever clock its host has.
fn start(run: &Run) -> Option<DateTime<FixedOffset>> {
    DateTime::parse_from_rfc3339(&run.started).ok()
}

/// Whether `test` counts instead of `known`: a failure goes before a success, and that before a skip.
fn outranks(test: &Test, known: &Test, later: bool) -> bool {
    let rank = |test: &Test| match test.last.status {
        Status::Skip => None,
        status => Some(status),
    };
    match rank(test).cmp(&rank(known)) {
        Ordering::Greater => true,
        Ordering::Equal => later,
        Ordering::Less => false,
    }
}

/// Names that stand for more than one build, by the first two files that show it.
fn builds(sources: &[Source]) -> Vec<Remark> {
    let mut known: BTreeMap<&str, (&str, &Source)> = BTreeMap::new();
    let mut told = BTreeSet::new();
    let mut remarks = Vec::new();
    for source in sources {
        for boot in &source.document.boots {
            let Some(id) = boot.build_id.as_deref() else { continue };
            let (first, other) = *known.entry(&boot.xen).or_insert((id, source));
            if first != id && told.insert(&boot.xen) {
                let files = (other.file.clone(), source.file.clone());
                remarks.push(Remark::Builds(boot.xen.clone(), files.0, files.1));
            }
        }
    }
    remarks
}

/// The shares that nobody has, of every division of which somebody has one.
fn gaps(sources: &[Source]) -> Vec<String> {
    let has = |part: Part| part.partition?.parse::<Partition>().ok();
    let present: Vec<Partition> = sources.iter().flat_map(parts).filter_map(has).collect();
    let sources: Vec<_> = sources.iter().map(|one| (units(one), lacks(one))).collect();
    let mut missing: Vec<Partition> = Vec::new();
    for (own, lacks) in &sources {
        // Who lacks nothing, and was to run all that the share was, was to run the rest of it, too.
        let is_whole = |(other, lacks): &(BTreeSet<&Unit>, Vec<Partition>)| {
            lacks.is_empty() && other.is_superset(own)
        };
        if !own.is_empty() && sources.iter().any(is_whole) {
            continue;
        }
        for share in lacks {
            if !present.contains(share) && !missing.contains(share) {
                missing.push(*share);
            }
        }
    }
    missing.iter().map(Partition::to_string).collect()
}

/// The shares that a document says that it has not.
fn lacks(source: &Source) -> Vec<Partition> {
    let Document { run, missing_shares, .. } = &source.document;
    let own: Option<Partition> = run.partition.as_ref().and_then(|share| share.parse().ok());
    let others = own.into_iter().flat_map(|own| own.all().filter(move |share| *share != own));
    others.chain(missing_shares.iter().filter_map(|share| share.parse().ok())).collect()
}

/// What was to be run.
fn units(source: &Source) -> BTreeSet<&Unit> {
    let Document { tests, not_run, .. } = &source.document;
    tests.iter().map(|test| &test.unit).chain(not_run).collect()
}

/// The run as a whole: it began with the first, and took as long as the longest.
fn run(sources: &[Source], tests: &[Test], incomplete: bool) -> Run {
    let runs = || sources.iter().map(|source| &source.document.run);
    let mut run = Run { partition: None, ..sources[0].document.run.clone() };
    let first = runs().min_by_key(|run| start(run));
    run.started = first.map(|run| run.started.clone()).unwrap_or_default();
    run.elapsed_s = runs().map(|run| run.elapsed_s).fold(0.0, f64::max);
    let status = Status::of_parts(tests.iter().map(|test| test.last.status));
    let of_tests = Exit::from(status.unwrap_or(Status::Error)) as u8;
    // A run was told what counts as a success; what stopped it matters if nobody has the rest.
    let counts =
        |code: &u8| *code > Exit::Skip as u8 && (incomplete || *code <= Exit::Timeout as u8);
    let told = runs().filter_map(|run| run.exit_code).filter(counts);
    let least = if incomplete { Exit::Error as u8 } else { 0 };
    run.exit_code = told.chain([of_tests, least]).max();
    run
}

/// The runs in a file: what was merged before stays what it is made of.
fn parts(source: &Source) -> Vec<Part> {
    let Document { run, parts, .. } = &source.document;
    if !parts.is_empty() {
        return parts.clone();
    }
    vec![Part {
        file: source.file.clone(),
        started: run.started.clone(),
        host: run.host.name.clone(),
        command: run.command.clone(),
        partition: run.partition.clone(),
        exit_code: run.exit_code,
    }]
}

/// What is known of the outcomes. It is stale if it is so everywhere.
fn expectations(sources: &[Source]) -> Vec<AppliedExpectation> {
    let mut all: Vec<AppliedExpectation> = Vec::new();
    for one in sources.iter().flat_map(|source| &source.document.expectations) {
        let same = |other: &&mut AppliedExpectation| {
            (&other.source, &other.test, &other.reason) == (&one.source, &one.test, &one.reason)
        };
        match all.iter_mut().find(same) {
            Some(known) => {
                known.known = known.known.saturating_add(one.known);
                known.news = known.news.saturating_add(one.news);
                known.stale &= one.stale;
            }
            None => all.push(one.clone()),
        }
    }
    all
}

/// In the order of the runs: what one has between two tests stays there.
fn sort(document: &mut Document, sources: &[Source]) {
    let rows = order(sources.iter().map(|source| source.document.rows()));
    let rows: HashMap<&str, usize> = rows.into_iter().zip(0..).collect();
    let columns: Vec<_> =
        document.columns().into_iter().map(|(xen, place)| (xen.to_owned(), place)).collect();
    let column = |unit: &Unit| {
        columns.iter().position(|(xen, place)| (xen, place) == (&unit.xen, &unit.environment))
    };
    let key = |unit: &Unit| (column(unit), rows.get(unit.test.as_str()));
    document.tests.sort_by_cached_key(|test| key(&test.unit));
    document.not_run.sort_by_cached_key(key);
}

/// One list of all `lists`: what is new in one stands behind what is in front of it there.
fn order<'r>(lists: impl Iterator<Item = Vec<&'r str>>) -> Vec<&'r str> {
    // Which row follows; none is in front of all. So nothing moves where one comes between.
    let mut next: HashMap<Option<&str>, Option<&str>> = HashMap::new();
    for list in lists {
        let mut before = None;
        for row in list {
            if !next.contains_key(&Some(row)) {
                let behind = next.insert(before, Some(row)).flatten();
                next.insert(Some(row), behind);
            }
            before = Some(row);
        }
    }
    let behind = |row: Option<&str>| next.get(&row).copied().flatten();
    iter::successors(behind(None), |row| behind(Some(row))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::sample;

    /// A share of the sample: what `--partition` would leave of it.
    fn share(number: usize, of: usize) -> Source {
        let mut document = sample::whole();
        document.run.partition = Some(format!("count:{number}/{of}"));
        document.run.started = format!("2026-01-0{number}T03:04:05+00:00");
        let all: Vec<Unit> = document.tests.iter().map(|test| test.unit.clone()).collect();
        let mine = |unit: &Unit| {
            let place = all.iter().position(|other| other == unit).unwrap();
            place % of == number - 1
        };
        document.tests.retain(|test| mine(&test.unit));
        Source { file: format!("{number}.json").into(), document }
    }

    #[test]
    fn shares_make_the_whole() {
        let whole = sample::whole();
        for of in 1..=4 {
            let shares: Vec<Source> = (1..=of).map(|number| share(number, of)).collect();
            let (merged, remarks) = merge(&shares);
            assert_eq!(remarks, []);
            assert!(merged.complete && merged.not_run.is_empty());
            assert_eq!(merged.run.exit_code, whole.run.exit_code);
            assert_eq!(merged.tests.len(), whole.tests.len());
            assert_eq!(merged.case_counts(), whole.case_counts());
            for test in &whole.tests {
                let own = merged.tests.iter().find(|own| own.unit == test.unit).unwrap();
                let cases = |test: &Test| test.last.cases.clone();
                assert_eq!((own.last.status, cases(own)), (test.last.status, cases(test)));
                // Its boot is the one of its own run.
                let logs = whole.logs_of(test.last.boot).unwrap();
                assert_eq!(merged.logs_of(own.last.boot), Some(logs));
            }
            assert_eq!(merged.parts.len(), of);
        }
    }

    #[test]
    fn rows_stay_between_those_that_they_were_between() {
        for (lists, all) in [
            (vec![vec!["a", "b", "c"]], "a b c"),
            (vec![vec!["a", "c"], vec!["a", "b", "c"]], "a b c"),
            (vec![vec!["b"], vec!["a", "b"]], "a b"),
            (vec![vec!["b"], vec!["a"]], "a b"),
            (vec![vec!["a", "d"], vec!["d", "e"], vec!["a", "b", "c"]], "a b c d e"),
            (vec![vec!["a", "b", "c"], vec!["c", "x", "a", "y"]], "a y b c x"),
            (vec![vec![""], vec!["a", ""]], "a "),
        ] {
            assert_eq!(order(lists.clone().into_iter()).join(" "), all, "{lists:?}");
        }
        assert!(order(iter::empty()).is_empty());
    }

    #[test]
    fn what_began_last_is_told_on_any_clock() {
        let (mut one, mut other) = (share(1, 1), share(1, 1));
        (one.file, other.file) = ("one.json".into(), "other.json".into());
        // Two hours apart, and an hour the other way round by the clocks of their hosts.
        one.document.run.started = "2026-01-01T10:00:00+02:00".into();
        other.document.run.started = "2026-01-01T09:00:00-01:00".into();
        for sources in [[one.clone(), other.clone()], [other, one]] {
            let (merged, remarks) = merge(&sources);
            assert_eq!(merged.run.started, "2026-01-01T10:00:00+02:00");
            let last = |remark: &Remark| matches!(remark, Remark::Overlap(.., file) if file.ends_with("other.json"));
            assert!(remarks.iter().all(last), "{remarks:?}");
        }
    }

    #[test]
    fn one_name_of_two_builds_is_told() {
        let (one, mut other) = (share(1, 2), share(2, 2));
        for boot in other.document.boots.iter_mut().filter(|boot| boot.xen == "4.17") {
            boot.build_id = Some("ff".into());
        }
        let (_, remarks) = merge(&[one, other]);
        let told: Vec<String> = remarks.iter().map(Remark::to_string).collect();
        assert_eq!(told, ["4.17 of 1.json and 4.17 of 2.json are different builds"]);
    }

    /// As a damaged document may have them.
    #[test]
    fn absurd_numbers_are_taken() {
        let mut odd = share(1, 1);
        odd.document.run.partition = Some("count:1/18446744073709551615".into());
        odd.document.boots.iter_mut().for_each(|boot| boot.number = usize::MAX);
        odd.document.tests.iter_mut().for_each(|test| test.last.boot = usize::MAX);
        for known in &mut odd.document.expectations {
            (known.known, known.news) = (usize::MAX, usize::MAX);
        }
        assert!(!odd.document.expectations.is_empty());
        let (merged, _) = merge(&[odd.clone(), odd]);
        assert_eq!(merged.tests.len(), share(1, 1).document.tests.len());
    }

    #[test]
    fn a_share_that_is_not_there_is_named() {
        let (merged, remarks) = merge(&[share(1, 4), share(4, 4)]);
        let told: Vec<String> = remarks.iter().map(Remark::to_string).collect();
        let gap = "gap: no file has the share count:";
        assert_eq!(told, [format!("{gap}2/4"), format!("{gap}3/4")]);
        assert!(!merged.complete);
        let because = merged.incomplete_because.unwrap();
        assert_eq!(because, "no file has the share count:2/4, count:3/4");
        assert!(merged.run.exit_code.unwrap() >= 4);
    }

    #[test]
    fn of_two_results_the_worse_one_counts() {
        let (mut one, mut other) = (share(1, 1), share(1, 1));
        for source in [&mut one, &mut other] {
            source.document.tests.truncate(3);
            source.document.run.partition = None;
            for test in &mut source.document.tests {
                test.last.status = Status::Success;
            }
        }
        other.file = "other.json".into();
        other.document.run.started = "2026-01-09T00:00:00+00:00".into();
        one.document.tests[0].last.status = Status::Failure;
        other.document.tests[1].last.status = Status::Crash;
        let (merged, remarks) = merge(&[one.clone(), other.clone()]);
        let statuses: Vec<Status> = merged.tests.iter().map(|test| test.last.status).collect();
        assert_eq!(statuses, [Status::Failure, Status::Crash, Status::Success]);
        let counting: Vec<_> = remarks
            .iter()
            .map(|remark| match remark {
                Remark::Overlap(.., counts) => counts.display().to_string(),
                other => panic!("{other}"),
            })
            .collect();
        assert_eq!(counting, ["1.json", "other.json", "other.json"]);
        // Whichever comes first.
        let (again, _) = merge(&[other, one]);
        let statuses: Vec<Status> = again.tests.iter().map(|test| test.last.status).collect();
        assert_eq!(statuses, [Status::Failure, Status::Crash, Status::Success]);
    }

    #[test]
    fn what_one_run_did_not_come_to_another_may_have() {
        let (whole, stopped) = (sample::whole(), sample::stopped());
        assert!(!stopped.not_run.is_empty());
        let source = |file: &str, document| Source { file: file.into(), document };
        let (merged, _) =
            merge(&[source("stopped.json", stopped.clone()), source("w.json", whole)]);
        assert!(merged.complete && merged.not_run.is_empty());
        assert_eq!(merged.run.exit_code, sample::whole().run.exit_code);
        let (alone, _) = merge(&[source("stopped.json", stopped.clone())]);
        assert!(!alone.complete);
        assert_eq!(alone.not_run, stopped.not_run);
    }
}

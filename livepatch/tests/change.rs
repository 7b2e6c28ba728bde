//! The table of changes, and the questions that find out about them.

use std::collections::BTreeSet;

use xtf_livepatch::Errno;
use xtf_livepatch::abi::{Revision, SysctlVersion};
use xtf_livepatch::change::probe::{BY_CALLS, questions};
use xtf_livepatch::change::{Change, Changes, Evidence, Findings, Release};
use xtf_livepatch::model::{Facts, Model};
use xtf_livepatch::payload::{FuncVersion, Target};
use xtf_livepatch::program::parse;

const BUILD_ID: [u8; 20] = [0x5a; 20];

/// Every branch, at its first and at its last release.
fn releases() -> Vec<(Release, SysctlVersion)> {
    let branches = [
        (8, 5, 0x0e),
        (9, 4, 0x0f),
        (10, 4, 0x10),
        (11, 4, 0x11),
        (12, 4, 0x12),
        (13, 5, 0x12),
        (14, 6, 0x13),
        (15, 7, 0x13),
        (16, 7, 0x14),
        (17, 7, 0x15),
        (18, 6, 0x15),
        (19, 6, 0x15),
        (20, 4, 0x15),
        (21, 2, 0x16),
        (22, 0, 0x16),
    ];
    let both = |(minor, last, version)| {
        [0, last].map(|point| (Release::four(minor, point), SysctlVersion(version)))
    };
    branches.into_iter().flat_map(both).collect()
}

#[test]
fn the_table_is_in_order() {
    for (index, entry) in Change::TABLE.iter().enumerate() {
        let name = entry.name;
        assert_eq!(entry.change as usize, index, "{name}");
        assert_eq!(Change::named(name), Some(entry.change));
        let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(name.chars().all(kebab), "{name}");
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        assert!(entry.commit.len() == 10 && entry.commit.chars().all(hex), "{name}");
        assert!(entry.text.ends_with('.') && !entry.text.starts_with(' '), "{name}");
        assert!(entry.backports.is_sorted(), "{name}: {:?}", entry.backports);
        for port in entry.backports {
            assert!(*port < entry.first && port.point > 0, "{name}: {port}");
        }
        let branches: BTreeSet<u16> = entry.backports.iter().map(|port| port.minor).collect();
        assert_eq!(branches.len(), entry.backports.len(), "{name}: a branch twice");
    }
    assert!(Change::TABLE.is_sorted_by_key(|entry| entry.first), "the oldest comes first");
    let names: BTreeSet<_> = Change::TABLE.iter().map(|entry| entry.name).collect();
    let commits: BTreeSet<_> = Change::TABLE.iter().map(|entry| entry.commit).collect();
    assert_eq!([names.len(), commits.len()], [Change::TABLE.len(); 2]);
}

#[test]
fn every_change_is_asked_for_or_says_why_not() {
    let target = Target::new(Revision::V2, BUILD_ID);
    let mut asked: BTreeSet<Change> = questions(&target).iter().map(|q| q.change).collect();
    asked.extend(BY_CALLS);
    for entry in Change::TABLE {
        match entry.evidence {
            Evidence::Observed => assert!(asked.remove(&entry.change), "{} is not", entry.name),
            Evidence::With(other) => {
                let other = other.entry();
                assert_eq!(other.evidence, Evidence::Observed, "{}", entry.name);
                let releases = (entry.first, entry.backports);
                assert_eq!(releases, (other.first, other.backports), "{}", entry.name);
            }
            Evidence::Release(why) => assert!(!why.is_empty(), "{}", entry.name),
        }
    }
    assert!(asked.is_empty(), "asked for nothing: {asked:?}");
}

#[test]
fn backports_count_on_their_own_branch() {
    let has = |minor, point, change| Changes::of(Release::four(minor, point)).has(change);
    for (minor, point, expected) in [
        (14, 4, false),
        (14, 5, true),
        (15, 0, false),
        (15, 2, false),
        (15, 3, true),
        (16, 0, false),
        (16, 7, true),
        (17, 0, true),
        (22, 0, true),
    ] {
        assert_eq!(has(minor, point, Change::EndbrJump), expected, "4.{minor}.{point}");
    }
    assert!(has(13, 1, Change::ActionAtOnce) && !has(13, 0, Change::ActionAtOnce));
    assert!(has(18, 1, Change::LargeText) && !has(16, 7, Change::LargeText));
}

/// Questions whose answer the model can't tell: of Xen's symbols and places it knows only those that
/// programs name.
const BEYOND_THE_MODEL: [Change; 4] = [
    Change::KnownSymbols,
    Change::SymbolPaths,
    Change::ProtectedPatching,
    Change::AlternativePlaces,
];

/// What the model answers to an UPLOAD of `file`.
fn answer(facts: &Facts, file: &[u8]) -> Option<Result<(), Errno>> {
    let step = parse("upload \"p\" id=0 func=extra").unwrap().steps.remove(0);
    let answer = Model::new(facts.clone(), 1).step(&step, file).ok()?.answer()?;
    Some(if answer == 0 { Ok(()) } else { Err(Errno(answer.unsigned_abs() as u16)) })
}

#[test]
fn the_model_answers_each_question_as_the_release_would() {
    let mut beyond = BTreeSet::new();
    for (release, version) in releases() {
        let revision = Revision::for_version(version).unwrap().revision;
        let changes = Changes::of(release);
        let facts = Facts {
            release,
            changes,
            version,
            revision,
            pv: true,
            build_id: BUILD_ID.to_vec(),
            extra_version: ".0".into(),
            endbr: Some(false),
        };
        let second = changes.has(Change::FunctionVersion2);
        let func_version = if second { FuncVersion::V2 } else { FuncVersion::V1 };
        let target = Target { func_version, xen_build_id: BUILD_ID.to_vec() };
        for question in questions(&target) {
            let has = changes.has(question.change);
            let expected = if has { question.present } else { question.absent };
            let answer = answer(&facts, &question.file);
            if BEYOND_THE_MODEL.contains(&question.change) {
                beyond.extend((answer != Some(expected)).then_some(question.change));
                continue;
            }
            // What an odd alignment leads to before c3f951417f, and a pointer to nowhere before
            // 9120b5737f, the model does not follow.
            if answer.is_none() && !has {
                continue;
            }
            assert_eq!(answer, Some(expected), "{} on {release}", question.change);
        }
    }
    assert_eq!(
        beyond,
        BTreeSet::from(BEYOND_THE_MODEL),
        "what the model can tell is not beyond it"
    );
}

#[test]
fn what_is_observed_counts_most_and_the_release_least() {
    let of = |minor| Findings::of(Release::four(minor, 0));
    let mut xen = of(17);
    assert!(xen.has(Change::EndbrJump) && !xen.has(Change::OpFlags));
    xen.state(Change::OpFlags, true);
    assert!(xen.has(Change::OpFlags) && xen.expects(Change::OpFlags));
    xen.observe(Change::OpFlags, false);
    assert!(!xen.has(Change::OpFlags) && xen.expects(Change::OpFlags));
    assert_eq!(
        (xen.observed(Change::OpFlags), xen.stated(Change::OpFlags)),
        (Some(false), Some(true))
    );
    // Companions are seen together, unless somebody says otherwise.
    xen.observe(Change::EndbrJump, false);
    assert!(!xen.has(Change::EndbrNop) && xen.expects(Change::EndbrNop));
    xen.state(Change::EndbrNop, true);
    assert!(xen.has(Change::EndbrNop));
    assert_eq!(of(20).changes(), Changes::of(Release::four(20, 0)));
}

#[test]
fn questions_are_small_and_have_two_answers() {
    let target = Target::new(Revision::V2Sized, BUILD_ID);
    for question in questions(&target) {
        assert!(question.file.len() < 8 << 10, "{}", question.change);
        assert_ne!(question.present, question.absent, "{}", question.change);
    }
}

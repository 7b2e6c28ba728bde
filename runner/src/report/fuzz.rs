//! Documents that somebody else wrote, or damaged: read, merged, compared and reported.

use std::path::Path;

use super::{Form, told};
use crate::base::output::json;
use crate::fuzzing::{Target, peak_of};
use crate::results::compare::{Times, compare};
use crate::results::merge::{Source, merge};
use crate::results::{Document, sample};

const WORDS: &[&str] = &[
    "18446744073709551615",
    "-1",
    "1e308",
    "-1.5",
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "\"\\u0000\\u001b\"",
    "\"pv64\"",
    "\"TIMEOUT\"",
    "\"partition\": \"count:1/18446744073709551615\",",
    "\"partition\": \"hash:1/2\",",
    "\"schema\": \"xtf-rs/1\",",
];

#[test]
fn fuzz_results() {
    let mut small = sample::whole();
    small.tests.truncate(4);
    small.boots.truncate(2);
    let samples = [small, sample::stopped(), sample::not_started()];
    Target {
        name: "results",
        run: check,
        seeds: samples.iter().map(|sample| json(sample).unwrap().into_bytes()).collect(),
        words: WORDS,
        longest: 1 << 16,
        mutants: 100,
    }
    .test();
}

fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let document = match Document::parse(&text) {
        Ok(document) => document,
        Err((line, _)) => return assert!(line <= text.lines().count().max(1) + 1, "{line}"),
    };
    let ((), peak) = peak_of(|| use_it(&document));
    assert!(peak < (8 << 20) + 200 * bytes.len(), "{peak} bytes for {}", bytes.len());
}

fn use_it(document: &Document) {
    let again = Document::parse(&json(document).unwrap());
    assert_eq!(again.as_ref(), Ok(document));
    let source =
        |file: &str, document: &Document| Source { file: file.into(), document: document.clone() };
    let both = [source("a.json", document), source("b.json", &sample::stopped())];
    let (merged, _) = merge(&both);
    let worst = |document: &Document| document.tests.iter().map(|test| test.last.status).max();
    let (mine, others) = (worst(document), worst(&both[1].document));
    assert!(worst(&merged).is_none_or(|worst| Some(worst) <= mine.max(others)));
    merge(&[both[1].clone(), both[0].clone(), both[0].clone()]);

    let times = Times { factor: 2.0, floor: 1.0, regress: true };
    for (old, new) in [(document, &merged), (&merged, document)] {
        let diff = compare(old.clone(), new, &[], times).unwrap();
        told(&diff, usize::MAX);
        json(&diff).unwrap();
    }
    for form in Form::ALL {
        form.text(document, None, Path::new("/x")).unwrap();
    }
    crate::report::Display::new(Vec::new(), false, std::time::Duration::ZERO, false)
        .summary(document, None);
}

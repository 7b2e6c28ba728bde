//! Gives mutants to a target.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use livepatch::program::Rng;

use super::coverage::Coverage;
use super::cpu::cpu_time;
use super::{Target, seed_of};

/// No input may take longer. They are short, and this is far beyond what any of them takes.
const SLOW: Duration = Duration::from_millis(500);
/// How often a search says how far it is.
const REPORT: Duration = Duration::from_secs(10);

thread_local! {
    /// Where and why the target panicked.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Gives it the seeds, and some mutants of them.
pub fn try_some(target: &Target) {
    let mut rng = Rng::new(1);
    let mutants = (0..target.mutants).map(|_| mutant(target, &target.seeds, &mut rng));
    for input in target.seeds.iter().cloned().chain(mutants) {
        let done = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
        assert!(done.is_ok(), "{} panics for {:?}", target.name, String::from_utf8_lossy(&input));
    }
}

fn mutant(target: &Target, corpus: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let pick = |from: usize, rng: &mut Rng| {
        let range = u32::try_from(corpus.len() - from).unwrap();
        corpus.get(from + rng.below(range.max(1)) as usize).cloned().unwrap_or_default()
    };
    // What was found last has not been tried often.
    let recent = corpus.len().saturating_sub(if rng.one_in(2) { corpus.len() } else { 16 });
    let mut bytes = pick(recent, rng);
    let mut other = pick(0, rng);
    // Of short ones, more can be tried.
    if other.len() < bytes.len() && !rng.one_in(4) {
        std::mem::swap(&mut bytes, &mut other);
    }
    super::mutate::mutate(&mut bytes, target.words, &other, target.longest, rng);
    bytes
}

/// Looks for inputs that break a promise, for so long. Files them in `fuzz-findings/host`, and the one
/// under way as well, for a death that cannot be caught.
pub fn search(target: &Target, time: Duration) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz-findings/host");
    fs::create_dir_all(&folder).unwrap();
    let under_way = folder.join(format!("{}.under-way", target.name));
    let mut search = Search {
        target,
        corpus: Vec::new(),
        coverage: Coverage::default(),
        under_way: File::create(&under_way).unwrap(),
        folder,
        findings: BTreeSet::new(),
        inputs: 0,
    };
    if !Coverage::is_counted() {
        eprintln!("{}: nothing is counted, so all mutants are those of the seeds", target.name);
    }
    let hook = take_hook();
    set_hook(Box::new(|info| PANIC.with_borrow_mut(|panic| *panic = info.to_string())));
    search.run(time);
    set_hook(hook);
    let Search { inputs, findings, coverage, corpus, .. } = &search;
    let places = coverage.places();
    println!(
        "{}: {inputs} inputs, {} kept, {places} places, {} findings",
        target.name,
        corpus.len(),
        findings.len()
    );
    fs::remove_file(under_way).unwrap();
    assert!(findings.is_empty(), "{findings:#?}");
}

struct Search<'t> {
    target: &'t Target,
    corpus: Vec<Vec<u8>>,
    coverage: Coverage,
    under_way: File,
    folder: PathBuf,
    /// Each once: where and how.
    findings: BTreeSet<String>,
    inputs: u64,
}

impl Search<'_> {
    fn run(&mut self, time: Duration) {
        let start = Instant::now();
        for seed in &self.target.seeds {
            self.give(seed.clone());
        }
        if self.corpus.is_empty() {
            self.corpus.clone_from(&self.target.seeds);
        }
        let mut rng = Rng::new(u64::from(std::process::id()));
        let mut told = Instant::now();
        while start.elapsed() < time {
            let input = mutant(self.target, &self.corpus, &mut rng);
            self.give(input);
            if told.elapsed() >= REPORT {
                told = Instant::now();
                let (inputs, kept) = (self.inputs, self.corpus.len());
                let places = self.coverage.places();
                println!(
                    "{} s: {inputs} inputs, {kept} kept, {places} places",
                    start.elapsed().as_secs()
                );
            }
        }
    }

    fn give(&mut self, input: Vec<u8>) {
        self.inputs += 1;
        self.under_way.set_len(0).unwrap();
        self.under_way.write_all_at(&input, 0).unwrap();
        self.coverage.begin();
        let target = self.target.run;
        let mut done = Ok(());
        let mut run = || cpu_time(|| done = catch_unwind(AssertUnwindSafe(|| target(&input))));
        // Once more for the cache's sake.
        let slow = run() > SLOW && run() > SLOW;
        let new = self.coverage.is_new();
        let panic = PANIC.take();
        let why = match done {
            Err(_) => kind(&panic),
            Ok(()) if slow => "it takes long".to_owned(),
            Ok(()) if new => return self.corpus.push(input),
            Ok(()) => return,
        };
        if self.findings.insert(why) {
            let name = format!("{}-{:016x}", self.target.name, seed_of(&input));
            let file = self.folder.join(name);
            fs::write(&file, &input).unwrap();
            println!("{}: {}", file.display(), if slow { "it takes long" } else { &panic });
        }
    }
}

/// The place of a panic, and its words without their numbers.
fn kind(panic: &str) -> String {
    let (place, words) = panic.split_once('\n').unwrap_or((panic, ""));
    let words: String = words.chars().filter(|c| !c.is_ascii_digit()).take(100).collect();
    format!("{place} {words}")
}

//! Hypervisors of words, which end of some of them.

use std::fs;

use super::*;

fn scope(words: &str) -> Scope {
    words.split_whitespace().map(str::to_owned).collect()
}

/// A hypervisor that ends of certain words, in certain places.
fn oracle(words: &str) -> Option<&'static str> {
    let has = |word| words.split_whitespace().any(|other| other == word);
    match () {
        () if has("red") && has("round") => Some("ball"),
        () if has("blue") => Some("sky"),
        () => None,
    }
}

struct Run {
    learned: Learned,
    deaths: usize,
    skipped: usize,
}

impl Run {
    fn new() -> Run {
        Run { learned: Learned::new(1, Vec::new()), deaths: 0, skipped: 0 }
    }

    /// Performs what a fuzzer would.
    fn perform(&mut self, words: &str, place: Option<&str>) {
        let seen = self.learned.see(&[scope(words)]);
        match (self.learned.advise(&seen), place) {
            (Advice::Skip, _) => self.skipped += 1,
            (_, None) => self.learned.lived(&seen, &Reach::default()),
            (Advice::Try, Some(_)) => {
                self.deaths += 1;
                self.learned.died_as_expected(&seen);
            }
            (Advice::Perform, Some(place)) => {
                self.deaths += 1;
                let suspect = self.learned.suspect(&seen, &Reach::default());
                if !self.learned.explains(suspect, place, &seen, &Reach::default()) {
                    self.learned.learn(suspect, place, &seen, &Reach::default());
                }
            }
        }
    }

    fn lessons(&self) -> Vec<(String, Vec<&str>)> {
        let mut all: Vec<_> = self
            .learned
            .lessons
            .iter()
            .map(|lesson| {
                let names = lesson.features.iter().map(|&id| &*self.learned.names[id as usize]);
                let mut names: Vec<&str> = names.collect();
                names.sort_unstable();
                (lesson.place.clone(), names)
            })
            .collect();
        all.sort();
        all
    }
}

/// Every combination of a colour, a shape and a size, over and over.
fn noise(run: &mut Run, rounds: u64) {
    let mut rng = Rng::new(3);
    for _ in 0..rounds {
        let colour = rng.pick(&["red", "green", "blue", "white"]);
        let shape = rng.pick(&["round", "square", "flat"]);
        let size = rng.pick(&["big", "small"]);
        let words = format!("{colour} {shape} {size}");
        run.perform(&words, oracle(&words));
    }
}

#[test]
fn what_ends_it_is_learned_and_left_out() {
    let mut run = Run::new();
    noise(&mut run, 2000);
    assert_eq!(
        run.lessons(),
        [("ball".into(), vec!["red", "round"]), ("sky".into(), vec!["blue"])]
    );
    assert!(run.deaths < 30, "{} deaths", run.deaths);
    assert!(run.skipped > 500, "{} skipped", run.skipped);
    assert!(run.learned.tried > 0 && run.learned.tried < 20, "{} tried", run.learned.tried);
}

#[test]
fn a_second_run_begins_with_what_the_first_has_learned() {
    let dir = tempfile::tempdir().unwrap();
    let file = LessonFile::of(dir.path(), "00ff");
    let mut first = Run::new();
    noise(&mut first, 2000);
    first.learned.share(&file).unwrap();
    let text = fs::read_to_string(dir.path().join("learned-00ff.toml")).unwrap();
    assert!(text.contains("place = \"ball\"") && text.contains("\"round\""), "{text}");

    let mut second = Run::new();
    second.learned.share(&file).unwrap();
    assert_eq!(second.lessons(), first.lessons());
    noise(&mut second, 2000);
    assert!(second.deaths * 4 <= first.deaths, "{} of {}", second.deaths, first.deaths);
    // Two that work at the same time tell each other.
    second.learned.share(&file).unwrap();
    first.learned.share(&file).unwrap();
    assert_eq!(first.lessons(), second.lessons());

    file.forget().unwrap();
    let mut third = Run::new();
    third.learned.share(&file).unwrap();
    assert_eq!(third.learned.count(), 0);
    file.forget().unwrap();
    file.forget().unwrap();
}

#[test]
fn a_wrong_lesson_is_narrowed() {
    let mut run = Run::new();
    // All that is known points to the colour.
    run.perform("white flat", None);
    run.perform("red round hot", Some("ball"));
    run.perform("red round cold", Some("ball"));
    assert_eq!(run.lessons(), [("ball".into(), vec!["round"])]);
    run.perform("green round", None);
    let seen = run.learned.see(&[scope("red round")]);
    let before = run.learned.advise(&seen);
    assert_eq!(before, Advice::Skip);
    run.learned.lived(&seen, &Reach::default());
    // What the one that has died had besides.
    assert_eq!(run.lessons(), [("ball".into(), vec!["hot"])]);
    assert_eq!(run.learned.advise(&seen), Advice::Perform);
    let seen = run.learned.see(&[scope("red round hot")]);
    run.learned.lived(&seen, &Reach::default());
    assert_eq!(run.lessons(), []);

    let mut run = Run::new();
    run.perform("white flat", None);
    run.perform("red square", None);
    run.perform("round hot red", Some("ball"));
    assert_eq!(run.lessons(), [("ball".into(), vec!["round"])]);
    let seen = run.learned.see(&[scope("hot round")]);
    run.learned.lived(&seen, &Reach::default());
    assert_eq!(run.lessons(), [("ball".into(), vec!["red", "round"])]);
}

#[test]
fn two_places_are_two_lessons_and_two_causes_in_one_place_are_too() {
    let mut run = Run::new();
    for words in ["a x", "b x", "c x", "d x", "e x", "f x", "a y", "b y"] {
        run.perform(words, None);
    }
    run.perform("a k x", Some("here"));
    run.perform("b l y", Some("there"));
    run.perform("c m x", Some("here"));
    assert_eq!(run.learned.count(), 3);
    assert_eq!(
        run.lessons(),
        [("here".into(), vec!["k"]), ("here".into(), vec!["m"]), ("there".into(), vec!["l"])]
    );
}

#[test]
fn a_suspect_keeps_its_like_from_being_tried_until_it_is_acquitted() {
    let mut run = Run::new();
    run.perform("a", None);
    let seen = run.learned.see(&[scope("a strange")]);
    let suspect = run.learned.suspect(&seen, &Reach::default());
    assert_eq!(run.learned.advise(&seen), Advice::Skip);
    let other = run.learned.see(&[scope("a b")]);
    assert_eq!(run.learned.advise(&other), Advice::Perform);
    run.learned.acquit(suspect);
    assert_eq!(run.learned.advise(&seen), Advice::Perform);
}

#[test]
fn what_ends_it_anywhere_now_and_then_is_a_lesson_too() {
    let mut run = Run::new();
    let mut rng = Rng::new(5);
    for round in 0..10_000 {
        let words = if rng.one_in(40) { "code harm" } else { "code" };
        let place = format!("place {round}");
        let dies = words.ends_with("harm") && rng.one_in(3);
        run.perform(words, dies.then_some(&*place));
    }
    assert_eq!(run.lessons(), [(ANYWHERE.into(), vec!["harm"])]);
    assert!(run.deaths < 40, "{} deaths", run.deaths);
}

#[test]
fn a_damaged_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = LessonFile::of(dir.path(), "00ff");
    fs::write(dir.path().join("learned-00ff.toml"), "[[lesson]]\nplace = 1\n").unwrap();
    let error = Learned::new(1, Vec::new()).share(&file).unwrap_err().to_string();
    assert!(error.contains("learned-00ff.toml") && error.contains("--forget"), "{error}");
}

#[test]
fn a_lesson_of_several_deaths_takes_some_survivors() {
    let mut learned = Learned::new(1, Vec::new());
    let plain = learned.see(&[scope("plain")]);
    learned.lived(&plain, &Reach::default());
    // Two that ended Xen before anybody knew why.
    let killers = ["red round", "red square"].map(|words| learned.see(&[scope(words)]));
    for killer in &killers {
        let suspect = learned.suspect(killer, &Reach::default());
        learned.learn(suspect, "ball", killer, &Reach::default());
    }
    let other = learned.see(&[scope("red flat")]);
    for _ in 0..grace(2) {
        learned.lived(&other, &Reach::default());
        assert_eq!(learned.advise(&killers[0]), Advice::Skip);
    }
    learned.lived(&other, &Reach::default());
    assert_eq!(learned.count(), 0);
}

#[test]
fn lessons_with_a_common_cause_become_one() {
    let mut learned = Learned::new(1, Vec::new());
    for words in ["plain", "flat", "round", "square"] {
        let seen = learned.see(&[scope(words)]);
        learned.lived(&seen, &Reach::default());
    }
    for (words, place) in [("red flat a", "ball"), ("red round b", "ball"), ("red flat c", "sky")] {
        let killer = learned.see(&[scope(words)]);
        let shared = killer.0[0].clone();
        learned.lessons.push(Lesson::new(place, shared.ids.clone(), shared, Reach::default()));
    }
    learned.survived = ENOUGH;
    learned.refine();
    let red = learned.id("red");
    assert_eq!(learned.count(), 2);
    assert_eq!((&learned.lessons[0].features, learned.lessons[0].killers), (&vec![red], 2));
    assert!(!learned.wrong.is_empty(), "what was known before may come back");
}

/// Blocks of a hypervisor that refuses what is cold before it comes to the deadly block 2.
fn reach(words: &str) -> Reach {
    let far = if words.contains("cold") { 2 } else { 3 };
    (0..far).collect()
}

#[test]
fn what_xen_refuses_before_the_deadly_code_says_nothing() {
    let mut learned = Learned::new(1, ["a", "b", "c"].map(String::from).to_vec());
    for words in ["white flat", "red flat cold", "red round cold", "white round"] {
        let seen = learned.see(&[scope(words)]);
        learned.advise(&seen);
        learned.lived(&seen, &reach(words));
    }
    let words = "red flat hot";
    let killer = learned.see(&[scope(words)]);
    let suspect = learned.suspect(&killer, &reach(words));
    // Any of it may have been the cause, but what others have survived there.
    for (words, advice) in [("red square", Advice::Skip), ("white flat", Advice::Perform)] {
        let seen = learned.see(&[scope(words)]);
        assert_eq!(learned.advise(&seen), advice, "{words}");
    }
    let small = learned.see(&[scope("red flat")]);
    assert!(learned.learn(suspect, "ball", &small, &reach(words)));
    let dir = tempfile::tempdir().unwrap();
    let file = LessonFile::of(dir.path(), "00ff");
    learned.share(&file).unwrap();
    let text = fs::read_to_string(dir.path().join("learned-00ff.toml")).unwrap();
    assert!(text.contains("features = [\"red\"]") && text.contains("\"c\","), "{text}");
    // The next run knows how far a program has to come to refute it.
    let mut next = Learned::new(1, ["a", "b", "c"].map(String::from).to_vec());
    next.share(&file).unwrap();
    let seen = next.see(&[scope("red round")]);
    next.lived(&seen, &reach("cold"));
    assert_eq!(next.advise(&seen), Advice::Skip);
    next.lived(&seen, &reach("hot"));
    assert_eq!(next.advise(&seen), Advice::Perform);
}

#[test]
fn of_several_payloads_nobody_knows_which_one_came_far() {
    let mut learned = Learned::new(1, Vec::new());
    let mut see =
        |payloads: &[&str]| learned.see(&payloads.iter().map(|w| scope(w)).collect::<Vec<_>>());
    let (killer, two) = (see(&["red"]), see(&["red cold", "green"]));
    let suspect = learned.suspect(&killer, &reach("hot"));
    learned.lived(&two, &reach("hot"));
    assert!(learned.suspects(&killer));
    assert!(learned.learn(suspect, "ball", &killer, &reach("hot")));
    learned.lived(&two, &reach("hot"));
    assert_eq!(learned.advise(&two), Advice::Skip);
    // One alone is a survivor that came as far.
    let one = learned.see(&[scope("red")]);
    learned.lived(&one, &reach("hot"));
    assert_eq!(learned.advise(&two), Advice::Perform);
}

#[test]
fn of_what_nobody_survived_the_commonest_is_the_lesson() {
    let mut run = Run::new();
    run.perform("plain", None);
    for words in ["bad bad-field bad-field-small", "bad bad-other"] {
        let seen = run.learned.see(&[scope(words)]);
        run.learned.advise(&seen);
    }
    run.perform("plain bad bad-field bad-field-small", Some("here"));
    assert_eq!(run.lessons(), [("here".into(), vec!["bad"])]);
}

#[test]
fn a_lesson_leaves_out_few_of_those_that_survive() {
    let mut learned = Learned::new(1, Vec::new());
    let far: Reach = [0, 1].into_iter().collect();
    let near: Reach = [0].into_iter().collect();
    for number in 0..100 {
        let seen = learned.see(&[scope(&format!("often number-{number}"))]);
        learned.lived(&seen, &near);
    }
    let killer = learned.see(&[scope("often number-7")]);
    let suspect = learned.suspect(&killer, &far);
    assert!(learned.learn(suspect, "here", &killer, &far));
    let advice = |learned: &mut Learned, words: &str| {
        let seen = learned.see(&[scope(words)]);
        learned.advise(&seen)
    };
    assert_eq!(advice(&mut learned, "often number-8"), Advice::Perform);
    assert_eq!(advice(&mut learned, "often number-7"), Advice::Skip);
}

#[test]
fn after_a_try_that_ended_xen_there_is_none_for_a_while_and_then_for_longer() {
    let mut learned = Learned::new(1, Vec::new());
    let killer = learned.see(&[scope("red")]);
    let suspect = learned.suspect(&killer, &Reach::default());
    learned.learn(suspect, "ball", &killer, &Reach::default());
    let tries = |learned: &mut Learned| {
        (0..10_000).filter(|_| learned.advise(&killer) == Advice::Try).count()
    };
    let plain = learned.see(&[scope("white")]);
    let live = |learned: &mut Learned, times: u64| {
        (0..times).for_each(|_| learned.lived(&plain, &Reach::default()));
    };
    for rest in [REST, 2 * REST] {
        assert!(tries(&mut learned) > 0);
        learned.died_as_expected(&killer);
        live(&mut learned, rest - 1);
        assert_eq!(tries(&mut learned), 0);
        live(&mut learned, 1);
    }
    // Once one has survived, they are tried as often as before.
    learned.lived(&killer, &Reach::default());
    learned.died_as_expected(&killer);
    live(&mut learned, REST);
    assert!(tries(&mut learned) > 0);
}

#[test]
fn a_run_that_begins_with_lessons_rests_as_long_as_the_one_before_would_have() {
    let dir = tempfile::tempdir().unwrap();
    let file = LessonFile::of(dir.path(), "00ff");
    let mut learned = Learned::new(1, Vec::new());
    let killer = learned.see(&[scope("red")]);
    let suspect = learned.suspect(&killer, &Reach::default());
    learned.learn(suspect, "ball", &killer, &Reach::default());
    learned.died_as_expected(&killer);
    learned.share(&file).unwrap();

    let mut next = Learned::new(1, Vec::new());
    next.share(&file).unwrap();
    let killer = next.see(&[scope("red")]);
    let plain = next.see(&[scope("white")]);
    for _ in 0..2 * REST {
        assert_eq!(next.advise(&killer), Advice::Skip);
        next.lived(&plain, &Reach::default());
        // What is read later changes nothing.
        if next.survived == 1 {
            next.share(&file).unwrap();
        }
    }
    assert!((0..10_000).any(|_| next.advise(&killer) == Advice::Try));
}

#[test]
fn a_program_of_the_corpus_that_ended_xen_is_not_performed_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = LessonFile::of(dir.path(), "00ff");
    let mut learned = Learned::new(1, Vec::new());
    assert_eq!(learned.advise_on_known("a.txt"), Advice::Perform);
    learned.known_died("a.txt");
    learned.share(&file).unwrap();
    let mut next = Learned::new(1, Vec::new());
    next.share(&file).unwrap();
    assert_eq!(next.advise_on_known("a.txt"), Advice::Skip);
    assert_eq!(next.advise_on_known("b.txt"), Advice::Perform);
}

//! What Xen did in each step, in its own words, and whether `payload show` foretold it.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use protocol::console::{DIAGNOSTIC, SUBTEST};
use protocol::metadata::Environment;
use protocol::programs::{
    ANSWERED, APPLY_AGAIN, PAYLOAD_TRY, PAYLOAD_TRY_SMP, PAYLOAD_UPLOAD, PERFORMED, UPLOAD,
};

use super::foretold::{EINVAL, Expected, Foretold, SUCCESS};
use crate::base::exit::{IoContext, Result};
use crate::base::plural::count;
use crate::judge::splitter::{Line, Speaker, Splitter};
use crate::judge::xen;
use crate::machine::logs::CONSOLE;
use crate::results::PayloadStep;
use crate::results::event::{Listener, RunEvent};

/// So many lines of Xen's are told of a step: a Xen that dies says more.
const QUOTED: usize = 12;
/// In these tests, what is foretold is told with the first upload.
const TELLING: [&str; 3] = [PAYLOAD_TRY, PAYLOAD_TRY_SMP, PAYLOAD_UPLOAD];

/// A boot.
struct Booted {
    number: usize,
    xen: String,
    environment: Environment,
    /// Its folder.
    logs: PathBuf,
    /// What happened in it, once it has ended.
    steps: Result<Vec<PayloadStep>>,
}

/// Passes everything on, and with it what each boot did with the payloads.
pub struct Witness<'f, L> {
    listener: L,
    foretold: &'f Foretold,
    boots: Vec<Booted>,
}

impl<'f, L: Listener> Witness<'f, L> {
    /// Passes on to `listener`.
    pub fn new(listener: L, foretold: &'f Foretold) -> Self {
        Witness { listener, foretold, boots: Vec::new() }
    }

    /// The listener, and for people what went wrong in each boot, and what was foretold.
    pub fn finish(mut self, names: &[String]) -> (L, Result<String>) {
        self.boots.sort_by_key(|boot| boot.number);
        (self.listener, text(names, self.foretold, self.boots))
    }
}

impl<L: Listener> Listener for Witness<'_, L> {
    fn event(&mut self, event: &RunEvent<'_>) {
        match event {
            RunEvent::BootStarted { boot, xen, environment, facts, .. } => {
                self.boots.push(Booted {
                    number: *boot,
                    xen: (*xen).to_owned(),
                    environment: *environment,
                    logs: facts.logs.to_owned(),
                    steps: Ok(Vec::new()),
                });
            }
            RunEvent::BootEnded { boot: number, .. } => {
                if let Some(boot) = self.boots.iter_mut().find(|boot| boot.number == *number) {
                    let console = boot.logs.join(CONSOLE);
                    let read = fs::read(&console).io("read", &console);
                    boot.steps = read.map(|console| steps(&console, &boot.xen, self.foretold));
                    if let Ok(steps) = &boot.steps {
                        self.listener.event(&RunEvent::PayloadSteps { boot: *number, steps });
                    }
                }
            }
            _ => {}
        }
        self.listener.event(event);
    }
}

fn text(names: &[String], foretold: &Foretold, boots: Vec<Booted>) -> Result<String> {
    let mut out = String::new();
    for (xen, why) in foretold.unable() {
        let _ = writeln!(out, "\n{xen}: `payload show` foretells nothing: {why}");
    }
    // What is the same in several places of a Xen is told once.
    let mut blocks: Vec<(String, Vec<String>, String)> = Vec::new();
    for Booted { xen, environment, steps, .. } in boots {
        let steps = steps?;
        let mut tests: Vec<&str> = Vec::new();
        for step in &steps {
            if !tests.contains(&step.test.as_str()) {
                tests.push(&step.test);
            }
        }
        for test in tests {
            let mut told = String::new();
            for name in names {
                let of_file =
                    steps.iter().filter(|step| step.test == test && step.payload == *name);
                payload(&mut told, of_file, &xen, foretold);
            }
            let place = format!("{} {test}", environment.name());
            let same = blocks.iter_mut().find(|(on, _, other)| *on == xen && *other == told);
            match same {
                _ if told.is_empty() => {}
                Some((_, places, _)) => places.push(place),
                None => blocks.push((xen.clone(), vec![place], told)),
            }
        }
    }
    for (xen, places, told) in blocks {
        let _ = write!(out, "\n{xen}: {}\n{told}", places.join(", "));
    }
    Ok(out)
}

/// What is to be told of a payload's steps in a test.
fn payload<'s>(
    out: &mut String,
    steps: impl Iterator<Item = &'s PayloadStep>,
    xen: &str,
    foretold: &Foretold,
) {
    for (nth, step) in steps.enumerate() {
        let PayloadStep { test, payload: name, step: what, answer, xen_words, .. } = step;
        let answer = answer.as_deref();
        // There is nothing to compare where no answer came.
        let expected = foretold.step(xen, name, what).filter(|_| answer.is_some());
        let different = match &expected {
            Some(Expected::Answer(expected)) => answer != Some(expected),
            _ => false,
        };
        // What went as it should is told of the first upload, for all of them.
        let is_first = nth == 0 && TELLING.contains(&test.as_str());
        if !is_first && answer == Some(SUCCESS) && !different {
            continue;
        }
        let _ = write!(out, "  {name}: {what}: {}", answer.unwrap_or("no answer"));
        if what == APPLY_AGAIN && answer == Some(EINVAL) {
            let _ = write!(out, ", which is no failure: it is not safe to apply again");
        }
        let _ = match expected {
            None => writeln!(out),
            Some(Expected::Answer(_)) if !different => writeln!(out, " (as foretold)"),
            Some(Expected::Answer(other)) => {
                writeln!(out, " (DIFFERENT: `payload show` foretells {other})")
            }
            Some(Expected::Unknown(why)) => writeln!(out, " (`payload show` cannot tell: {why})"),
        };
        if answer != Some(SUCCESS) {
            for word in xen_words.iter().take(QUOTED) {
                let _ = writeln!(out, "    Xen says: {word}");
            }
            if let Some(more) = xen_words.len().checked_sub(QUOTED).filter(|more| *more > 0) {
                let _ = writeln!(
                    out,
                    "    and {} more; see {CONSOLE} in the boot's logs",
                    count(more, "line")
                );
            }
        }
        let verdict = foretold.verdict(xen, name).filter(|_| what == UPLOAD && is_first);
        if let Some(told) = verdict.and_then(|verdict| verdict.refusal.as_ref()) {
            let _ = writeln!(out, "    {} asks: {}", told.function, told.rule);
            if let Some(item) = &told.item {
                let _ = writeln!(out, "    but: {item}");
            }
            let _ = writeln!(out, "    remedy: {}", told.remedy);
        }
        let then = verdict.iter().flat_map(|verdict| &verdict.then);
        for then in then.filter(|then| foretold.holds(name, then)) {
            let _ = writeln!(out, "    foretold: {then}");
        }
    }
}

/// The steps on the console of a boot of `xen`.
fn steps(console: &[u8], xen: &str, foretold: &Foretold) -> Vec<PayloadStep> {
    let mut all: Vec<PayloadStep> = Vec::new();
    let mut test = String::new();
    let mut hear = |line: Line| match (line.speaker, all.last_mut()) {
        (Speaker::Xen, Some(step)) if step.answer.is_none() => {
            step.xen_words.push(xen::words(&line.text).to_owned());
        }
        (Speaker::Xen, _) => {}
        (Speaker::Guest, last) => {
            let text = line.text.trim_start();
            let subtest = text.strip_prefix(DIAGNOSTIC).and_then(|text| text.strip_prefix(SUBTEST));
            if let Some(name) = subtest {
                name.trim().clone_into(&mut test);
            } else if let Some(answer) = text.strip_prefix(ANSWERED) {
                if let Some(step) = last {
                    step.answer = Some(answer.to_owned());
                    count_again(&mut all);
                }
            } else if let Some(place) = text.strip_prefix(PERFORMED) {
                let (payload, step) = place.split_once(": ").unwrap_or((place, ""));
                let (payload, step, test) = (payload.to_owned(), step.to_owned(), test.clone());
                all.push(PayloadStep { test, payload, step, times: 1, ..PayloadStep::default() });
            }
        }
    };
    let mut splitter = Splitter::default();
    splitter.feed(console, &mut hear);
    // A line without its end is no step, and no answer.
    splitter.finish(|line| {
        if line.speaker == Speaker::Xen {
            hear(line);
        }
    });
    for step in &mut all {
        if let Some(Expected::Answer(answer)) = foretold.step(xen, &step.payload, &step.step) {
            step.foretold = Some(answer);
        }
    }
    all
}

/// Counts the last step to an earlier one that is the same, if there is one.
fn count_again(all: &mut Vec<PayloadStep>) {
    let Some((last, earlier)) = all.split_last_mut() else { return };
    let key = |step: &PayloadStep| {
        let PayloadStep { test, payload, step, answer, .. } = step;
        [test.clone(), payload.clone(), step.clone(), answer.clone().unwrap_or_default()]
    };
    let last = key(last);
    if let Some(same) = earlier.iter_mut().find(|step| key(step) == last) {
        same.times += 1;
        all.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(what: &str, answer: Option<&str>, foretold: Option<&str>, times: u64) -> PayloadStep {
        PayloadStep {
            test: PAYLOAD_TRY.into(),
            payload: "lp".into(),
            step: what.into(),
            answer: answer.map(str::to_owned),
            foretold: foretold.map(str::to_owned),
            times,
            xen_words: Vec::new(),
        }
    }

    #[test]
    fn steps_with_what_xen_says_meanwhile() {
        let console = b"(XEN) before\n  # Subtest: payload-try\n  #> lp: UPLOAD\n\
            (XEN) livepatch: lp: no\n  #= EINVAL\n(XEN) after\n  not ok 1 upload\n  \
            #> lp: REVERT\n  #= success\n  #> lp: UPLOAD\n  #= EINVAL\n  #> lp: UPLOAD\n  #= success\n  \
            # Subtest: other\n  #> lp: REVERT\n  #= success\n  #> b: APPLY again\n(XEN) last words";
        let foretold = Foretold::sample("x", "lp", SUCCESS);
        let words = |step: PayloadStep, words: &[&str]| PayloadStep {
            xen_words: words.iter().map(|&word| word.to_owned()).collect(),
            ..step
        };
        let elsewhere = |step: PayloadStep| PayloadStep { test: "other".into(), ..step };
        let last = PayloadStep { payload: "b".into(), ..step("APPLY again", None, None, 1) };
        let refused = step("UPLOAD", Some("EINVAL"), Some("success"), 2);
        assert_eq!(
            steps(console, "x", &foretold),
            [
                words(refused, &["livepatch: lp: no"]),
                step("REVERT", Some("success"), None, 1),
                step("UPLOAD", Some("success"), Some("success"), 1),
                elsewhere(step("REVERT", Some("success"), None, 1)),
                words(elsewhere(last), &["last words"]),
            ]
        );
    }

    #[test]
    fn an_answer_that_was_not_foretold_is_shown_as_such() {
        let told = |xen: &str, steps: &[PayloadStep], foretold: &Foretold| {
            let mut out = String::new();
            payload(&mut out, steps.iter(), xen, foretold);
            out
        };
        let good = Foretold::sample("x", "lp", SUCCESS);
        let words = vec!["livepatch: lp: no".to_owned()];
        let upload = |answer: &str| PayloadStep {
            xen_words: words.clone(),
            ..step(UPLOAD, Some(answer), None, 1)
        };
        assert_eq!(told("x", &[upload("success")], &good), "  lp: UPLOAD: success (as foretold)\n");
        assert_eq!(
            told("x", &[upload("EINVAL")], &good),
            "  lp: UPLOAD: EINVAL (DIFFERENT: `payload show` foretells success)\n    \
             Xen says: livepatch: lp: no\n"
        );
        let then = |what: &str, answer: &str, foretold: &Foretold| {
            let text = told("x", &[upload("success"), step(what, Some(answer), None, 1)], foretold);
            text.lines().nth(1).map(str::to_owned)
        };
        assert_eq!(then(APPLY_AGAIN, "success", &good), None);
        assert_eq!(then("APPLY", "success", &good), None);
        let different = " (DIFFERENT: `payload show` foretells success)";
        assert_eq!(
            then("APPLY", "EINVAL", &good).unwrap(),
            format!("  lp: APPLY: EINVAL{different}")
        );
        let refused =
            "  lp: APPLY again: EINVAL, which is no failure: it is not safe to apply again";
        assert_eq!(then(APPLY_AGAIN, "EINVAL", &good).unwrap(), format!("{refused}{different}"));
        let once = Foretold::sample("x", "lp", EINVAL);
        assert_eq!(then(APPLY_AGAIN, "EINVAL", &once).unwrap(), format!("{refused} (as foretold)"));
        assert_eq!(
            then(APPLY_AGAIN, "success", &once).unwrap(),
            "  lp: APPLY again: success (DIFFERENT: `payload show` foretells EINVAL)"
        );
        // In another test only what goes wrong is news.
        let elsewhere = |answer| PayloadStep { test: "other".into(), ..upload(answer) };
        assert_eq!(told("x", &[elsewhere("success")], &good), "");
        assert!(told("x", &[elsewhere("EINVAL")], &good).starts_with("  lp: UPLOAD: EINVAL"));

        let dying =
            PayloadStep { xen_words: vec!["word".into(); 13], ..step("UNLOAD", None, None, 1) };
        let out = told("other", &[dying], &good);
        assert!(out.starts_with("  lp: UNLOAD: no answer\n    Xen says: word\n"), "{out}");
        assert!(
            out.ends_with("\n    and 1 line more; see console.log in the boot's logs\n"),
            "{out}"
        );
    }
}

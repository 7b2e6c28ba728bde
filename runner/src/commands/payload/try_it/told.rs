//! What Xen did in each step, in its own words, and whether `payload show` foretold it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use protocol::metadata::Environment;
use protocol::programs::{ANSWERED, APPLY_AGAIN, PERFORMED, UPLOAD};

use super::Payloads;
use super::Subjects;
use crate::base::exit::{IoContext, Result};
use crate::base::plural::count;
use crate::commands::payload::show::verdict::{Answer, OnXen, Subject, Verdict};
use crate::judge::splitter::{Line, Speaker, Splitter};
use crate::judge::xen;
use crate::machine::logs::CONSOLE;
use crate::results::event::{Listener, RunEvent};

/// So many lines of Xen's are told of a step: a Xen that dies says more.
const QUOTED: usize = 12;
/// What the guest prints where Xen has nothing against a step.
const SUCCESS: &str = "success";
/// What it prints where Xen finds a payload not safe to apply again.
const NOT_AGAIN: &str = "EINVAL";

/// What `payload show` foretells on each Xen, by the Xen's name; or why it does not.
pub struct Foretold(BTreeMap<String, std::result::Result<OnXen, String>>);

impl Foretold {
    /// What it foretells of `payloads` on those Xens.
    pub fn of(subjects: &Subjects, payloads: &Payloads) -> Foretold {
        let foretell = |subject: &Subject| subject.judge(&payloads.files, false);
        let each = subjects.iter().map(|(xen, subject)| {
            (xen.clone(), subject.as_deref().map(foretell).map_err(Clone::clone))
        });
        Foretold(each.collect())
    }

    fn verdict(&self, xen: &str, file: usize) -> Option<&Verdict> {
        self.0.get(xen)?.as_ref().ok()?.files.get(file)
    }
}

/// A boot.
pub struct Booted {
    xen: String,
    environment: Environment,
    /// Its folder.
    logs: PathBuf,
}

/// Remembers which boots there were, and passes everything on.
pub struct Witness<L> {
    listener: L,
    boots: Vec<(usize, Booted)>,
}

impl<L: Listener> Witness<L> {
    /// Passes on to `listener`.
    pub fn new(listener: L) -> Self {
        Witness { listener, boots: Vec::new() }
    }

    /// The listener, and the boots in their order.
    pub fn finish(mut self) -> (L, Vec<Booted>) {
        self.boots.sort_by_key(|(number, _)| *number);
        (self.listener, self.boots.into_iter().map(|(_, boot)| boot).collect())
    }
}

impl<L: Listener> Listener for Witness<L> {
    fn event(&mut self, event: &RunEvent<'_>) {
        if let RunEvent::BootStarted { boot, xen, environment, facts, .. } = event {
            let (xen, logs) = ((*xen).to_owned(), facts.logs.to_owned());
            self.boots.push((*boot, Booted { xen, environment: *environment, logs }));
        }
        self.listener.event(event);
    }
}

/// A step, as the console shows it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Step {
    /// The payload.
    name: String,
    /// What is done with it.
    what: String,
    /// What came of it; `None` if the guest did not come so far.
    answer: Option<String>,
    /// What Xen said meanwhile.
    words: Vec<String>,
}

/// For people: what went wrong in each boot, and what was foretold.
pub fn text(names: &[String], foretold: &Foretold, boots: &[Booted]) -> Result<String> {
    let mut out = String::new();
    for (xen, judged) in &foretold.0 {
        if let Err(why) = judged {
            let _ = writeln!(out, "\n{xen}: `payload show` foretells nothing: {why}");
        }
    }
    for boot in boots {
        let console = boot.logs.join(CONSOLE);
        let steps = steps(&fs::read(&console).io("read", &console)?);
        if !steps.is_empty() {
            let _ = writeln!(out, "\n{} {}", boot.xen, boot.environment.name());
        }
        for (number, name) in names.iter().enumerate() {
            let of_file = steps.iter().filter(|step| step.name == *name);
            payload(&mut out, of_file, foretold.verdict(&boot.xen, number));
        }
    }
    Ok(out)
}

fn payload<'s>(out: &mut String, steps: impl Iterator<Item = &'s Step>, verdict: Option<&Verdict>) {
    for (nth, step) in steps.enumerate() {
        let Step { name, what, answer, words } = step;
        let answer = answer.as_deref();
        let foretold = verdict.and_then(|verdict| foretold(verdict, what, answer));
        // What went as it should is told of the first upload, for all of them.
        let news = matches!(foretold, Some(Compared::Different(_)));
        if nth > 0 && answer == Some(SUCCESS) && !news {
            continue;
        }
        let _ = write!(out, "  {name}: {what}: {}", answer.unwrap_or("no answer"));
        if what == APPLY_AGAIN && answer == Some(NOT_AGAIN) {
            let _ = write!(out, ", which is no failure: it is not safe to apply again");
        }
        let _ = match foretold {
            None => writeln!(out),
            Some(Compared::Same) => writeln!(out, " (as foretold)"),
            Some(Compared::Different(other)) => {
                writeln!(out, " (DIFFERENT: `payload show` foretells {other})")
            }
            Some(Compared::Unknown(why)) => writeln!(out, " (`payload show` cannot tell: {why})"),
        };
        if answer != Some(SUCCESS) {
            for word in words.iter().take(QUOTED) {
                let _ = writeln!(out, "    Xen says: {word}");
            }
            if let Some(more) = words.len().checked_sub(QUOTED).filter(|more| *more > 0) {
                let _ = writeln!(
                    out,
                    "    and {} more; see {CONSOLE} in the boot's logs",
                    count(more, "line")
                );
            }
        }
        let verdict = verdict.filter(|_| what == UPLOAD);
        if let Some(told) = verdict.and_then(|verdict| verdict.refusal.as_ref()) {
            let _ = writeln!(out, "    {} asks: {}", told.function, told.rule);
            if let Some(item) = &told.item {
                let _ = writeln!(out, "    but: {item}");
            }
            let _ = writeln!(out, "    remedy: {}", told.remedy);
        }
        for then in verdict.iter().flat_map(|verdict| &verdict.then) {
            let _ = writeln!(out, "    foretold: {then}");
        }
    }
}

/// An answer, in the light of what was foretold.
enum Compared {
    Same,
    /// This was foretold.
    Different(String),
    /// Nothing was foretold for this reason.
    Unknown(String),
}

/// Compares the `answer` to the step `what`, if there is something to compare.
fn foretold(verdict: &Verdict, what: &str, answer: Option<&str>) -> Option<Compared> {
    let foretold = match (what, verdict.upload, &verdict.refusal) {
        (UPLOAD, Answer::Success, _) => SUCCESS,
        (UPLOAD, Answer::Refused, Some(told)) => &told.errno,
        (UPLOAD, ..) => {
            let why = verdict.unknown.as_deref().unwrap_or("it");
            return Some(Compared::Unknown(why.to_owned()));
        }
        (APPLY_AGAIN, ..) => match verdict.again? {
            true => SUCCESS,
            false => NOT_AGAIN,
        },
        _ => return None,
    };
    Some(if answer == Some(foretold) {
        Compared::Same
    } else {
        Compared::Different(foretold.to_owned())
    })
}

/// The steps on a console.
fn steps(console: &[u8]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut hear = |line: Line| match (line.speaker, steps.last_mut()) {
        (Speaker::Xen, Some(step)) if step.answer.is_none() => {
            step.words.push(xen::words(&line.text).to_owned());
        }
        (Speaker::Xen, _) => {}
        (Speaker::Guest, last) => {
            let text = line.text.trim_start();
            if let Some(answer) = text.strip_prefix(ANSWERED) {
                last.into_iter().for_each(|step| step.answer = Some(answer.to_owned()));
            } else if let Some(what) = text.strip_prefix(PERFORMED) {
                let (name, what) = what.split_once(": ").unwrap_or((what, ""));
                let (name, what) = (name.to_owned(), what.to_owned());
                steps.push(Step { name, what, ..Step::default() });
            }
        }
    };
    let mut splitter = Splitter::default();
    splitter.feed(console, &mut hear);
    let half = splitter.finish(&mut hear);
    half.into_iter().for_each(hear);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_with_what_xen_says_meanwhile() {
        let console = b"(XEN) before\n  #> lp: UPLOAD\n(XEN) livepatch: lp: no\n  #= EINVAL\n\
            (XEN) after\n  not ok 1 upload\n  #> b: APPLY again\n(XEN) last words";
        let step = |name: &str, what: &str, answer: Option<&str>, words: &[&str]| Step {
            name: name.into(),
            what: what.into(),
            answer: answer.map(str::to_owned),
            words: words.iter().map(|&word| word.into()).collect(),
        };
        assert_eq!(
            steps(console),
            [
                step("lp", "UPLOAD", Some("EINVAL"), &["livepatch: lp: no"]),
                step("b", "APPLY again", None, &["last words"]),
            ]
        );
    }

    #[test]
    fn an_answer_that_was_not_foretold_is_shown_as_such() {
        let mut verdict = Verdict {
            upload: Answer::Success,
            refusal: None,
            unknown: None,
            then: Vec::new(),
            again: Some(true),
            functions: Vec::new(),
        };
        let step = |what: &str, answer: &str| Step {
            name: "lp".into(),
            what: what.into(),
            answer: Some(answer.into()),
            words: vec!["livepatch: lp: no".into()],
        };
        let told = |verdict: &Verdict, answer: &str| {
            let mut out = String::new();
            payload(&mut out, [step(UPLOAD, answer)].iter(), Some(verdict));
            out
        };
        assert_eq!(told(&verdict, "success"), "  lp: UPLOAD: success (as foretold)\n");
        assert_eq!(
            told(&verdict, "EINVAL"),
            "  lp: UPLOAD: EINVAL (DIFFERENT: `payload show` foretells success)\n    \
             Xen says: livepatch: lp: no\n"
        );
        let again = |verdict: &Verdict, answer: &str| {
            let mut out = String::new();
            let steps = [step(UPLOAD, "success"), step(APPLY_AGAIN, answer)];
            payload(&mut out, steps.iter(), Some(verdict));
            out.lines().nth(1).map(str::to_owned)
        };
        assert_eq!(again(&verdict, "success"), None);
        let refused =
            "  lp: APPLY again: EINVAL, which is no failure: it is not safe to apply again";
        let different = " (DIFFERENT: `payload show` foretells success)";
        assert_eq!(again(&verdict, "EINVAL").unwrap(), format!("{refused}{different}"));
        verdict.again = Some(false);
        assert_eq!(again(&verdict, "EINVAL").unwrap(), format!("{refused} (as foretold)"));
        assert_eq!(
            again(&verdict, "success").unwrap(),
            "  lp: APPLY again: success (DIFFERENT: `payload show` foretells EINVAL)"
        );
        let dying = Step { answer: None, words: vec!["word".into(); 13], ..step("APPLY", "") };
        let mut out = String::new();
        payload(&mut out, [dying].iter(), None);
        assert!(out.starts_with("  lp: APPLY: no answer\n    Xen says: word\n"), "{out}");
        assert!(
            out.ends_with("\n    and 1 line more; see console.log in the boot's logs\n"),
            "{out}"
        );
        verdict.upload = Answer::Unknown;
        verdict.unknown = Some("the CPU".into());
        assert_eq!(
            told(&verdict, "success"),
            "  lp: UPLOAD: success (`payload show` cannot tell: the CPU)\n"
        );
    }
}

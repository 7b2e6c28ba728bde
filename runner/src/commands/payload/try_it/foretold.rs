//! What `payload show` foretells of each step, for the guest to compare, and for people.

use livepatch::Errno;
use livepatch::payload::Hook;
use protocol::payloads::Answered;
use protocol::programs::{APPLY, APPLY_AGAIN, REPLACE, UPLOAD};

use super::{Payloads, Subjects};
use crate::commands::payload::show::prospect::Prospect;
use crate::commands::payload::show::verdict::{Answer, OnXen, Subject, Verdict};

/// What the guest prints where Xen has nothing against a step.
pub const SUCCESS: &str = "success";
/// What it prints where Xen finds a payload not safe to apply again, among other things.
pub const EINVAL: &str = "EINVAL";

/// See the module.
pub struct Foretold {
    /// The Xens by the names that users give them, in their order; or why nothing is foretold.
    xens: Vec<(String, std::result::Result<OnXen, String>)>,
    files: Vec<File>,
    replaces: bool,
}

struct File {
    name: String,
    depends: Option<String>,
}

/// How several payloads meet.
pub struct Together {
    /// Each is loaded alone, not upon the ones before it.
    pub alone: bool,
    /// The last one replaces the others.
    pub replaces: bool,
}

/// What is foretold of a step.
#[derive(Debug, PartialEq, Eq)]
pub enum Expected {
    /// This answer.
    Answer(String),
    /// Nothing, for this reason.
    Unknown(String),
}

impl Foretold {
    /// What is foretold of `payloads` on those Xens, if they are loaded so.
    pub fn of(subjects: &Subjects, payloads: &Payloads, how: &Together) -> Foretold {
        let foretell = |subject: &Subject| subject.judge(&payloads.files, how.alone);
        let xens = subjects.iter().map(|(xen, subject)| {
            (xen.clone(), subject.as_deref().map(foretell).map_err(Clone::clone))
        });
        let files = payloads.names.iter().zip(&payloads.files);
        let files = files.map(|(name, (_, contents))| File {
            name: name.clone(),
            depends: contents.depends.clone(),
        });
        Foretold { xens: xens.collect(), files: files.collect(), replaces: how.replaces }
    }

    /// The Xens of which nothing is foretold, and why.
    pub fn unable(&self) -> impl Iterator<Item = (&str, &str)> {
        self.xens.iter().filter_map(|(xen, on)| Some((xen.as_str(), on.as_ref().err()?.as_str())))
    }

    /// The number by which the guest finds what is foretold of that Xen.
    pub fn number(&self, xen: &str) -> Option<usize> {
        self.xens.iter().position(|(name, on)| name == xen && on.is_ok())
    }

    /// Those numbers, and what the guest finds there.
    pub fn lines(&self) -> impl Iterator<Item = (usize, String)> {
        let lines = |xen: &str| {
            let mut lines = String::new();
            for File { name: payload, .. } in &self.files {
                for step in [UPLOAD, APPLY, REPLACE, APPLY_AGAIN] {
                    if let Some(Expected::Answer(answer)) = self.step(xen, payload, step) {
                        lines += &format!("{}\n", Answered { payload, step, answer: &answer });
                    }
                }
            }
            lines
        };
        self.xens.iter().filter_map(move |(xen, _)| Some((self.number(xen)?, lines(xen))))
    }

    /// What `payload show` says of a payload on a Xen.
    pub fn verdict(&self, xen: &str, payload: &str) -> Option<&Verdict> {
        let (on, number) = self.find(xen, payload)?;
        on.files.get(number)
    }

    fn find(&self, xen: &str, payload: &str) -> Option<(&OnXen, usize)> {
        let (_, on) = self.xens.iter().find(|(name, _)| name == xen)?;
        Some((on.as_ref().ok()?, self.files.iter().position(|file| file.name == payload)?))
    }

    /// What is foretold of a step with a payload on a Xen, if anything is.
    pub fn step(&self, xen: &str, payload: &str, step: &str) -> Option<Expected> {
        let (on, number) = self.find(xen, payload)?;
        let verdict = on.files.get(number)?;
        if step == UPLOAD {
            return Some(match (verdict.upload, &verdict.refusal) {
                (Answer::Success, _) => success(),
                (Answer::Refused, Some(told)) => Expected::Answer(told.errno.clone()),
                _ => {
                    Expected::Unknown(verdict.unknown.as_deref().unwrap_or("the answer").to_owned())
                }
            });
        }
        let again = verdict.again?;
        let is_last_of_replaced = self.replaces && number + 1 == self.files.len();
        match step {
            APPLY if !is_last_of_replaced => {
                let refused = verdict.then.iter().find_map(Prospect::refuses_apply);
                Some(refused.map_or_else(|| unless_a_hook_decides(verdict), refusal))
            }
            REPLACE if is_last_of_replaced => Some(self.replace(on, number)),
            APPLY_AGAIN if again => Some(unless_a_hook_decides(verdict)),
            APPLY_AGAIN => Some(Expected::Answer(EINVAL.into())),
            _ => None,
        }
    }

    /// `livepatch_action` for REPLACE: the last file, in the place of the others.
    fn replace(&self, on: &OnXen, number: usize) -> Expected {
        let verdict = &on.files[number];
        let of_xen = self.files[number].depends.as_ref() == Some(&on.build_id);
        let vetoes = |verdict: &Verdict| verdict.then.contains(&Prospect::Vetoes);
        if !of_xen {
            return Expected::Answer(EINVAL.into());
        }
        if on.files[..=number].iter().any(vetoes) {
            return Expected::Answer("EOPNOTSUPP".into());
        }
        // What it depends on, as a file of a stack, does not matter here.
        let mut others = verdict.then.iter().filter(|then| !is_about_depends(then));
        let refused = others.find_map(Prospect::refuses_apply);
        refused.map_or_else(|| unless_a_hook_decides(verdict), refusal)
    }

    /// Whether what is expected of a payload, as a file of a stack, holds here.
    pub fn holds(&self, payload: &str, then: &Prospect) -> bool {
        let is_last = self.files.last().is_some_and(|file| file.name == payload);
        !(self.replaces && is_last && is_about_depends(then))
    }
}

#[cfg(test)]
impl Foretold {
    /// One payload is loaded on one Xen, and gets this answer when it is applied again.
    pub fn sample(xen: &str, payload: &str, again: &str) -> Foretold {
        let verdict = Verdict {
            upload: Answer::Success,
            again: Some(again == SUCCESS),
            ..Verdict::default()
        };
        let on = OnXen {
            xen: xen.into(),
            provenance: String::new(),
            release: None,
            build_id: String::new(),
            files: vec![verdict],
        };
        let files = vec![File { name: payload.into(), depends: None }];
        Foretold { xens: vec![(xen.into(), Ok(on))], files, replaces: false }
    }
}

fn success() -> Expected {
    Expected::Answer(SUCCESS.into())
}

/// Success, unless a hook is asked first.
fn unless_a_hook_decides(verdict: &Verdict) -> Expected {
    let decides = |then: &&Prospect| {
        matches!(then, Prospect::Hook(Hook::PreApply | Hook::Apply) | Prospect::Covered(_))
    };
    match verdict.then.iter().find(decides) {
        Some(then) => Expected::Unknown(then.to_string()),
        None => success(),
    }
}

fn refusal(errno: Errno) -> Expected {
    Expected::Answer(errno.to_string())
}

/// Whether it is about what a payload is applied upon.
fn is_about_depends(then: &Prospect) -> bool {
    matches!(then, Prospect::Depends { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(then: &[Prospect], again: bool) -> Verdict {
        Verdict {
            upload: Answer::Success,
            then: then.to_vec(),
            again: Some(again),
            ..Verdict::default()
        }
    }

    fn depends() -> Prospect {
        Prospect::Depends { on: "01".into(), instead: "this Xen", id: "02".into() }
    }

    const EXPECTATION: Prospect = Prospect::Unmet { function: 0, errno: Errno::ENOENT };

    /// What is foretold of files `a`, `b` and so on, which depend on `depends`, on a Xen with 02.
    fn foretold(files: Vec<(&str, Verdict)>, replaces: bool) -> Vec<(usize, String)> {
        let (depends, verdicts): (Vec<&str>, Vec<Verdict>) = files.into_iter().unzip();
        let names = ["a", "b"].into_iter().zip(depends);
        let file = |(name, depends): (&str, &str)| File {
            name: name.into(),
            depends: Some(depends.into()),
        };
        let on = OnXen {
            xen: "x".into(),
            provenance: String::new(),
            release: None,
            build_id: "02".into(),
            files: verdicts,
        };
        let xens = vec![("no".into(), Err("no symbols".into())), ("x".into(), Ok(on))];
        let foretold = Foretold { xens, files: names.map(file).collect(), replaces };
        assert_eq!(foretold.unable().collect::<Vec<_>>(), [("no", "no symbols")]);
        foretold.lines().collect()
    }

    fn lines(files: Vec<(&str, Verdict)>, replaces: bool) -> String {
        let mut all = foretold(files, replaces);
        let (number, lines) = all.pop().unwrap();
        assert_eq!((number, all.len()), (1, 0));
        lines
    }

    #[test]
    fn a_stack() {
        let all =
            lines(vec![("02", verdict(&[], true)), ("03", verdict(&[depends()], false))], false);
        let first = "a: UPLOAD: success\na: APPLY: success\na: APPLY again: success\n";
        let second = "b: UPLOAD: success\nb: APPLY: EINVAL\nb: APPLY again: EINVAL\n";
        assert_eq!(all, format!("{first}{second}"));
    }

    #[test]
    fn a_replacement_depends_on_xen_and_on_its_own_hooks() {
        let replaced = |on: &str, then: &[Prospect]| {
            let files = vec![("02", verdict(&[], true)), (on, verdict(then, true))];
            let all = lines(files, true);
            assert!(!all.contains("b: APPLY: "), "{all}");
            let line = all.lines().find(|line| line.starts_with("b: REPLACE: "));
            line.map(|line| line["b: REPLACE: ".len()..].to_owned())
        };
        assert_eq!(replaced("02", &[depends()]).as_deref(), Some("success"));
        assert_eq!(replaced("03", &[depends()]).as_deref(), Some("EINVAL"));
        assert_eq!(replaced("02", &[depends(), EXPECTATION]).as_deref(), Some("ENOENT"));
        assert_eq!(replaced("02", &[Prospect::Vetoes]).as_deref(), Some("EOPNOTSUPP"));
        assert_eq!(replaced("02", &[Prospect::Hook(Hook::Apply)]), None);
    }

    #[test]
    fn what_cannot_be_told_is_left_out() {
        assert_eq!(
            lines(vec![("02", verdict(&[Prospect::Hook(Hook::PreApply)], true))], false),
            "a: UPLOAD: success\n"
        );
        let unknown = Verdict { upload: Answer::Unknown, again: None, ..verdict(&[], true) };
        assert_eq!(lines(vec![("02", unknown)], false), "");
    }
}

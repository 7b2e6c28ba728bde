//! Whether a boot went as it did before, by what its console said.
//!
//! A boot that began at a snapshot asked Xen other questions before its first test than one from power
//! on does, and so finds other garbage on its stack. So what counts is what the tests said, what Xen
//! died of, and the last line; that the rest is the same, too, is said.

use std::fmt;

/// In front of what Xen died of.
const PANIC: &str = "(XEN) Panic on CPU";
/// How lines with results begin.
const RESULTS: [&str; 2] = ["ok ", "not ok "];

/// Whether a boot went as before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alike {
    /// To the letter.
    Same,
    /// Its results and its end are the same, but not all between.
    End(Difference),
    /// It did not.
    No(Difference),
}

/// The first line that is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its number.
    line: usize,
    /// What it was,
    then: String,
    /// and is.
    now: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { line, then, now } = self;
        write!(f, "line {line} was `{then}`, and is `{now}`")
    }
}

impl fmt::Display for Alike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Alike::Same => write!(f, "it ended as before: the console is the same"),
            Alike::End(difference) => {
                write!(f, "it ended as before, but the console is not the same: {difference}")
            }
            Alike::No(difference) => write!(f, "it did NOT end as before: {difference}"),
        }
    }
}

/// Compares what the console said `then` with what it says `now`. The runner ended one of them
/// earlier than the other.
pub fn compare(then: &str, now: &str) -> Alike {
    let [old, new] = [then, now].map(lines);
    let pairs = old.iter().zip(&new);
    // Where the shorter one ends it may have been cut.
    let last = old.len().min(new.len()).saturating_sub(1);
    let differs = |(at, (then, now)): (usize, (&&str, &&str))| {
        let (short, long) = if then.len() < now.len() { (then, now) } else { (now, then) };
        let cut = at == last && long.starts_with(*short);
        (then != now && !cut).then(|| Difference {
            line: at + 1,
            then: (*then).to_owned(),
            now: (*now).to_owned(),
        })
    };
    let first = pairs.enumerate().find_map(differs);
    let whole = told(&old) == told(&new);
    let ends = |line: Option<&&str>, of: &[&str]| {
        line.is_none_or(|line| of.iter().any(|other| other.starts_with(*line)))
    };
    let same_end = whole && (ends(old.last(), &new) || ends(new.last(), &old));
    match first {
        None if same_end => Alike::Same,
        Some(difference) if same_end => Alike::End(difference),
        Some(difference) => Alike::No(difference),
        None => Alike::No(Difference {
            line: last + 2,
            then: (*old.get(last + 1).unwrap_or(&"the end")).to_owned(),
            now: (*new.get(last + 1).unwrap_or(&"the end")).to_owned(),
        }),
    }
}

fn lines(console: &str) -> Vec<&str> {
    console
        .lines()
        .map(|line| line.trim_end_matches('\r'))
        .filter(|line| !line.is_empty())
        .collect()
}

/// The results of cases and tests, and what Xen died of.
fn told<'c>(lines: &[&'c str]) -> Vec<&'c str> {
    let panic = lines.windows(2).filter(|pair| pair[0].starts_with(PANIC)).map(|pair| pair[1]);
    let is_result = |line: &&&str| RESULTS.iter().any(|start| line.trim_start().starts_with(start));
    lines.iter().filter(is_result).copied().chain(panic).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEN: &str =
        "(XEN) a\r\n(XEN) stack 1\r\nok 1 x\r\n(XEN) Panic on CPU 0:\r\n(XEN) why\r\nReb";

    #[test]
    fn one_may_be_longer() {
        for now in [THEN, &format!("{THEN}oot\r\nmore\r\n"), &THEN[..THEN.len() - 2]] {
            assert_eq!(compare(THEN, now), Alike::Same, "{now}");
        }
    }

    #[test]
    fn what_tests_and_xen_said_decides() {
        let stack = compare(THEN, &THEN.replace("stack 1", "stack 2"));
        let Alike::End(difference) = &stack else { panic!("{stack:?}") };
        assert_eq!(difference.to_string(), "line 2 was `(XEN) stack 1`, and is `(XEN) stack 2`");
        for (of, other) in [("ok 1 x", "not ok 1 x"), ("(XEN) why", "(XEN) because"), ("Reb", "No")]
        {
            let alike = compare(THEN, &THEN.replace(of, other));
            assert!(matches!(alike, Alike::No(_)), "{of}: {alike:?}");
        }
        let early = compare(THEN, "(XEN) a\r\n(XEN) stack 1\r\n");
        assert!(early.to_string().contains("line 3 was `ok 1 x`, and is `the end`"), "{early}");
    }
}

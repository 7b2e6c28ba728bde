//! The time, or whatever else, that a recorder of consoles puts in front of each line.
//!
//! There are many recorders, and each has forms of its own. So no form is known here: what stands
//! in front of two lines in a row whose beginning is known, and is alike in both, stands in front of
//! every line. Alike are texts in which numbers, words of the same length, and all other signs follow
//! each other in the same order; how many blanks are between them does not matter, since recorders
//! fill up numbers.

use protocol::console::{BANNER, ENVIRONMENT, RESULT};

use super::grammar::{self, Token};
use super::splitter::strip_domain_prefix;
use super::xen::PREFIX;

/// No recorder puts more in front of a line.
const LONGEST: usize = 120;

/// A part of what is in front of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Digits.
    Number,
    /// So many letters: the name of a month, a host.
    Word(usize),
    /// Anything else.
    Sign(char),
}

/// What is alike in front of all lines.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shape {
    parts: Vec<Part>,
    /// The blanks behind it: the line's own come after those.
    blanks: usize,
}

impl Shape {
    /// The shape of `text`, if a recorder can have put it there: it has a number, an end that can be
    /// told from the line behind it, and is not a word of the guest's.
    fn of(text: &str) -> Option<Shape> {
        let blanks = text.len() - text.trim_end_matches(' ').len();
        let mut parts = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (part, behind) = next(rest)?;
            parts.push(part);
            rest = behind.trim_start();
        }
        let has_end = blanks > 0 || matches!(parts.last(), Some(Part::Sign(_)));
        let is_stamp = text.len() <= LONGEST
            && parts.contains(&Part::Number)
            && has_end
            && grammar::parse(text) == Token::Text;
        is_stamp.then_some(Shape { parts, blanks })
    }

    /// What is behind it in `line`.
    fn strip<'l>(&self, line: &'l str) -> Option<&'l str> {
        let mut rest = line;
        for &wanted in &self.parts {
            let (part, behind) = next(rest.trim_start())?;
            if part != wanted {
                return None;
            }
            rest = behind;
        }
        let own = rest.trim_start_matches(' ');
        let blanks = rest.len() - own.len();
        // Of an empty line, a recorder may leave out the blanks.
        match blanks >= self.blanks {
            true => Some(&rest[self.blanks..]),
            false => own.is_empty().then_some(own),
        }
    }
}

/// The first part of `text`, which does not begin with a blank, and the rest.
fn next(text: &str) -> Option<(Part, &str)> {
    let first = text.chars().next()?;
    let run = |is: fn(char) -> bool| text.find(|c| !is(c)).unwrap_or(text.len());
    let (part, len) = if first.is_ascii_digit() {
        (Part::Number, run(|c| c.is_ascii_digit()))
    } else if first.is_alphabetic() {
        let len = run(char::is_alphabetic);
        (Part::Word(len), len)
    } else {
        (Part::Sign(first), first.len_utf8())
    };
    Some((part, &text[len..]))
}

/// What `line` has in front of words by which its beginning is known, if it has such words.
fn before_known_words(line: &str) -> Option<&str> {
    let xen = line.match_indices(PREFIX).map(|(at, _)| at).find(|&at| {
        let behind = &line[at + PREFIX.len()..];
        behind.is_empty() || behind.starts_with(' ')
    });
    let guest = || [BANNER, ENVIRONMENT, RESULT].iter().find_map(|words| line.find(words));
    let before = &line[..xen.or_else(guest)?];
    // What Xen puts in front of a guest's words is no recorder's.
    let domain = before.match_indices("(d").map(|(at, _)| at);
    let mut domain = domain.filter(|&at| strip_domain_prefix(&before[at..]).is_empty());
    Some(domain.next().map_or(before, |at| &before[..at]))
}

/// Finds out what is in front of all lines.
#[derive(Clone, Debug, Default)]
pub(super) struct Prefix {
    /// What was in front of the last line whose beginning is known; of none at the very beginning.
    last: Option<Option<Shape>>,
    decided: bool,
}

impl Prefix {
    /// Takes the next line; whether it is known by now what is in front of all lines.
    pub(super) fn learn(&mut self, line: &str) -> bool {
        if !self.decided
            && let Some(before) = before_known_words(line)
        {
            let shape = Shape::of(before);
            let possible = before.is_empty() || shape.is_some();
            self.decided = possible && self.last.as_ref() == Some(&shape);
            self.last = possible.then_some(shape);
        }
        self.decided
    }

    /// There are no further lines to wait for: what one line had must do.
    pub(super) fn decide(&mut self) {
        self.decided = true;
    }

    /// Whether a line whose beginning is known was seen.
    pub(super) fn has_seen_any(&self) -> bool {
        self.last.is_some()
    }

    /// `line` without it; `None` if it is not there.
    pub(super) fn strip<'l>(&self, line: &'l str) -> Option<&'l str> {
        match &self.last {
            Some(Some(shape)) => shape.strip(line),
            _ => Some(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found with these two in front of Xen's lines, and then in front of the others.
    fn learnt(first: &str, second: &str, line: &str) -> Option<String> {
        let mut prefix = Prefix::default();
        assert!(!prefix.learn("GNU GRUB"));
        assert!(!prefix.learn(&format!("{first}(XEN) Xen version 4.17")));
        assert!(prefix.learn(&format!("{second}(XEN) [    0.1] x")), "{second}");
        prefix.strip(line).map(str::to_owned)
    }

    #[test]
    fn whatever_lines_have_in_common_is_found() {
        for (first, second, third) in [
            ("", "", ""),
            // conserver
            (
                "[Sun Nov 29 07:16:57 2026] ",
                "[Sun Nov 29 07:16:59 2026] ",
                "[Mon Dec  7 17:00:00 2026] ",
            ),
            ("[-- Nov 29 07:16 --]", "[-- Nov 29 07:17 --]", "[-- Nov 30 00:00 --]"),
            // ts, ts %.s, ts -s
            ("Nov 29 07:16:57 ", "Nov 29 07:16:57 ", "Dec  1 00:00:01 "),
            ("1732866000.123456 ", "1732866000.200001 ", "1732866001.000000 "),
            ("00:00:00 ", "00:00:01 ", "01:10:01 "),
            // ISO 8601
            ("2026-11-29T07:16:57Z ", "2026-11-29T07:16:58Z ", "2026-11-29T07:16:59Z "),
            (
                "2026-11-29T07:16:57.123+01:00: ",
                "2026-11-29T07:16:57.9+01:00: ",
                "2026-12-01T00:00:00.0+01:00: ",
            ),
            // seconds, filled up
            ("[    2.345] ", "[    2.400] ", "[12345.678] "),
            ("[2.345678]\u{20}", "[12.400000]\u{20}", "[123.5]\u{20}"),
            // a laboratory's
            ("box-7 | 17 | ", "box-7 | 18 | ", "box-7 | 1234 | "),
            (
                "<6>1 2026-11-29 box3 console: ",
                "<6>1 2026-11-29 box3 console: ",
                "<6>1 2026-11-30 box3 console: ",
            ),
        ] {
            for line in ["", "(XEN) x", "  ok 1 a", "ok 1 a", "1..3", "  1..3", "# [ 1.2] x"] {
                let whole = format!("{third}{line}");
                assert_eq!(learnt(first, second, &whole).as_deref(), Some(line), "{first}");
            }
            assert_eq!(learnt(first, second, third.trim_end()).as_deref(), Some(""), "{first}");
        }
    }

    #[test]
    fn a_line_without_it_is_told_apart() {
        let at = |line| learnt("[    2.345] ", "[    2.400] ", line);
        for line in ["  ok 1 a", "[2.345 ok 1 a", "(XEN) x", "[ 2.345]ok 1 a", "[2.3.4] x"] {
            assert_eq!(at(line), None, "{line}");
        }
    }

    #[test]
    fn what_is_in_front_of_one_line_is_no_prefix() {
        let mut prefix = Prefix::default();
        for line in [
            // The rest of another line, a word without a number, something too long.
            "Booting 2 (XEN) Xen version 4.17",
            "(XEN) Latest ChangeSet:",
            "  ok 1 li(XEN) x",
            "  ok 1 li(XEN) x",
            "noise (XEN) y",
            "noise (XEN) y",
        ] {
            assert!(!prefix.learn(line), "{line}");
        }
        let long = "1".repeat(LONGEST) + " (XEN) x";
        assert!(!prefix.learn(&long) && !prefix.learn(&long));
        assert!(!prefix.learn("(XEN) x") && prefix.learn("(XEN) y"));
        assert_eq!(prefix.strip("  ok 1 li"), Some("  ok 1 li"));
    }

    #[test]
    fn what_xen_puts_in_front_of_guests_stays() {
        for before in ["(d0) ", "(d12v3) ", "(d1) [    1.000000] "] {
            let mut prefix = Prefix::default();
            assert!(!prefix.learn(&format!("7: {before}--- Xen Test Framework ---")));
            assert!(prefix.learn(&format!("8: {before}Environment: PV 64bit")));
            assert_eq!(prefix.strip(&format!("9: {before}1..3")), Some(&*format!("{before}1..3")));
        }
    }
}

//! The grammar of the guest's console lines: one line to one token, without any memory.

use protocol::console::{
    BANNER, DIAGNOSTIC, DIRECTIVE, ENVIRONMENT, ERROR, INDENT, KTAP, KTAP_VERSION, NOT_OK, OK,
    PLAN, RESULT, SKIP, SUBTEST, TOTALS, Totals, XFAIL,
};

use super::judgement::Verdict;
use crate::base::status::Status;

/// Where a KTAP line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// No indentation: a test, or the whole.
    Test,
    /// Two spaces: a case inside a subtest.
    Case,
}

/// What one guest line means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// `--- Xen Test Framework ---`
    Banner,
    /// `Environment: PV 64bit (..)`, without the first word.
    Environment(&'a str),
    /// `KTAP version 1`
    Ktap(Depth),
    /// `1..N`
    Plan(Depth, usize),
    /// `  # Subtest: NAME`
    Subtest(&'a str),
    /// `  # Totals: ..`
    Totals(Totals),
    /// A result line: its number, name and verdict.
    Result(Depth, usize, &'a str, Verdict),
    /// `# text`
    Diagnostic(&'a str),
    /// `Test result: STATUS`
    Final(Status),
    /// Looks like one of the above and is not.
    Malformed(&'static str),
    /// Anything else.
    Text,
}

/// Reads one line.
pub fn parse(line: &str) -> Token<'_> {
    let body = line.trim_start_matches(' ');
    let depth = match line.len() - body.len() {
        0 => Some(Depth::Test),
        indent if indent == INDENT.len() => Some(Depth::Case),
        _ => None,
    };
    let body = body.trim_end();

    if let Some(word) = body.strip_prefix(RESULT) {
        return match (depth, Status::from_guest(word.trim())) {
            (Some(Depth::Test), Some(status)) => Token::Final(status),
            (_, None) => Token::Malformed("unknown status"),
            _ => Token::Malformed("indented last line"),
        };
    }
    if body == DIAGNOSTIC.trim_end() || body.starts_with(DIAGNOSTIC) {
        let text = body[1..].trim_start();
        return match text.strip_prefix(SUBTEST) {
            Some(name) if depth == Some(Depth::Case) => Token::Subtest(name.trim()),
            Some(_) => Token::Malformed("wrong indentation of a subtest"),
            None => match text.strip_prefix(TOTALS.trim_end()) {
                Some(rest) => totals(depth, rest),
                None => Token::Diagnostic(text),
            },
        };
    }
    let token = if let Some(rest) = body.strip_prefix(OK) {
        result(true, rest)
    } else if let Some(rest) = body.strip_prefix(NOT_OK) {
        result(false, rest)
    } else if let Some(count) = body.strip_prefix(PLAN) {
        count.parse().map_or(Parsed::Malformed("bad plan"), Parsed::Plan)
    } else if let Some(version) = body.strip_prefix(KTAP) {
        if version == KTAP_VERSION {
            Parsed::Ktap
        } else {
            Parsed::Malformed("unknown KTAP version")
        }
    } else {
        return match (depth, body.strip_prefix(ENVIRONMENT)) {
            (Some(Depth::Test), Some(name)) => Token::Environment(name.trim()),
            (Some(Depth::Test), None) if body == BANNER => Token::Banner,
            _ => Token::Text,
        };
    };
    match (depth, token) {
        (_, Parsed::Malformed(why)) => Token::Malformed(why),
        (None, _) => Token::Malformed("wrong indentation"),
        (Some(depth), Parsed::Ktap) => Token::Ktap(depth),
        (Some(depth), Parsed::Plan(count)) => Token::Plan(depth, count),
        (Some(depth), Parsed::Result(number, name, verdict)) => {
            Token::Result(depth, number, name, verdict)
        }
    }
}

/// Whether `line`, which is none of the protocol's, is like one: as if some characters were lost or
/// came twice.
pub fn is_like_protocol(line: &str) -> bool {
    let line = line.trim();
    let like = |words: &str| {
        let len = words.chars().count();
        let heads = (len.saturating_sub(LOST)..=len + LOST)
            .filter_map(|len| line.char_indices().map(|(at, _)| at).chain([line.len()]).nth(len));
        let mut heads = heads.map(|end| &line[..end]);
        heads.any(|head| strsim::damerau_levenshtein(head, words) <= LOST)
    };
    let subtest = [DIAGNOSTIC, SUBTEST].concat();
    let totals = [DIAGNOSTIC, TOTALS].concat();
    let diagnostics = [subtest.trim_end(), totals.trim_end()];
    [BANNER, ENVIRONMENT.trim_end(), KTAP.trim_end(), RESULT]
        .into_iter()
        .chain(diagnostics)
        .any(like)
        || is_like_plan(line)
        || is_like_result(line)
}

/// So many characters of a line's first words may be lost or too many.
const LOST: usize = 2;

/// Whether it is digits and one or more dots, behind which there are more.
fn is_like_plan(line: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let count = rest.trim_start_matches('.');
    line.len() - rest.len() <= 2 && rest.len() > count.len() && !count.is_empty() && digits(count)
}

/// Whether it has a number behind what is like `ok` or `not ok`, and a name behind that.
fn is_like_result(line: &str) -> bool {
    let mut words: Vec<&str> = line.split_whitespace().take(4).collect();
    // The blank in front of the number may be lost, too.
    if let Some(first) = words.first().copied().filter(|word| word.starts_with(OK.trim_end())) {
        let word = first.trim_end_matches(|c: char| c.is_ascii_digit());
        if word.len() < first.len() {
            words.splice(..1, [word, &first[word.len()..]]);
        }
    }
    let is_number = |word: &&str| word.bytes().all(|b| b.is_ascii_digit());
    let Some(at) = words.iter().position(is_number).filter(|&at| at + 1 < words.len()) else {
        return false;
    };
    let head = words[..at].join(" ");
    // Of two letters, one has to be there.
    let is_ok = ["o", "k", "ok", "okk", "ook", "okok"].contains(&head.as_str());
    is_ok || head.len() > LOST && strsim::damerau_levenshtein(&head, NOT_OK.trim_end()) <= LOST
}

enum Parsed<'a> {
    Ktap,
    Plan(usize),
    Result(usize, &'a str, Verdict),
    Malformed(&'static str),
}

fn totals(depth: Option<Depth>, rest: &str) -> Token<'static> {
    match Totals::parse(rest.trim_start()) {
        Some(totals) if depth == Some(Depth::Case) => Token::Totals(totals),
        Some(_) => Token::Malformed("wrong indentation of totals"),
        None => Token::Malformed("bad totals"),
    }
}

fn result(ok: bool, rest: &str) -> Parsed<'_> {
    let Some((number, rest)) = rest.split_once(' ') else {
        return Parsed::Malformed("result line without a name");
    };
    let Ok(number) = number.parse() else {
        return Parsed::Malformed("result line without a number");
    };
    let (name, directive) = match rest.split_once(DIRECTIVE) {
        Some((name, directive)) => (name, Some(directive.trim())),
        None => (rest, None),
    };
    let name = name.trim();
    if name.is_empty() || name.starts_with('#') {
        return Parsed::Malformed("result line without a name");
    }
    let verdict = match (ok, directive.map(|d| d.split_once(' ').unwrap_or((d, "")))) {
        (true, None) => Verdict::Success,
        (false, None) => Verdict::Failure,
        (_, Some((_, ""))) => return Parsed::Malformed("directive without a reason"),
        (true, Some((SKIP, why))) => Verdict::Skip(why.to_owned()),
        (false, Some((ERROR, why))) => Verdict::Error(why.to_owned()),
        // Consoles that were recorded before 2026-12 have `not ok`.
        (_, Some((XFAIL, why))) => Verdict::Deviation(why.to_owned()),
        _ => return Parsed::Malformed("unknown directive, or one that contradicts ok / not ok"),
    };
    Parsed::Result(number, name, verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines() {
        use Depth::*;
        for (line, want) in [
            ("ok 1 a", Token::Result(Test, 1, "a", Verdict::Success)),
            ("  ok 2 a/b # SKIP no x", Token::Result(Case, 2, "a/b", Verdict::Skip("no x".into()))),
            ("not ok 3 a", Token::Result(Test, 3, "a", Verdict::Failure)),
            (
                "  not ok 3 a # ERROR oops",
                Token::Result(Case, 3, "a", Verdict::Error("oops".into())),
            ),
            (
                "  ok 4 a # XFAIL id-1: old Xen",
                Token::Result(Case, 4, "a", Verdict::Deviation("id-1: old Xen".into())),
            ),
            (
                "  not ok 4 a # XFAIL id-1: old Xen",
                Token::Result(Case, 4, "a", Verdict::Deviation("id-1: old Xen".into())),
            ),
            ("Test result: SKIP", Token::Final(Status::Skip)),
            ("Test result:  SUCCESS ", Token::Final(Status::Success)),
            ("  1..12", Token::Plan(Case, 12)),
            ("  # Subtest: x", Token::Subtest("x")),
            (
                "  # Totals: pass:1 fail:0 xfail:0 xpass:0 skip:2 error:0",
                Token::Totals(Totals { pass: 1, skip: 2, ..Totals::default() }),
            ),
            ("# PANIC here", Token::Diagnostic("PANIC here")),
            ("Environment: PV 64bit (x)", Token::Environment("PV 64bit (x)")),
            ("okay", Token::Text),
            ("#!shebang", Token::Text),
            ("  Environment: x", Token::Text),
        ] {
            assert_eq!(parse(line), want, "{line}");
        }
    }

    #[test]
    fn what_is_like_a_result_has_a_number_and_a_name() {
        for (line, is_like) in [
            ("k 5 a", true),
            ("  ok5 a", true),
            ("not k 5 a", true),
            ("nt ok 5 a", true),
            ("k 5", false),
            ("not k 5", false),
            ("5 a", false),
            ("okay then", false),
            ("ok then", false),
            ("ko 5 a", false),
            ("no 5 a", false),
            ("knot ok ok 5 a", false),
        ] {
            assert_eq!(is_like_protocol(line), is_like, "{line}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_last_line_is_told() {
        for (line, why) in [
            ("Test result: CRASH", "unknown status"),
            ("  Test result: CRASH", "unknown status"),
            ("  Test result: SUCCESS", "indented last line"),
        ] {
            assert_eq!(parse(line), Token::Malformed(why), "{line}");
        }
    }

    #[test]
    fn near_misses_are_malformed_not_text() {
        for line in [
            "ok 1",
            "ok x a",
            "ok 1 # SKIP why",
            "ok 1 a # ERROR why",
            "not ok 1 a # SKIP why",
            "ok 1 a # SKIP",
            "ok 1 a # LATER why",
            "    ok 1 a",
            " ok 1 a",
            "ok 99999999999999999999999 a",
            "1..x",
            "1..",
            "KTAP version 2",
            "# Subtest: x",
            "# Totals: pass:1 fail:0 xfail:0 xpass:0 skip:2 error:0",
            "  # Totals: pass:1 fail:0 xfail:0 xpass:0 skip:2 err",
            "  # Totals:",
            "Test result: CRASH",
            "Test result: SUCC",
            "  Test result: SUCCESS",
        ] {
            assert!(matches!(parse(line), Token::Malformed(_)), "{line}: {:?}", parse(line));
        }
    }
}

//! The guest's words on the console: XTF's banner and last line around nested KTAP.
//!
//! Upstream's `xtf-runner` reads the first two lines and the last one; KTAP is documented with the
//! Linux kernel (`dev-tools/ktap`). The guest prints, the runner's judge reads. Lines of a test's
//! cases are indented by [`INDENT`].

use core::fmt;

/// The first line.
pub const BANNER: &str = "--- Xen Test Framework ---";
/// The second line; the environment's banner and paging mode follow.
pub const ENVIRONMENT: &str = "Environment: ";
/// Begins a KTAP document, or that of a subtest; the version follows.
pub const KTAP: &str = "KTAP version ";
/// The version of KTAP that is spoken.
pub const KTAP_VERSION: &str = "1";
/// Begins a plan; the number of results follows.
pub const PLAN: &str = "1..";
/// In front of the lines of a subtest.
pub const INDENT: &str = "  ";
/// Begins a line that explains.
pub const DIAGNOSTIC: &str = "# ";
/// In a diagnostic: the name of the test whose cases follow.
pub const SUBTEST: &str = "Subtest: ";
/// Begins the result line of what holds, is skipped, or succeeds; number and name follow.
pub const OK: &str = "ok ";
/// Begins every other result line.
pub const NOT_OK: &str = "not ok ";
/// Between the name of a result line and its directive: one of the next three, and why.
pub const DIRECTIVE: &str = " # ";
/// Directive of an [`OK`] line: the claim does not apply.
pub const SKIP: &str = "SKIP";
/// Directive of a [`NOT_OK`] line: the test could not do its work.
pub const ERROR: &str = "ERROR";
/// Directive of an [`OK`] line: Xen broke the claim in a known way, which is tolerated. Most readers of
/// KTAP count a `not ok` as a failure whatever its directive.
pub const XFAIL: &str = "XFAIL";
/// Begins the last line; a [`Status`] follows.
pub const RESULT: &str = "Test result:";

/// Diagnostic before the plan: Xen's version and, in parentheses, its changeset.
pub const XEN: &str = "xen: ";
/// Diagnostic before the plan: Xen's build-id in hexadecimal, or why there is none.
pub const BUILD_ID: &str = "build-id: ";
/// Diagnostic before the plan: Xen's command line, as Xen keeps it.
pub const XEN_COMMAND_LINE: &str = "xen command line: ";
/// Diagnostic before the plan: what Xen says against an option of its command line.
pub const XEN_REFUSES: &str = "xen refuses: ";

/// Diagnostic of a case: a deviation that this Xen is known for did not show. Its name and what is
/// expected of it follow. It is news if the case succeeds.
pub const NEWS: &str = "NEWS ";
/// Diagnostic: the guest panicked; place and message follow.
pub const PANIC: &str = "PANIC ";
/// Diagnostic: a trap that nobody expected; its name follows, registers come in further lines.
pub const TRAP: &str = "TRAP ";
/// Diagnostic after [`PANIC`]: return addresses, each in hexadecimal after a blank.
pub const BACKTRACE: &str = "backtrace:";

/// Diagnostic before the plan of a guest that tells [`TOTALS`] of each test. Older ones do not.
pub const TELLS_TOTALS: &str = "each test tells its totals";
/// Diagnostic of a test between its last case and its result line; [`Totals`] follow. A verdict that
/// lost its directive on the way contradicts them.
pub const TOTALS: &str = "Totals: ";

/// The whole line that a guest prints before it waits for its last words ([`crate::cmdline`]).
pub const WAITING: &str = "# waiting for the command line";
/// The line of a guest that calls for inputs again and again, and has not got any yet.
pub const CALLING: &str = "# waiting for inputs";

/// How many cases of a test ended how, in the words of the kernel's own tests (`kselftest.h`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// The claim holds.
    pub pass: usize,
    /// Xen broke the claim.
    pub fail: usize,
    /// Directive [`XFAIL`].
    pub xfail: usize,
    /// The claim holds, with [`NEWS`].
    pub xpass: usize,
    /// Directive [`SKIP`].
    pub skip: usize,
    /// Directive [`ERROR`].
    pub error: usize,
}

impl Totals {
    /// What [`Display`](fmt::Display) wrote, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut number = |name: &str| {
            let digits = words.next()?.strip_prefix(name)?.strip_prefix(':')?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        let totals = Self {
            pass: number("pass")?,
            fail: number("fail")?,
            xfail: number("xfail")?,
            xpass: number("xpass")?,
            skip: number("skip")?,
            error: number("error")?,
        };
        words.next().is_none().then_some(totals)
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pass, fail, xfail, xpass, skip, error } = self;
        write!(f, "pass:{pass} fail:{fail} xfail:{xfail} xpass:{xpass} skip:{skip} error:{error}")
    }
}

/// The status of a test or of the whole run, in XTF's words, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Status {
    /// Every claim that was checked holds.
    Success,
    /// Nothing was checked, for a stated reason.
    Skip,
    /// A test could not do its work.
    Error,
    /// Xen broke a claim.
    Failure,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Success, Self::Skip, Self::Error, Self::Failure];

    /// The word after [`RESULT`].
    pub const fn word(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::Skip => "SKIP",
            Self::Error => "ERROR",
            Self::Failure => "FAILURE",
        }
    }

    /// The status that `word` stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.word() == word)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn totals_are_read_as_they_are_written() {
        let totals = Totals { pass: 1, fail: 2, xfail: 3, xpass: 4, skip: 5, error: 60 };
        let text = totals.to_string();
        assert_eq!(text, "pass:1 fail:2 xfail:3 xpass:4 skip:5 error:60");
        assert_eq!(Totals::parse(&text), Some(totals));
    }

    #[test]
    fn totals_that_lost_anything_but_a_digit_are_none() {
        let text = Totals::default().to_string();
        for at in 0..text.len() {
            let (before, behind) = (&text[..at], &text[at + 1..]);
            assert_eq!(Totals::parse(&[before, behind].concat()), None, "{at}");
            assert_eq!(Totals::parse(before), None, "{at}");
        }
        for odd in ["pass:+1 fail:0 xfail:0 xpass:0 skip:0 error:0", &[&text, " x:1"].concat()] {
            assert_eq!(Totals::parse(odd), None, "{odd}");
        }
    }
}

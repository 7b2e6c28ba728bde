//! What the guest tells of the changes to Xen that it looked for at its start, in diagnostics
//! before its plan.

use core::fmt;

/// Begins the words about changes, one [`Sight`] for each that was looked for.
pub const CHANGES: &str = "changes: ";
/// Begins a sentence about this Xen that belongs into every report.
pub const NOTE: &str = "note: ";

/// How a word says that Xen has a change.
const PRESENT: char = '+';
/// How it says that Xen has not.
const ABSENT: char = '-';
/// Ends the word where Xen's release, or what is stated about it, would have said otherwise.
const SURPRISING: char = '!';

/// A change that was looked for: `+name`, `-name`, `+name!` or `-name!`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sight<'n> {
    /// The change's name.
    pub name: &'n str,
    /// Whether Xen has it.
    pub present: bool,
    /// Whether its release, or what is stated about it, would have said otherwise.
    pub surprising: bool,
}

impl<'n> Sight<'n> {
    /// Reads a word.
    pub fn parse(word: &'n str) -> Option<Self> {
        let (name, surprising) = match word.strip_suffix(SURPRISING) {
            Some(rest) => (rest, true),
            None => (word, false),
        };
        let Statement { name, present } = Statement::parse(name)?;
        Some(Self { name, present, surprising })
    }
}

impl fmt::Display for Sight<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, present, surprising } = *self;
        write!(f, "{}{name}", if present { PRESENT } else { ABSENT })?;
        if surprising { write!(f, "{SURPRISING}") } else { Ok(()) }
    }
}

/// What is stated about a change, in the configuration and on the guest's command line
/// ([`crate::cmdline::CHANGES`]): `+name` or `-name`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Statement<'n> {
    /// The change's name.
    pub name: &'n str,
    /// Whether Xen has it.
    pub present: bool,
}

impl<'n> Statement<'n> {
    /// Reads a word.
    pub fn parse(word: &'n str) -> Option<Self> {
        let named = |name: &'n str, present| {
            let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            let whole = !name.is_empty() && name.chars().all(kebab);
            whole.then_some(Self { name, present })
        };
        match word.strip_prefix(PRESENT) {
            Some(name) => named(name, true),
            None => named(word.strip_prefix(ABSENT)?, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::{Sight, Statement};

    #[test]
    fn words_are_read_as_they_are_written() {
        for present in [true, false] {
            for surprising in [true, false] {
                let sight = Sight { name: "op-flags", present, surprising };
                assert_eq!(Sight::parse(&sight.to_string()), Some(sight));
            }
        }
        assert_eq!(Sight::parse("-a-b!").map(|sight| sight.name), Some("a-b"));
        for wrong in ["", "+", "-", "!", "+!", "op-flags", "op-flags!", "+a b", "+a,b", "+A"] {
            assert_eq!(Sight::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Statement::parse("-x"), Some(Statement { name: "x", present: false }));
        assert_eq!(Statement::parse("-x!"), None);
    }
}

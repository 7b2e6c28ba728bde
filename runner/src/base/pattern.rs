//! A pattern of the user's for names, in the one dialect of [`protocol::wildcard`].

use std::fmt;

use protocol::wildcard::fits;

/// `*` stands for any text, `?` for one character, everything else for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// The pattern that `text` spells. Every text is one.
    pub fn new(text: impl Into<String>) -> Pattern {
        Pattern(text.into())
    }

    /// The pattern for every text.
    pub fn every() -> Pattern {
        Pattern::new("*")
    }

    /// Whether it is a pattern for `text`, as a whole.
    pub fn matches(&self, text: &str) -> bool {
        fits(&self.0, text)
    }

    /// As the user spelled it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

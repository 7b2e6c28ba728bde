//! A pattern of the user's for names, in the one dialect of [`protocol::wildcard`].

use std::fmt;

use protocol::wildcard::{fits, is_pattern};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// The pattern that `text` spells; else why it spells none.
    pub fn new(text: &str) -> Result<Pattern, String> {
        if is_pattern(text) {
            Ok(Pattern(text.to_owned()))
        } else {
            Err(format!(
                "`{text}` is not a valid pattern: a `[` is never closed; `[[]` means the character"
            ))
        }
    }

    /// The pattern for a test or a Xen of that name, which holds nothing special.
    pub fn of_name(name: &str) -> Pattern {
        Pattern(name.to_owned())
    }

    /// The pattern for every text.
    pub fn every() -> Pattern {
        Pattern::of_name("*")
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

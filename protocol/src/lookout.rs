//! The guest asks the runner to look at the machine from outside.
//!
//! They talk over a serial port of the machine's that Xen leaves alone. The guest writes a line, a
//! [`Request`], and waits for a line, which is an [`Answer`]. It waits as long as it takes: the
//! runner's limits apply, and a runner that is asked always answers.

use core::fmt;

/// Parameter: where somebody who looks from outside can be asked, [`COM2`].
pub const LOOKOUT: &str = "lookout";
/// Value of [`LOOKOUT`]: at the second serial port of a PC.
pub const COM2: &str = "com2";

/// The longest answer, in bytes, without its newline.
pub const ANSWER_MAX: usize = 1024;

/// What is asked of the one outside, about Xen's code and constants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// To remember how they are now.
    Remember,
    /// Whether they differ from what is remembered as the payloads want it, which are all applied,
    /// and in nothing else.
    Patched,
    /// Whether they are as is remembered, to the byte.
    Restored,
}

impl Request {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Remember, Self::Patched, Self::Restored];

    /// The line that stands for it.
    pub const fn line(self) -> &'static str {
        match self {
            Self::Remember => "remember",
            Self::Patched => "patched",
            Self::Restored => "restored",
        }
    }

    /// The one that a line stands for.
    pub fn of_line(line: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|request| request.line() == line)
    }
}

/// What the one outside found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finding {
    /// It is so.
    Holds,
    /// Nobody can tell here.
    Untold,
    /// It is not so.
    Broken,
    /// It could not be looked at.
    Unseen,
}

impl Finding {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Holds, Self::Untold, Self::Broken, Self::Unseen];

    /// The first word of the answer.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Untold => "untold",
            Self::Broken => "broken",
            Self::Unseen => "unseen",
        }
    }
}

/// A line in answer to a request: the finding's word, a blank, and what there is to say of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer<'t> {
    /// What was found.
    pub finding: Finding,
    /// In words.
    pub text: &'t str,
}

impl<'t> Answer<'t> {
    /// The answer in a line.
    pub fn of_line(line: &'t str) -> Option<Self> {
        let (word, text) = line.split_once(' ').unwrap_or((line, ""));
        let finding = Finding::ALL.into_iter().find(|finding| finding.word() == word)?;
        Some(Self { finding, text })
    }
}

impl fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.finding.word(), self.text)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn lines_are_read_as_they_are_written() {
        for request in Request::ALL {
            assert_eq!(Request::of_line(request.line()), Some(request));
        }
        for finding in Finding::ALL {
            let answer = Answer { finding, text: "2 functions, 10 bytes" };
            assert_eq!(Answer::of_line(&answer.to_string()), Some(answer));
        }
        assert_eq!(Answer::of_line("holds"), Some(Answer { finding: Finding::Holds, text: "" }));
        assert_eq!((Request::of_line("look"), Answer::of_line("holdsx y")), (None, None));
    }
}

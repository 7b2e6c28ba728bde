//! The status words of XTF, and how several of them make one.

use std::fmt;

use anstyle::{AnsiColor, Style};
use protocol::console;
use serde::{Deserialize, Serialize};

/// Outcome of a case or test. Ordered by severity; a test's status only ever worsens.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Deserialize,
    Serialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Every claim held.
    Success,
    /// Not run, with a reason.
    Skip,
    /// The test could not do its work.
    Error,
    /// Xen broke a claim.
    Failure,
    /// The runner's word: Xen or the guest died.
    Crash,
    /// The runner's word: no result in time.
    Timeout,
}

impl Status {
    /// The status of a whole from those of its parts.
    ///
    /// The worst wins, except that a skipped part does not make the whole a skip while another part
    /// succeeded. `None` if there are no parts.
    pub fn of_parts(parts: impl IntoIterator<Item = Status>) -> Option<Status> {
        parts.into_iter().reduce(|whole, part| match (whole, part) {
            (Status::Success, Status::Skip) | (Status::Skip, Status::Success) => Status::Success,
            _ => whole.max(part),
        })
    }

    /// The status in the display's words and colours.
    pub fn label(self) -> (&'static str, Style) {
        let (word, colour) = match self {
            Status::Success => ("PASS", AnsiColor::Green),
            Status::Skip => ("SKIP", AnsiColor::Yellow),
            Status::Error => ("ERROR", AnsiColor::Red),
            Status::Failure => ("FAIL", AnsiColor::Red),
            Status::Crash => ("CRASH", AnsiColor::Magenta),
            Status::Timeout => ("TIMEOUT", AnsiColor::Magenta),
        };
        (word, colour.on_default().bold())
    }

    /// The statuses that the guest itself can print.
    pub fn from_guest(word: &str) -> Option<Status> {
        Some(match console::Status::from_word(word)? {
            console::Status::Success => Status::Success,
            console::Status::Skip => Status::Skip,
            console::Status::Error => Status::Error,
            console::Status::Failure => Status::Failure,
        })
    }

    /// Whether this belongs among the failed ones of a summary.
    pub fn is_bad(self) -> bool {
        self > Status::Skip
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Status::Success => console::Status::Success.word(),
            Status::Skip => console::Status::Skip.word(),
            Status::Error => console::Status::Error.word(),
            Status::Failure => console::Status::Failure.word(),
            Status::Crash => "CRASH",
            Status::Timeout => "TIMEOUT",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Status::{self, *};

    #[test]
    fn a_skip_beside_a_success_is_a_success() {
        assert_eq!(Status::of_parts([Skip, Success, Skip]), Some(Success));
        assert_eq!(Status::of_parts([Skip, Skip]), Some(Skip));
        assert_eq!(Status::of_parts([Success, Skip, Error]), Some(Error));
        assert_eq!(Status::of_parts([Failure, Success, Error]), Some(Failure));
        assert_eq!(Status::of_parts([]), None);
    }
}

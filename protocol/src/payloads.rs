//! What the runner hands to a guest that tries live patches: an [archive](crate::archive), which
//! the loader passes as initrd.
//!
//! | File | Holds |
//! |---|---|
//! | `payloads/NAME` | a payload, by the name that it gets in Xen; in the order in which they are applied |
//! | `foretold/NUMBER` | lines of [`Answered`]: what one Xen will answer, as the runner foretells; the parameter [`FORETOLD`](crate::programs::FORETOLD) says which file it is |
//! | [`EXTRA_VERSION`] | what `XENVER_extraversion` is to be while all payloads are applied |

use core::fmt;

/// The folder of the payloads.
pub const PAYLOADS: &str = "payloads/";
/// The folder of what is foretold.
pub const FORETOLD: &str = "foretold/";
/// See the module.
pub const EXTRA_VERSION: &str = "expected/extra-version";

/// What is between the parts of an [`Answered`].
const BETWEEN: &str = ": ";

/// A step with a payload and an answer to it, as a line: `NAME: STEP: ANSWER`. A name has no blanks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answered<'a> {
    /// What the payload is called in Xen.
    pub payload: &'a str,
    /// What is done with it.
    pub step: &'a str,
    /// `success`, or the name of an error.
    pub answer: &'a str,
}

impl<'a> Answered<'a> {
    /// What a line says.
    pub fn parse(line: &'a str) -> Option<Self> {
        let (payload, rest) = line.split_once(BETWEEN)?;
        let (step, answer) = rest.split_once(BETWEEN)?;
        Some(Self { payload, step, answer })
    }
}

impl fmt::Display for Answered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{BETWEEN}{}{BETWEEN}{}", self.payload, self.step, self.answer)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn a_line_and_back() {
        let answered = Answered { payload: "a:b", step: "APPLY again", answer: "EINVAL" };
        let line = answered.to_string();
        assert_eq!(line, "a:b: APPLY again: EINVAL");
        assert_eq!(Answered::parse(&line), Some(answered));
        for odd in ["", "a: UPLOAD", "a UPLOAD EINVAL"] {
            assert_eq!(Answered::parse(odd), None, "{odd}");
        }
    }
}

//! How a case ends.

use alloc::format;
use alloc::string::String;
use core::fmt;

/// In success, or as [`Stop`] says.
pub type Outcome = Result<(), Stop>;

/// Fails the case unless the two are equal.
///
/// # Errors
/// A [`Stop::Failure`] that names both.
pub fn expect<T: PartialEq + fmt::Debug>(what: &str, actual: T, expected: T) -> Outcome {
    if actual == expected {
        return Ok(());
    }
    Err(Stop::Failure(format!("{what}: expected {expected:?}, got {actual:?}")))
}

/// Fails the case unless `truth` holds.
///
/// # Errors
/// A [`Stop::Failure`] that says what should have been.
pub fn expect_that(truth: bool, should: impl fmt::Display) -> Outcome {
    if truth { Ok(()) } else { Err(Stop::Failure(format!("expected: {should}"))) }
}

/// How a case ends when not in success.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stop {
    /// It has nothing to say here.
    Skip(String),
    /// It could not do its work: our fault, or the machine's.
    Error(String),
    /// Xen broke the claim.
    Failure(String),
    /// Xen broke the claim in a way that is known by this name and tolerated on this Xen.
    Deviation(&'static str, String),
}

impl Stop {
    /// The case does not apply, because.
    pub fn skip(why: impl fmt::Display) -> Self {
        Self::Skip(format!("{why}"))
    }

    /// The case could not do its work, because.
    pub fn error(why: impl fmt::Display) -> Self {
        Self::Error(format!("{why}"))
    }

    /// Xen broke the claim: how.
    pub fn failure(how: impl fmt::Display) -> Self {
        Self::Failure(format!("{how}"))
    }

    /// Puts what was being looked at in front of the reason.
    pub fn at(self, place: impl fmt::Display) -> Self {
        match self {
            Self::Skip(why) => Self::Skip(format!("{place}: {why}")),
            Self::Error(why) => Self::Error(format!("{place}: {why}")),
            Self::Failure(how) => Self::Failure(format!("{place}: {how}")),
            Self::Deviation(id, how) => Self::Deviation(id, format!("{place}: {how}")),
        }
    }
}

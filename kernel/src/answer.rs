//! What a hypercall answers.

use alloc::format;
use core::fmt;

use crate::outcome::{Outcome, Stop};

pub use livepatch::Errno;

/// The raw return value of a hypercall: an error below zero, else a value.
#[derive(Clone, Copy, PartialEq, Eq)]
#[must_use = "an answer that nobody looks at proves nothing"]
pub struct Answer(pub i64);

impl Answer {
    /// Success without a value.
    pub const SUCCESS: Self = Self(0);

    /// The error, or the value.
    ///
    /// # Errors
    /// What Xen returned, if it was negative.
    pub fn result(self) -> Result<u64, Errno> {
        u64::try_from(self.0).map_err(|_| match u16::try_from(self.0.unsigned_abs()) {
            Ok(number) => Errno(number),
            // No errno is this large; keep it recognisable.
            Err(_) => Errno(u16::MAX),
        })
    }

    /// Fails the case unless Xen gave this answer: an [`Errno`], or the value it returns.
    ///
    /// # Errors
    /// A [`Stop::Failure`] that names both.
    pub fn must_be(self, expected: impl Into<Answer>) -> Outcome {
        let expected = expected.into();
        if self == expected {
            return Ok(());
        }
        Err(Stop::Failure(format!("expected {expected}, got {self}")))
    }

    /// The value, for calls that only prepare what a case is about.
    ///
    /// # Errors
    /// A [`Stop::Error`] that says what was attempted.
    pub fn needed_to(self, what: &str) -> Result<u64, Stop> {
        self.result().map_err(|errno| Stop::Error(format!("could not {what}: {errno}")))
    }
}

impl From<Errno> for Answer {
    fn from(errno: Errno) -> Self {
        Self(-i64::from(errno.0))
    }
}

impl From<i64> for Answer {
    fn from(value: i64) -> Self {
        Self(value)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.result() {
            Ok(0) => f.write_str("success"),
            Ok(value) => write!(f, "{value}"),
            Err(errno) => errno.fmt(f),
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

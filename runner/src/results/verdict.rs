//! What came of a case, in the words of the document.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::status::Status;
use crate::judge::Verdict;

/// A case's verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum VerdictKind {
    /// The claim holds.
    Success,
    /// It was not tried.
    Skip,
    /// It does not hold, in a way that the test names and tolerates on this Xen.
    Deviation,
    /// It could not be decided.
    Error,
    /// It does not hold.
    Failure,
    /// Xen or the guest died while it ran.
    Crash,
    /// It had no result in time.
    Timeout,
}

impl VerdictKind {
    /// The status of a case with this verdict.
    pub fn status(self) -> Status {
        match self {
            VerdictKind::Success | VerdictKind::Deviation => Status::Success,
            VerdictKind::Skip => Status::Skip,
            VerdictKind::Error => Status::Error,
            VerdictKind::Failure => Status::Failure,
            VerdictKind::Crash => Status::Crash,
            VerdictKind::Timeout => Status::Timeout,
        }
    }

    /// The word, as in the document.
    pub fn name(self) -> &'static str {
        match self {
            VerdictKind::Success => "SUCCESS",
            VerdictKind::Skip => "SKIP",
            VerdictKind::Deviation => "DEVIATION",
            VerdictKind::Error => "ERROR",
            VerdictKind::Failure => "FAILURE",
            VerdictKind::Crash => "CRASH",
            VerdictKind::Timeout => "TIMEOUT",
        }
    }
}

impl From<Status> for VerdictKind {
    fn from(status: Status) -> Self {
        match status {
            Status::Success => VerdictKind::Success,
            Status::Skip => VerdictKind::Skip,
            Status::Error => VerdictKind::Error,
            Status::Failure => VerdictKind::Failure,
            Status::Crash => VerdictKind::Crash,
            Status::Timeout => VerdictKind::Timeout,
        }
    }
}

impl fmt::Display for VerdictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<&Verdict> for (VerdictKind, Option<String>) {
    fn from(verdict: &Verdict) -> Self {
        let kind = match verdict {
            Verdict::Success => VerdictKind::Success,
            Verdict::Skip(_) => VerdictKind::Skip,
            Verdict::Error(_) => VerdictKind::Error,
            Verdict::Failure => VerdictKind::Failure,
            Verdict::Deviation(_) => VerdictKind::Deviation,
            Verdict::Crash(_) => VerdictKind::Crash,
            Verdict::Timeout(_) => VerdictKind::Timeout,
        };
        (kind, verdict.why().map(str::to_owned))
    }
}

//! What to expect of a payload that is loaded: of its APPLY, REVERT, another APPLY, and REPLACE.

use std::fmt;

use livepatch::Errno;
use livepatch::model::Image;
use livepatch::payload::Hook;
use serde::{Serialize, Serializer};

use crate::base::hash::hex;

/// What becomes of a payload that is loaded, where it is not simply applied and reverted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prospect {
    /// APPLY refuses it because it belongs on top of something else.
    Depends {
        /// The build-id that it asks for, in hexadecimal.
        on: String,
        /// What is there instead,
        instead: &'static str,
        /// with this build-id.
        id: String,
    },
    /// APPLY refuses it because the code of one of its functions is not what it expects.
    Unmet {
        /// Which of them, from 0.
        function: usize,
        /// The error.
        errno: Errno,
    },
    /// It expects certain code at one of its functions, from 0, where a file below it has put other
    /// code by then.
    Covered(usize),
    /// A hook decides.
    Hook(Hook),
    /// It is refused when it is applied again.
    NotAgain,
    /// REPLACE refuses it, and what replaces it.
    Vetoes,
}

/// The error of [`Prospect::Depends`] (`build_id_dep`).
const ELSEWHERE: Errno = Errno::EINVAL;

impl Prospect {
    /// Those of `image`, which is put upon what has the build-id `below`: Xen, unless others are
    /// `loaded` before it.
    pub fn all(image: &Image, below: &[u8], loaded: bool) -> Vec<Prospect> {
        let mut all = Vec::new();
        if image.depends != below {
            all.push(Prospect::Depends {
                on: hex(&image.depends),
                instead: if loaded { "the file below it" } else { "this Xen" },
                id: hex(below),
            });
        }
        for (function, errno) in image.functions.iter().map(|function| function.unmet).enumerate() {
            all.extend(errno.map(|errno| Prospect::Unmet { function, errno }));
        }
        let decides = [Hook::PreApply, Hook::Apply, Hook::PreRevert, Hook::Revert];
        let there = decides.into_iter().filter(|&hook| image.single(hook).is_some());
        all.extend(there.map(Prospect::Hook));
        all.extend((!image.safe_to_reapply).then_some(Prospect::NotAgain));
        all.extend(image.vetoes().then_some(Prospect::Vetoes));
        all
    }

    /// Whether it is about the code that a function expects.
    pub fn is_unmet_in(&self, number: usize) -> bool {
        matches!(self, Prospect::Unmet { function, .. } if *function == number)
    }

    /// The error to APPLY, if it is refused for that.
    pub fn refuses_apply(&self) -> Option<Errno> {
        match self {
            Prospect::Depends { .. } => Some(ELSEWHERE),
            Prospect::Unmet { errno, .. } => Some(*errno),
            _ => None,
        }
    }
}

impl fmt::Display for Prospect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Prospect::Depends { on, instead, id } => write!(
                f,
                "APPLY: {ELSEWHERE}, because .livepatch.depends is {on}, and {instead} has {id} \
                 (build_id_dep)"
            ),
            Prospect::Unmet { function, errno: Errno::ERANGE } => write!(
                f,
                "APPLY: ERANGE, because the expectation of function {function} is longer than the function \
                 (livepatch_check_expectations)"
            ),
            Prospect::Covered(function) => write!(
                f,
                "APPLY depends on what a file below it has made of the code that function {function} \
                 expects"
            ),
            Prospect::Unmet { function, errno } => write!(
                f,
                "APPLY: {errno}, because the code of function {function} is not what its expectation \
                 says (livepatch_check_expectations)"
            ),
            Prospect::Hook(hook) => write!(f, "the {hook:?} hook decides whether the action works"),
            Prospect::NotAgain => {
                f.write_str("after a REVERT it cannot be applied again: it has writable data")
            }
            Prospect::Vetoes => {
                f.write_str("it cannot take part in a REPLACE: it has a hook before or after")
            }
        }
    }
}

impl Serialize for Prospect {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

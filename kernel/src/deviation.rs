//! Known differences between Xen and what is claimed of it.

use alloc::format;
use core::fmt;

use crate::outcome::{Outcome, Stop};
use crate::report;
use crate::test::Context;
use crate::xen::Xen;

/// A known difference between what a claim says and what some Xens do: tolerated there, always
/// visible, a failure anywhere else.
#[derive(Clone, Copy)]
pub struct Deviation {
    /// By what name it is known.
    pub id: &'static str,
    /// Which Xens have it.
    pub on: fn(&Xen) -> bool,
}

impl Deviation {
    /// Passes if `actual` is `claimed`, and says so where the deviation was expected; is the
    /// tolerated deviation if it is `known` on a Xen that has it.
    ///
    /// # Errors
    /// [`Stop::Deviation`], or [`Stop::Failure`] where neither holds.
    pub fn judge<T: PartialEq + fmt::Debug>(
        &self,
        context: &Context,
        actual: T,
        claimed: T,
        known: T,
    ) -> Outcome {
        if actual == claimed && (self.on)(&context.xen) {
            report::news(self.id, format_args!("got {actual:?} instead of {known:?}"));
        }
        self.judge_where_seen(context, actual, claimed, known)
    }

    /// As [`Self::judge`], for what does not show on every machine, whatever the Xen.
    ///
    /// # Errors
    /// As [`Self::judge`].
    pub fn judge_where_seen<T: PartialEq + fmt::Debug>(
        &self,
        context: &Context,
        actual: T,
        claimed: T,
        known: T,
    ) -> Outcome {
        if actual == claimed {
            return Ok(());
        }
        let id = self.id;
        if actual != known {
            return Err(Stop::failure(format_args!(
                "expected {claimed:?} (or {known:?}, known as {id}), got {actual:?}"
            )));
        }
        if !(self.on)(&context.xen) {
            return Err(Stop::failure(format_args!(
                "expected {claimed:?}, got {actual:?}, known as {id} but not on this Xen"
            )));
        }
        Err(Stop::Deviation(id, format!("expected {claimed:?}, got {actual:?}")))
    }
}

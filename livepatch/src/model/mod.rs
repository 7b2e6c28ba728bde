//! What Xen answers to a livepatch call, and what it holds afterwards.
//!
//! [`Model`] keeps the list of payloads as Xen does: their states and results, the stack of those
//! that are applied, the version stamp. [`Model::step`] takes a [`Step`](crate::program::Step) of a
//! program and returns a [`Prediction`] of the answer and of every byte that Xen writes;
//! [`Prediction::check`] compares it with what really came. The rules are those of
//! `xen/common/livepatch.c`, release by release; the suites' literal cases say the same in other
//! words, and pin it.
//!
//! One thing is not determined: LIST may stop after any entry when something else is waiting for
//! the CPU. Every such answer is accepted, if all that goes with it is right.
//!
//! Of some payloads the model can't tell what they do:
//! [`Model::step`] then returns [`Unforeseen`] and does nothing. Whoever performs such a step
//! nevertheless has to say so with [`Model::lose_track`]; nothing is predicted from then on.
//!
//! The model assumes one CPU, on which every action is over when the call returns.

mod action;
mod calls;
mod loaded;
mod loader;
mod name;
mod prediction;
mod rules;
mod state;

use crate::change::Changes;
pub use loaded::Loaded;
use loader::{Surroundings, load};
use rules::Rules;

pub use loader::{
    Check, Function, HookCode, Image, Item, KnownXen, Neighbours, Refusal, Refused, Returns,
    Unforeseen, XenSymbol, elements,
};
pub use prediction::{Divergence, Looks, Observed, Prediction};
pub use rules::Facts;
pub use state::Model;

/// What Xen makes of `file` when it is uploaded, without anything that it holds already but
/// `others`. The Xen has these `changes` and this build-id.
///
/// # Errors
/// The first check that the file does not pass, or what the model does not know.
pub fn upload(
    file: &[u8],
    changes: Changes,
    build_id: &[u8],
    xen: &dyn KnownXen,
    others: &dyn Neighbours,
) -> Result<Image, Refusal> {
    load(file, &Rules::of_upload(changes), Surroundings { xen, build_id, others })
}

impl Neighbours for &[Image] {
    fn has_symbol(&self, name: &[u8]) -> bool {
        !name.is_empty() && self.iter().any(|image| image.symbols.iter().any(|other| other == name))
    }

    fn has_build_id(&self, id: &[u8]) -> bool {
        self.iter().any(|image| image.build_id == id)
    }
}

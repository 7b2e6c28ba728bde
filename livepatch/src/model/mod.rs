//! What Xen answers to a livepatch call, and what it holds afterwards.
//!
//! [`Model`] keeps the list of payloads as Xen does: their states and results, the stack of those
//! that are applied, the version stamp. [`Model::step`] takes a [`Step`] of a program and returns
//! a [`Prediction`] of the answer and of every byte that Xen writes; [`Prediction::check`]
//! compares it with what really came. The rules are those of `xen/common/livepatch.c`, release by
//! release; the suites' literal cases say the same in other words, and pin it.
//!
//! One thing is not determined: LIST may stop after any entry when something else is waiting for
//! the CPU. Every such answer is accepted, if all that goes with it is right.
//!
//! Of some payloads the model can't tell what they do, or knows that some Xens die of them:
//! [`Model::step`] then returns [`Unforeseen`] and does nothing. Whoever performs such a step
//! nevertheless has to say so with [`Model::lose_track`]; nothing is predicted from then on.
//!
//! The model assumes one CPU, on which every action is over when the call returns.

mod action;
mod calls;
mod loader;
mod prediction;
mod rules;

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use loader::Neighbours;
pub use loader::{Function, HookCode, Image, Returns, Unforeseen, XenSymbol};
pub use prediction::{Divergence, Looks, Observed, Prediction};
pub use rules::Facts;
use rules::Rules;

use crate::abi::{ActionCmd, State, Status};
use crate::program::{Op, Step};

/// A payload in Xen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Loaded {
    /// Its name, without the NUL.
    pub name: Vec<u8>,
    /// Whether it is applied.
    pub state: State,
    /// What the last action came to: 0 or a negative error number.
    pub rc: i32,
    /// Whether it was applied before.
    pub reverted: bool,
    /// What it is.
    pub image: Rc<Image>,
    /// What its variables hold now.
    pub variables: Vec<i32>,
}

impl Loaded {
    fn status(&self) -> Status {
        Status { state: self.state.into(), rc: self.rc }
    }
}

/// What Xen holds.
#[derive(Clone, Debug)]
pub struct Model {
    facts: Rc<Facts>,
    rules: Rules,
    /// In the order of their uploads.
    payloads: Vec<Loaded>,
    /// Names of those that are applied, in that order.
    applied: Vec<Vec<u8>>,
    /// The counter that LIST shows.
    stamp: u32,
    lost: bool,
}

impl Model {
    /// A Xen that holds nothing, and whose version stamp is this.
    pub fn new(facts: Facts, stamp: u32) -> Self {
        Self {
            rules: Rules::new(&facts),
            facts: Rc::new(facts),
            payloads: Vec::new(),
            applied: Vec::new(),
            stamp,
            lost: false,
        }
    }

    /// What it knows of the Xen at hand.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What is loaded, in the order of the uploads.
    pub fn payloads(&self) -> &[Loaded] {
        &self.payloads
    }

    /// Names of the applied payloads, the first one first.
    pub fn applied(&self) -> &[Vec<u8>] {
        &self.applied
    }

    /// The counter that LIST shows.
    pub const fn stamp(&self) -> u32 {
        self.stamp
    }

    /// Whether nothing is predicted any more.
    pub const fn is_lost(&self) -> bool {
        self.lost
    }

    /// Gives up predicting.
    pub const fn lose_track(&mut self) {
        self.lost = true;
    }

    /// Performs a step; `file` is the payload's file if it is an UPLOAD.
    ///
    /// # Errors
    /// What happens can't be predicted; nothing has changed.
    pub fn step(&mut self, step: &Step, file: &[u8]) -> Result<Prediction<'_>, Unforeseen> {
        if self.lost {
            return Ok(Prediction::anything());
        }
        self.call(step, file)
    }

    /// What the patched functions return now; [`Op::Look`].
    pub fn looks(&self) -> Looks {
        let mut looks = Looks::new(&self.facts);
        for name in &self.applied {
            let Some(payload) = self.find(name) else { continue };
            for function in &self.payloads[payload].image.functions {
                match (function.target, &function.returns) {
                    (Some(XenSymbol::Extra), Returns::Text(text)) => looks.extra = text.clone(),
                    (Some(XenSymbol::Minor), Returns::Number(minor)) => looks.minor = *minor,
                    (Some(XenSymbol::Major), Returns::Number(major)) => looks.major = *major,
                    _ => {}
                }
            }
        }
        looks
    }

    /// Whether a step would apply a payload that can never be reverted.
    pub fn would_stay(&self, step: &Step) -> bool {
        let Op::Action(action) = &step.op else { return false };
        let takes_effect = matches!(action.cmd, ActionCmd::Apply | ActionCmd::Replace);
        let named = calls::get_name(&action.name).ok().and_then(|name| self.find(&name));
        takes_effect && named.is_some_and(|index| self.payloads[index].image.stays())
    }

    /// The index of the payload with that name.
    fn find(&self, name: &[u8]) -> Option<usize> {
        self.payloads.iter().position(|payload| payload.name == name)
    }

    /// All that distinguishes it from another state of the same Xen.
    pub fn key(&self) -> (Vec<Loaded>, Vec<Vec<u8>>) {
        (self.payloads.clone(), self.applied.clone())
    }
}

impl Neighbours for Vec<Loaded> {
    fn has_symbol(&self, name: &[u8]) -> bool {
        !name.is_empty() && self.iter().any(|p| p.image.symbols.iter().any(|symbol| symbol == name))
    }

    fn has_build_id(&self, id: &[u8]) -> bool {
        self.iter().any(|payload| payload.image.build_id == id)
    }
}

impl Looks {
    fn new(facts: &Facts) -> Self {
        Self {
            extra: String::from(&*facts.extra_version),
            major: facts.release.major.into(),
            minor: facts.release.minor.into(),
        }
    }
}

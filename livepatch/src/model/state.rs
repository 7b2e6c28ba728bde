//! What Xen holds, between two calls.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use super::loaded::Loaded;
use super::loader::{Returns, XenSymbol};
use super::prediction::Looks;
use super::rules::{Facts, Rules};

/// What Xen holds.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) facts: Rc<Facts>,
    pub(super) rules: Rules,
    /// In the order of their uploads.
    pub(super) payloads: Vec<Loaded>,
    /// Names of those that are applied, in that order.
    pub(super) applied: Vec<Vec<u8>>,
    /// The counter that LIST shows.
    pub(super) stamp: u32,
    pub(super) lost: bool,
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

    /// What the patched functions return now; [`Op::Look`](crate::program::Op::Look).
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

    /// The index of the payload with that name.
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        self.payloads.iter().position(|payload| payload.name == name)
    }

    /// All that distinguishes it from another state of the same Xen.
    pub fn key(&self) -> (Vec<Loaded>, Vec<Vec<u8>>) {
        (self.payloads.clone(), self.applied.clone())
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

//! What Xen keeps of a payload.

use alloc::rc::Rc;
use alloc::vec::Vec;

use super::loader::{Image, Neighbours};
use crate::abi::{LivepatchStatus, State};

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
    pub(super) fn status(&self) -> LivepatchStatus {
        LivepatchStatus { state: self.state.into(), rc: self.rc }
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

//! What differs between Xens and kinds of guest.

use alloc::string::String;
use alloc::vec::Vec;

use crate::abi::{Revision, SysctlVersion};
use crate::change::{Change, Changes, Release};

/// What the model has to know of the Xen at hand.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What it calls itself.
    pub release: Release,
    /// The changes that it has.
    pub changes: Changes,
    /// The interface version that it speaks.
    pub version: SysctlVersion,
    /// The structures that go with it.
    pub revision: Revision,
    /// Whether the caller is a PV guest, some of whose addresses Xen refuses at sight.
    pub pv: bool,
    /// Xen's own build-id.
    pub build_id: Vec<u8>,
    /// What XENVER_extraversion tells while nothing is patched.
    pub extra_version: String,
    /// Whether the functions that [`FunctionTarget`](crate::program::FunctionTarget) names begin
    /// with an ENDBR64, if known.
    pub endbr: Option<bool>,
}

/// Which of the differences apply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    changes: Changes,
    /// Some of a PV guest's addresses are refused at sight.
    pub pv: bool,
}

impl Rules {
    pub fn new(facts: &Facts) -> Self {
        Self { changes: facts.changes, pv: facts.pv }
    }

    /// Those of an upload, which is the same for every kind of guest.
    pub fn of_upload(changes: Changes) -> Self {
        Self { changes, pv: false }
    }

    /// Whether Xen has the change.
    pub fn has(self, change: Change) -> bool {
        self.changes.has(change)
    }

    /// Whether a payload may patch its own code: protection is lifted only for what Xen knows.
    pub fn own_text_is_patchable(self) -> bool {
        !self.has(Change::ProtectedPatching) || self.has(Change::LoadedRegions)
    }

    /// Whether a payload with a read-only `.livepatch.funcs` can be applied.
    pub fn read_only_functions(self) -> bool {
        !self.has(Change::ProtectedPatching) || self.has(Change::FunctionState)
    }
}

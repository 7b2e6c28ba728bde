//! What differs between releases and kinds of guest.

use alloc::string::String;
use alloc::vec::Vec;

use crate::abi::{Revision, SysctlVersion};
use crate::release::{Release, point_release, release};

/// What the model has to know of the Xen at hand.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Which release it is.
    pub release: Release,
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
    /// Expectations, hooks, metadata, NODEPS, `.livepatch.xen_depends` (4.14).
    pub v2: bool,
    /// LIST's total sizes are limits (4c3ce492ed).
    pub bounded_list: bool,
    /// The outer padding is flags (62a72092a5).
    pub op_flags: bool,
    /// Some of a PV guest's addresses are refused at sight.
    pub pv: bool,
    /// ENDBR64 is left alone, symbols of sections that are not loaded are ignored, empty sections
    /// do not count, an unknown name comes before a bad size (6974c75180 and its companions).
    pub endbr_aware: bool,
    /// An ENDBR64 that Xen itself has overwritten counts as one.
    pub endbr_poison: bool,
    /// The payload's Xen is compared first of all, and notes of a wrong kind are ENODATA
    /// (8c81423038 and its companions).
    pub early_xen_depends: bool,
    /// What Xen notes about a function is not in the payload (82182ad7b4).
    pub keeps_function_state: bool,
    /// Write protection stays on while patching, and is lifted only for known regions
    /// (8676092a0f); payloads that are merely loaded are known since a57b4074ab.
    pub own_text_is_patchable: bool,
    /// As above: a read-only `.livepatch.funcs` can be applied.
    pub read_only_functions: bool,
}

impl Rules {
    pub fn new(facts: &Facts) -> Self {
        let xen = facts.release;
        let protects = xen.has(release(4, 18), &[point_release(4, 16, 4), point_release(4, 17, 1)]);
        let keeps = xen.has(release(4, 19), &[point_release(4, 17, 3), point_release(4, 18, 1)]);
        let knows = xen.has(release(4, 19), &[point_release(4, 17, 4), point_release(4, 18, 1)]);
        Self {
            v2: facts.revision.has_metadata_and_flags(),
            bounded_list: facts.revision.list_is_bounded(),
            op_flags: xen >= release(4, 19),
            pv: facts.pv,
            endbr_aware: xen.has(
                release(4, 17),
                &[point_release(4, 14, 5), point_release(4, 15, 3), point_release(4, 16, 1)],
            ),
            endbr_poison: xen >= release(4, 17),
            early_xen_depends: xen
                .has(release(4, 20), &[point_release(4, 18, 4), point_release(4, 19, 1)]),
            keeps_function_state: keeps,
            own_text_is_patchable: !protects || knows,
            read_only_functions: !protects || keeps,
        }
    }
}

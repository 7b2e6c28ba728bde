//! There are no 32-bit PV guests of this image: it has no notes that the domain builder looks for.

pub mod event {
    //! See the module of that name for 64-bit guests.

    /// Never called: no guest that has events of this kind runs.
    pub fn while_one_waits<R>(_masked: bool, _hypercalls: impl FnOnce() -> R) -> R {
        unreachable!("a PV guest of 32 bits")
    }
}

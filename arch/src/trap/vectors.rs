//! The exception vectors.

/// The exception vectors that have an entry stub; interrupts are never enabled.
pub const VECTORS: usize = 32;

/// Vectors whose frame carries an error code: #DF #TS #NP #SS #GP #PF #AC #CP #VC #SX.
pub const WITH_ERROR_CODE: u32 = {
    let vectors = [8, 10, 11, 12, 13, 14, 17, 21, 29, 30];
    let mut mask = 0;
    let mut i = 0;
    while i < vectors.len() {
        mask |= 1 << vectors[i];
        i += 1;
    }
    mask
};

//! Payloads' files, of which the latest are kept: fuzzers use the same ones again and again.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use livepatch::payload::Target;
use livepatch::program::PayloadSpec;

const SLOTS: usize = 512;

/// Builds files, and remembers some.
pub struct Files {
    target: Target,
    slots: Vec<Option<(PayloadSpec, Rc<[u8]>)>>,
}

impl Files {
    /// Files for this Xen.
    pub fn new(target: Target) -> Self {
        Self { target, slots: alloc::vec![None; SLOTS] }
    }

    /// The file of a payload.
    pub fn get(&mut self, spec: &PayloadSpec) -> Rc<[u8]> {
        let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
        spec.hash(&mut hasher);
        let slot = &mut self.slots[hasher.finish() as usize % SLOTS];
        match slot {
            Some((known, file)) if known == spec => file.clone(),
            _ => {
                let file: Rc<[u8]> = spec.to_bytes(&self.target).into();
                *slot = Some((spec.clone(), file.clone()));
                file
            }
        }
    }
}

/// Fowler, Noll and Vo's hash, by words of whatever size is offered.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

//! Reads programs for [`Learned`]. Most steps of a program are those of the one that it was bred
//! from, so their features are remembered.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use livepatch::payload::Target;
use livepatch::program::{Program, Step};

use super::{Part, scopes};
use crate::learn::{Ids, Learned, Seen};

/// As many steps are remembered, and then forgotten.
const KNOWN_MAX: usize = 1 << 14;

/// A step that was read, what is done with its payload, and the features.
struct Known {
    step: Step,
    actions: Vec<&'static str>,
    ids: Ids,
}

/// See the module.
pub struct Reader {
    target: Target,
    known: HashMap<u64, Known>,
}

impl Reader {
    /// Of programs for this Xen.
    pub fn new(target: Target) -> Reader {
        Reader { target, known: HashMap::new() }
    }

    /// What is in `program`, in the terms of `learned`, which is the same each time.
    pub fn read(&mut self, program: &Program, learned: &mut Learned) -> Seen {
        let (payloads, whole) = scopes(program, |part| self.part(part, learned));
        Seen::of(payloads, whole)
    }

    fn part(&mut self, part: Part<'_>, learned: &mut Learned) -> Ids {
        let Part::Step(step, actions) = &part else {
            return learned.encode(&part.features(&self.target));
        };
        let mut hasher = DefaultHasher::new();
        (step, actions).hash(&mut hasher);
        let hash = hasher.finish();
        if let Some(known) = self.known.get(&hash)
            && known.step == **step
            && known.actions == *actions
        {
            return known.ids.clone();
        }
        let ids = learned.encode(&part.features(&self.target));
        if self.known.len() == KNOWN_MAX {
            self.known.clear();
        }
        let Part::Step(step, actions) = part else { return ids };
        self.known.insert(hash, Known { step: step.clone(), actions, ids: ids.clone() });
        ids
    }
}

#[cfg(test)]
mod tests {
    use livepatch::abi::Revision;
    use livepatch::program::{Generator, Mix};

    use super::*;

    #[test]
    fn what_is_remembered_is_what_is_read() {
        let target = || Target::new(Revision::V2, [0x5a; 20]);
        let mut learned = Learned::new(1, Vec::new());
        let mut reader = Reader::new(target());
        let mix = Mix { wild: true, faulty: 96, ..Mix::DEFAULT };
        for _ in 0..2 {
            let mut generator = Generator::new(7, mix);
            for _ in 0..500 {
                let mut program = generator.program(5);
                for _ in 0..2 {
                    let fresh = Reader::new(target()).read(&program, &mut learned);
                    assert_eq!(reader.read(&program, &mut learned), fresh);
                    // The same payload, with which something else is done.
                    program.steps.reverse();
                }
            }
        }
        assert!(reader.known.len() > 100);
    }
}

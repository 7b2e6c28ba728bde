//! What the programs were like that Xen has survived, and how far each came in Xen.

use std::collections::HashMap;

use super::{Id, Ids, Reach};

/// As many are remembered.
const SURVIVORS_MAX: usize = 1 << 15;

/// A bit for each survivor.
pub type Group = Vec<u64>;

/// Scopes that Xen has survived, each once, with all that programs with such a scope executed.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    known: HashMap<Ids, (usize, Reach)>,
    /// Who has a feature.
    with: Vec<Group>,
    /// Who has executed a block,
    through: Vec<Group>,
    /// and how many that are.
    executions: Vec<usize>,
}

impl Evidence {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Xen has survived a program with that scope, which has executed `reach`.
    pub fn add(&mut self, scope: &Ids, reach: &Reach) {
        let count = self.known.len();
        let (index, before) = match self.known.get_mut(scope) {
            Some(known) => known,
            None if count >= SURVIVORS_MAX => return,
            None => {
                scope.iter().for_each(|&id| set(&mut self.with, id as usize, count));
                self.known.entry(scope.clone()).or_insert((count, Reach::default()))
            }
        };
        if before == reach {
            return;
        }
        for block in reach.blocks().filter(|&block| !before.has(block)) {
            set(&mut self.through, block, *index);
            if self.executions.len() <= block {
                self.executions.resize(block + 1, 0);
            }
            self.executions[block] += 1;
        }
        *before = before.blocks().chain(reach.blocks()).collect();
    }

    /// The few blocks of `reach` that the fewest survivors have executed.
    pub fn telling(&self, reach: &Reach) -> Vec<usize> {
        reach.telling(|block| self.executions.get(block).copied().unwrap_or(0))
    }

    /// All of them.
    pub fn everybody(&self) -> Group {
        let count = self.known.len();
        let mut group = vec![u64::MAX; count / 64];
        group.push((1 << (count % 64)) - 1);
        group
    }

    /// Those that have executed all of `blocks`.
    pub fn near(&self, blocks: &[usize]) -> Group {
        let mut group = self.everybody();
        blocks.iter().for_each(|&block| keep(&mut group, self.through.get(block)));
        group
    }

    /// How many of `among` have all `features`.
    pub fn count(&self, features: &[Id], among: &Group) -> usize {
        let mut group = among.clone();
        features.iter().for_each(|&id| keep(&mut group, self.with.get(id as usize)));
        group.iter().map(|word| word.count_ones() as usize).sum()
    }
}

fn set(groups: &mut Vec<Group>, group: usize, member: usize) {
    if groups.len() <= group {
        groups.resize(group + 1, Group::new());
    }
    let group = &mut groups[group];
    if group.len() <= member / 64 {
        group.resize(member / 64 + 1, 0);
    }
    group[member / 64] |= 1 << (member % 64);
}

/// Leaves those in `group` who are in the other one.
fn keep(group: &mut Group, other: Option<&Group>) {
    let other = other.map_or(&[][..], Vec::as_slice);
    for (index, word) in group.iter_mut().enumerate() {
        *word &= other.get(index).copied().unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(blocks: &[usize]) -> Reach {
        blocks.iter().copied().collect()
    }

    #[test]
    fn survivors_are_counted_by_features_and_by_how_far_they_came() {
        let mut evidence = Evidence::default();
        for number in 0..100 {
            let blocks = if number < 10 { &[0, 1, 2][..] } else { &[0, 1] };
            evidence.add(&vec![number % 2, 2 + number], &reach(blocks));
        }
        let all = evidence.everybody();
        assert_eq!((evidence.len(), evidence.count(&[], &all)), (100, 100));
        assert_eq!((evidence.count(&[1], &all), evidence.count(&[1, 3], &all)), (50, 1));
        assert_eq!(evidence.count(&[1, 4], &all), 0);
        assert_eq!(evidence.count(&[1], &evidence.near(&[1, 2])), 5);
        assert_eq!(evidence.count(&[1], &evidence.near(&[3])), 0);
        // The same scope came further.
        evidence.add(&vec![1, 101], &reach(&[2]));
        evidence.add(&vec![1, 101], &reach(&[2]));
        assert_eq!((evidence.len(), evidence.count(&[1], &evidence.near(&[0, 2]))), (100, 6));
    }
}

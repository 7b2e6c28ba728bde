//! Which blocks of Xen a program has executed.

/// As many blocks tell how far a program came.
const TELLING: usize = 8;

/// A set of blocks, by their number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach(Vec<u64>);

impl Reach {
    /// Those that were executed, by how often each was.
    pub fn of(counts: &[u8]) -> Reach {
        counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(block, _)| block).collect()
    }

    /// Whether the block is among them.
    pub fn has(&self, block: usize) -> bool {
        self.0.get(block / 64).is_some_and(|word| word >> (block % 64) & 1 != 0)
    }

    /// All of them, rising.
    pub fn blocks(&self) -> impl Iterator<Item = usize> {
        (0..self.0.len() * 64).filter(|&block| self.has(block))
    }

    /// Those that are in both.
    pub fn common(&self, other: &Reach) -> Reach {
        Reach(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }

    /// The few of them that the fewest others have executed, as `executions` says.
    pub fn telling(&self, executions: impl Fn(usize) -> usize) -> Vec<usize> {
        let mut blocks: Vec<usize> = self.blocks().collect();
        // Of blocks that are as rare, what comes later in the code.
        blocks.sort_by_key(|&block| (executions(block), std::cmp::Reverse(block)));
        blocks.truncate(TELLING);
        blocks.sort_unstable();
        blocks
    }
}

impl FromIterator<usize> for Reach {
    fn from_iter<T: IntoIterator<Item = usize>>(blocks: T) -> Reach {
        let mut words = Vec::new();
        for block in blocks {
            if words.len() <= block / 64 {
                words.resize(block / 64 + 1, 0);
            }
            words[block / 64] |= 1 << (block % 64);
        }
        Reach(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_blocks() {
        let mut counts = vec![0; 130];
        (counts[0], counts[64], counts[129]) = (1, 200, 1);
        let reach = Reach::of(&counts);
        assert_eq!(reach.blocks().collect::<Vec<_>>(), [0, 64, 129]);
        assert!(reach.has(129) && !reach.has(128) && !reach.has(1000));
        let other: Reach = [64, 65].into_iter().collect();
        assert_eq!(reach.common(&other).blocks().collect::<Vec<_>>(), [64]);
    }

    #[test]
    fn rare_blocks_tell_how_far_a_program_came() {
        let reach: Reach = (0..20).collect();
        let often = |block: usize| if block.is_multiple_of(4) { 1 } else { 100 };
        assert_eq!(reach.telling(often), [0, 4, 8, 12, 16, 17, 18, 19]);
    }
}

//! The file in which the plugin numbers a machine's instructions: see [`protocol::timeline`].

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use protocol::timeline::{
    BEGUN_AT, CODE_AT, HASH_AT, HEADER, HIT, HITS_AT, HOLD_AT, MAGIC, MEMORY_AT, OUTPUT_AT,
    OUTPUT_HASH_AT, ring_at,
};

const WORD: usize = size_of::<u64>();

/// What to wait for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// Addresses of instructions, rising.
    code: Vec<u64>,
    /// Addresses and sizes of memory.
    memory: Vec<(u64, u64)>,
}

impl Watch {
    /// These addresses of instructions, and pieces of memory.
    pub fn new(mut code: Vec<u64>, memory: Vec<(u64, u64)>) -> Watch {
        code.sort_unstable();
        code.dedup();
        Watch { code, memory }
    }

    /// Whether there is nothing to wait for.
    pub fn is_empty(&self) -> bool {
        self.code.is_empty() && self.memory.is_empty()
    }
}

/// What was waited for, and came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// How many instructions had begun before.
    pub at: u64,
    /// The address of the instruction.
    pub rip: u64,
    /// The address that it wrote to, if it did that.
    pub wrote_to: Option<u64>,
}

/// Some instruction of a boot, and all before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// How many have begun.
    pub at: u64,
    /// What depends on all of their addresses.
    pub hash: u64,
}

/// The file.
#[derive(Debug)]
pub struct Timeline {
    file: File,
    watch: Watch,
    room: usize,
}

impl Timeline {
    /// Makes it at `path` for a machine that stands at `now`, with room for so many hits.
    pub fn create(path: &Path, now: Moment, watch: Watch, room: usize) -> io::Result<Timeline> {
        // An old one would be mapped still by a machine that is about to end.
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        let mut header = [0; HEADER];
        header[0] = MAGIC;
        (header[BEGUN_AT], header[HASH_AT]) = (now.at, now.hash);
        header[HOLD_AT] = u64::MAX;
        header[CODE_AT] = watch.code.len() as u64;
        header[MEMORY_AT] = watch.memory.len() as u64;
        let memory = watch.memory.iter().flat_map(|&(address, size)| [address, size]);
        let words = header.into_iter().chain(watch.code.iter().copied()).chain(memory);
        let bytes: Vec<u8> = words.flat_map(u64::to_ne_bytes).collect();
        file.write_all_at(&bytes, 0)?;
        let words = ring_at(watch.code.len(), watch.memory.len()) + room * HIT;
        file.set_len((words * WORD) as u64)?;
        Ok(Timeline { file, watch, room })
    }

    /// How many instructions have begun.
    pub fn begun(&self) -> io::Result<u64> {
        self.word(BEGUN_AT)
    }

    /// Where the machine stands.
    pub fn now(&self) -> io::Result<Moment> {
        Ok(Moment { at: self.word(BEGUN_AT)?, hash: self.word(HASH_AT)? })
    }

    /// Where it was when it put out the last byte; at 0 if it never did.
    pub fn last_output(&self) -> io::Result<Moment> {
        Ok(Moment { at: self.word(OUTPUT_AT)?, hash: self.word(OUTPUT_HASH_AT)? })
    }

    /// Holds the machine before it executes the instruction of this number, or one after it.
    pub fn hold(&self, at: u64) -> io::Result<()> {
        self.file.write_all_at(&at.to_ne_bytes(), (HOLD_AT * WORD) as u64)
    }

    /// The last hits, in order, and how many there were in all.
    pub fn hits(&self) -> io::Result<(Vec<Hit>, u64)> {
        let all = self.word(HITS_AT)?;
        let ring = ring_at(self.watch.code.len(), self.watch.memory.len());
        let kept = usize::try_from(all).unwrap_or(usize::MAX).min(self.room);
        let words = self.words(ring, kept * HIT)?;
        let hit = |number: u64| {
            let at = (number % self.room as u64) as usize * HIT;
            let wrote_to = words[at + 2];
            Hit { at: words[at], rip: words[at + 1], wrote_to: (wrote_to != 0).then_some(wrote_to) }
        };
        Ok(((all - kept as u64..all).map(hit).collect(), all))
    }

    fn word(&self, at: usize) -> io::Result<u64> {
        Ok(self.words(at, 1)?[0])
    }

    fn words(&self, at: usize, count: usize) -> io::Result<Vec<u64>> {
        let mut bytes = vec![0; count * WORD];
        self.file.read_exact_at(&mut bytes, (at * WORD) as u64)?;
        Ok(bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_hits_come_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("timeline");
        let watch = Watch::new(vec![3, 1, 3], vec![(0x100, 8)]);
        assert!(!watch.is_empty() && Watch::default().is_empty());
        let timeline = Timeline::create(&path, Moment { at: 7, hash: 8 }, watch, 2).unwrap();
        assert_eq!(timeline.now().unwrap(), Moment { at: 7, hash: 8 });
        assert_eq!(timeline.hits().unwrap(), (vec![], 0));
        let put = |at: usize, words: &[u64]| {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            timeline.file.write_all_at(&bytes, (at * WORD) as u64).unwrap();
        };
        assert_eq!(timeline.word(HEADER + 1).unwrap(), 3);
        put(HITS_AT, &[3]);
        put(ring_at(2, 1), &[30, 3, 0, 20, 1, 0x104]);
        let hits =
            [Hit { at: 20, rip: 1, wrote_to: Some(0x104) }, Hit { at: 30, rip: 3, wrote_to: None }];
        assert_eq!(timeline.hits().unwrap(), (hits.to_vec(), 3));
        put(BEGUN_AT, &[9, 10]);
        put(OUTPUT_AT, &[5, 6]);
        assert_eq!(timeline.now().unwrap(), Moment { at: 9, hash: 10 });
        assert_eq!(timeline.last_output().unwrap(), Moment { at: 5, hash: 6 });
        timeline.hold(4).unwrap();
        assert_eq!(timeline.word(HOLD_AT).unwrap(), 4);
        // Whoever maps it keeps it.
        assert!(Timeline::create(&path, Moment::default(), Watch::default(), 1).is_err());
    }
}

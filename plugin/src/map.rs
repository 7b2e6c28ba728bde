//! Finds the count of each address.

use std::sync::atomic::{AtomicU64, Ordering};

use protocol::plugin::{ATTACHED, COUNT_AT, HEADER, MAGIC, STATE_AT, words};

use crate::shared;

/// What to count, and the counts.
pub struct Map {
    addresses: &'static [AtomicU64],
    counts: &'static [AtomicU64],
}

impl Map {
    /// Maps the file at `path`, and says in it that somebody did.
    pub fn open(path: &str) -> Result<Map, String> {
        let all = shared::map(path)?;
        let word = |at: usize| all.get(at).map(|word| word.load(Ordering::Relaxed));
        if word(0) != Some(MAGIC) {
            return Err(format!(
                "{path} does not have the expected format; are plugin and runner of the same build?"
            ));
        }
        let count = word(COUNT_AT).and_then(|count| usize::try_from(count).ok());
        let count = count.filter(|&count| count < all.len() && words(count) == all.len());
        let count =
            count.ok_or_else(|| format!("{path} does not have the length that its header says"))?;
        let (addresses, counts) = all[HEADER..].split_at(count);
        all[STATE_AT].store(ATTACHED, Ordering::Release);
        Ok(Map { addresses, counts })
    }

    /// All counts, in the order of their addresses.
    pub fn all(&self) -> &'static [AtomicU64] {
        self.counts
    }

    /// The counts of the addresses in an instruction of `size` bytes at `start`.
    ///
    /// There may be several: Xen patches itself when it boots, and puts one long instruction where
    /// its file has several short ones.
    pub fn counts(&self, start: u64, size: u64) -> &'static [AtomicU64] {
        let end = start.saturating_add(size);
        let before = |limit: u64| {
            self.addresses.partition_point(|address| address.load(Ordering::Relaxed) < limit)
        };
        let first = before(start);
        &self.counts[first..before(end).max(first)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{env, fs, process};

    fn file(name: &str, words: &[u64]) -> String {
        let path = env::temp_dir().join(format!("xtf-plugin-{}-{name}", process::id()));
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn counts_reach_the_file() {
        let path = file("good", &[MAGIC, 0, 3, 0, 10, 12, 20, 0, 0, 0]);
        let map = Map::open(&path).unwrap();
        for (start, size) in [(10, 2), (11, 9), (13, 7), (20, 1), (0, 5), (u64::MAX, 8)] {
            for count in map.counts(start, size) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        let words = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let words: Vec<u64> =
            words.as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word)).collect();
        assert_eq!(words, [MAGIC, ATTACHED, 3, 0, 10, 12, 20, 1, 1, 1]);
    }

    #[test]
    fn other_files_are_refused() {
        for (name, words, why) in [
            ("empty", &[][..], "too short"),
            ("short", &[MAGIC, 0, 0], "not have the length"),
            ("strange", &[1, 0, 0, 0], "not have the expected format"),
            ("cut", &[MAGIC, 0, 2, 0, 10, 12, 0], "not have the length"),
            ("huge", &[MAGIC, 0, u64::MAX, 0], "not have the length"),
        ] {
            let path = file(name, words);
            let error = Map::open(&path).err().unwrap();
            fs::remove_file(&path).unwrap();
            assert!(error.contains(why), "{name}: {error}");
        }
    }
}

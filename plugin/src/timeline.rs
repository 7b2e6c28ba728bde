//! Numbers the instructions of a boot, holds the machine before one of them, and notes hits: see
//! [`protocol::timeline`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use protocol::timeline::{
    BEGUN_AT, CODE_AT, HASH_AT, HEADER, HIT, HITS_AT, HOLD_AT, MAGIC, MEMORY_AT, OUTPUT_AT,
    OUTPUT_HASH_AT, next_hash, ring_at,
};

use crate::shared;

/// Between two looks at whether an instruction may go on that was held.
const BREATH: Duration = Duration::from_millis(1);
/// `out %al, (%dx)`, by which consoles are written to.
const OUT: u8 = 0xee;

/// The shared file.
pub struct Timeline {
    header: &'static [AtomicU64],
    code: &'static [AtomicU64],
    memory: &'static [AtomicU64],
    ring: &'static [AtomicU64],
}

/// There is one CPU, hence one writer: a sum need not be atomic.
fn get(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}

fn set(word: &AtomicU64, value: u64) {
    word.store(value, Ordering::Relaxed);
}

impl Timeline {
    /// Maps the file at `path`.
    pub fn open(path: &str) -> Result<Timeline, String> {
        let all = shared::map(path)?;
        let count = |at: usize| all.get(at).and_then(|word| usize::try_from(get(word)).ok());
        let sizes = count(CODE_AT).zip(count(MEMORY_AT));
        let right = all.first().is_some_and(|word| get(word) == MAGIC);
        let sizes = sizes.filter(|&(code, memory)| {
            right
                && code.max(memory) < all.len()
                && ring_at(code, memory) + HIT <= all.len()
                && (all.len() - ring_at(code, memory)).is_multiple_of(HIT)
        });
        let (code, memory) = sizes.ok_or_else(|| {
            format!(
                "{path} does not have the expected format; are plugin and runner of the same build?"
            )
        })?;
        let (header, rest) = all.split_at(HEADER);
        let (code, rest) = rest.split_at(code);
        let (memory, ring) = rest.split_at(2 * memory);
        Ok(Timeline { header, code, memory, ring })
    }

    /// The instruction at `address` is about to be executed.
    pub fn begin(&self, address: u64) {
        let begun = get(&self.header[BEGUN_AT]) + 1;
        set(&self.header[HASH_AT], next_hash(get(&self.header[HASH_AT]), address));
        set(&self.header[BEGUN_AT], begun);
        while begun >= get(&self.header[HOLD_AT]) {
            thread::sleep(BREATH);
        }
    }

    /// That instruction writes a byte to a port.
    pub fn output(&self) {
        set(&self.header[OUTPUT_AT], get(&self.header[BEGUN_AT]));
        set(&self.header[OUTPUT_HASH_AT], get(&self.header[HASH_AT]));
    }

    /// Whether to execute the instruction at `address` is a hit.
    pub fn is_hit(&self, address: u64) -> bool {
        self.code.binary_search_by_key(&address, get).is_ok()
    }

    /// Whether writes to memory can be hits.
    pub fn watches_memory(&self) -> bool {
        !self.memory.is_empty()
    }

    /// The instruction at `address` writes `size` bytes to `to`.
    pub fn write(&self, address: u64, to: u64, size: u64) {
        let meets = |piece: &[AtomicU64]| {
            let (start, length) = (get(&piece[0]), get(&piece[1]));
            to < start.saturating_add(length) && start < to.saturating_add(size)
        };
        if self.memory.chunks_exact(2).any(meets) {
            self.hit(address, to);
        }
    }

    /// A hit of the instruction at `address`, which has begun.
    pub fn hit(&self, address: u64, to: u64) {
        let number = get(&self.header[HITS_AT]);
        let room = (self.ring.len() / HIT) as u64;
        let at = (number % room) as usize * HIT;
        set(&self.ring[at], get(&self.header[BEGUN_AT]) - 1);
        set(&self.ring[at + 1], address);
        set(&self.ring[at + 2], to);
        set(&self.header[HITS_AT], number + 1);
    }
}

/// Whether the instruction of one byte at `code` writes a byte to a port.
///
/// # Safety
/// `code` is where QEMU has an instruction of one byte, or where it has no memory.
pub unsafe fn is_output(code: *const u8) -> bool {
    // Where QEMU has no memory, it may still add an offset to its null pointer.
    // SAFETY: elsewhere the caller promises a byte.
    code.addr() >= 1 << 16 && unsafe { code.read() } == OUT
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{env, fs, process};

    fn with<T>(
        name: &str,
        words: &[u64],
        look: impl Fn(Result<Timeline, String>) -> T,
    ) -> (T, Vec<u64>) {
        let path = env::temp_dir().join(format!("xtf-timeline-{}-{name}", process::id()));
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        fs::write(&path, bytes).unwrap();
        let seen = look(Timeline::open(path.to_str().unwrap()));
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        (seen, bytes.as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word)).collect())
    }

    /// One address of code, one piece of memory, and room for two hits.
    fn words() -> Vec<u64> {
        let mut words = vec![0; ring_at(1, 1) + 2 * HIT];
        (words[0], words[CODE_AT], words[MEMORY_AT], words[HOLD_AT]) = (MAGIC, 1, 1, u64::MAX);
        words[HEADER..HEADER + 3].copy_from_slice(&[0x10, 0x100, 8]);
        words
    }

    #[test]
    fn the_last_hits_stay() {
        let ((), words) = with("hits", &words(), |timeline| {
            let timeline = timeline.unwrap();
            assert!(timeline.is_hit(0x10) && !timeline.is_hit(0x11) && timeline.watches_memory());
            for address in [0x10, 0x20, 0x30] {
                timeline.begin(address);
                match address {
                    0x10 => timeline.hit(address, 0),
                    0x20 => timeline.output(),
                    _ => {}
                }
                for (to, size) in [(0xf8, 8), (0xf9 + address, 8), (0x108, 1)] {
                    timeline.write(address, to, size);
                }
            }
        });
        let hash = [0x10, 0x20, 0x30].into_iter().fold(0, next_hash);
        let then = [0x10, 0x20].into_iter().fold(0, next_hash);
        assert_eq!(words[BEGUN_AT..=HITS_AT], [3, hash, u64::MAX, 2, then, 1]);
        assert_eq!(words[ring_at(1, 1)..][..HIT], [0, 0x10, 0]);
        let ((), words) = with("ring", &self::words(), |timeline| {
            let timeline = timeline.unwrap();
            for address in 1..=3 {
                timeline.begin(address);
                timeline.write(address, 0x104, 8);
            }
        });
        assert_eq!(words[HITS_AT], 3);
        assert_eq!(words[ring_at(1, 1)..], [2, 3, 0x104, 1, 2, 0x104]);
    }

    #[test]
    fn another_format_is_refused() {
        let changes: [fn(&mut Vec<u64>); 3] = [
            |words| words[0] = 1,
            |words| words[CODE_AT] = 1 << 40,
            |words| {
                words.pop();
            },
        ];
        for change in changes {
            let mut words = words();
            change(&mut words);
            let (why, _) = with("other", &words, |timeline| timeline.err());
            assert!(why.is_some_and(|why| why.contains("expected format")));
        }
    }

    #[test]
    fn what_writes_to_a_port() {
        let code = [OUT, 0x90];
        // SAFETY: each is a byte of ours, or is not read.
        unsafe {
            assert!(is_output(&raw const code[0]));
            assert!(!is_output(&raw const code[1]));
            assert!(!is_output(std::ptr::without_provenance(0x10)));
        }
    }
}

//! Writes down what was executed between two marks of the guest's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use protocol::letterbox::NOP_SIZE;
use protocol::mark::{ALIGNMENT, Mark};
use protocol::plugin::{PHASES_HEADER, PHASES_MAGIC, ROWS_AT, WIDTH_AT, row_words};

use crate::{post, shared};

/// The file with the phases.
pub struct Phases {
    number: &'static AtomicU64,
    rows: &'static [AtomicU64],
    /// The counts at the mark before.
    before: Mutex<Vec<u64>>,
}

impl Phases {
    /// Maps the file at `path`, of a map with `count` addresses.
    pub fn open(path: &str, count: usize) -> Result<Phases, String> {
        let all = shared::map(path)?;
        let word = |at: usize| all.get(at).map(|word| word.load(Ordering::Relaxed));
        if word(0) != Some(PHASES_MAGIC) || word(WIDTH_AT) != Some(count as u64) {
            return Err(format!(
                "{path} does not have the expected format; are plugin and runner of the same build?"
            ));
        }
        let (header, rows) = all.split_at(PHASES_HEADER);
        Ok(Phases { number: &header[ROWS_AT], rows, before: Mutex::new(vec![0; count]) })
    }

    /// At `mark` the counts are `counts`.
    pub fn end(&self, mark: Mark, counts: &[AtomicU64]) {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.number.load(Ordering::Relaxed);
        let mut rows = self.rows.chunks_exact(row_words(counts.len()));
        if let Some(row) = usize::try_from(number).ok().and_then(|number| rows.nth(number)) {
            let (which, bits) = row.split_at(1);
            which[0].store(mark as u64, Ordering::Relaxed);
            for (index, (count, before)) in counts.iter().zip(before.iter_mut()).enumerate() {
                let count = count.load(Ordering::Relaxed);
                if count != *before {
                    *before = count;
                    bits[index / 64].fetch_or(1 << (index % 64), Ordering::Relaxed);
                }
            }
        }
        self.number.store(number + 1, Ordering::Release);
    }
}

/// The mark at `code`, if there is one.
///
/// # Safety
/// `code` is where QEMU has an instruction of 8 bytes of the guest's memory.
pub unsafe fn mark(code: *const u8) -> Option<Mark> {
    // Where QEMU has no memory, it may still add an offset to its null pointer.
    if !code.addr().is_multiple_of(ALIGNMENT) || code.addr() < 1 << 16 {
        return None;
    }
    // SAFETY: the caller promises 8 bytes.
    let nop = unsafe { code.cast::<[u8; NOP_SIZE]>().read_unaligned() };
    Mark::from_carried(post::carried(nop)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::letterbox::NOP;
    use protocol::plugin::phases_words;
    use std::{env, fs, process};

    fn file(name: &str, words: &[u64]) -> String {
        let path = env::temp_dir().join(format!("xtf-phases-{}-{name}", process::id()));
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn each_row_tells_what_changed() {
        let mut words = vec![0; phases_words(2, 65)];
        (words[0], words[WIDTH_AT]) = (PHASES_MAGIC, 65);
        let path = file("rows", &words);
        let phases = Phases::open(&path, 65).unwrap();
        let counts: Vec<AtomicU64> = (0..65).map(|_| AtomicU64::new(0)).collect();
        let count = |index: usize| counts[index].fetch_add(1, Ordering::Relaxed);
        count(0);
        count(64);
        phases.end(Mark::Boot, &counts);
        count(64);
        count(3);
        count(3);
        phases.end(Mark::Case, &counts);
        // For a third one there is no room.
        count(5);
        phases.end(Mark::Test, &counts);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let words: Vec<u64> =
            bytes.as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word)).collect();
        let (boot, case) = (Mark::Boot as u64, Mark::Case as u64);
        assert_eq!(words, [PHASES_MAGIC, 3, 65, boot, 1, 1, case, 8, 1]);
    }

    #[test]
    fn a_file_for_another_map_is_refused() {
        for (name, words) in
            [("other", [PHASES_MAGIC, 0, 64]), ("strange", [1, 0, 65]), ("map", [0, 0, 0])]
        {
            let path = file(name, &words);
            let error = Phases::open(&path, 65).err().unwrap();
            fs::remove_file(&path).unwrap();
            assert!(error.contains("expected format"), "{name}: {error}");
        }
    }

    #[test]
    fn what_is_a_mark() {
        #[repr(align(8))]
        struct Code([u8; 16]);
        let of = |carried: u32, at: usize| {
            let mut code = Code([0x90; 16]);
            code.0[at..at + 4].copy_from_slice(&NOP);
            code.0[at + 4..at + 8].copy_from_slice(&carried.to_le_bytes());
            // SAFETY: 8 bytes follow in each case below.
            unsafe { mark(code.0.as_ptr().add(at)) }
        };
        assert_eq!(of(Mark::Case.carried(), 0), Some(Mark::Case));
        assert_eq!(of(Mark::Case.carried(), 8), Some(Mark::Case));
        assert_eq!(of(protocol::letterbox::CALL, 0), None);
        assert_eq!(of(Mark::Test.carried() + 1, 0), None);
        // It might go on in another page.
        assert_eq!(of(Mark::Case.carried(), 4), None);
        // SAFETY: nothing is read there.
        assert_eq!(unsafe { mark(std::ptr::without_provenance(0x1008)) }, None);
    }
}

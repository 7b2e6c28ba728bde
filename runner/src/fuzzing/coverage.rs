//! What an input executes, counted by the compiler's own counters where it was asked for them
//! (`-sanitizer-coverage-inline-8bit-counters`). Without them, nothing is ever new.

use std::sync::OnceLock;

/// Where the counters are, and how many.
static COUNTERS: OnceLock<(usize, usize)> = OnceLock::new();

/// Called before `main` by each part that has counters, with all of them.
// SAFETY: Nothing else has this name: it is reserved for the sanitizers' runtime, which is not
// linked.
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
    let _ = COUNTERS.set((start as usize, stop as usize - start as usize));
}

/// What was executed so far, how often on one way: a bit for each of eight ranges of numbers.
#[derive(Default)]
pub struct Coverage {
    seen: Vec<u8>,
    now: Vec<u8>,
}

impl Coverage {
    /// Whether there are counters.
    pub fn is_counted() -> bool {
        COUNTERS.get().is_some()
    }

    /// Counters that were ever other than 0.
    pub fn places(&self) -> usize {
        self.seen.iter().filter(|&&seen| seen != 0).count()
    }

    /// Forgets what the counters have.
    pub fn begin(&mut self) {
        let Some(&(start, len)) = COUNTERS.get() else { return };
        // SAFETY: The counters are `len` bytes of the program's data. Only this thread executes what
        // counts, besides threads that wait.
        unsafe { std::ptr::write_bytes(start as *mut u8, 0, len) };
    }

    /// Takes in the counters; whether they show something new.
    pub fn is_new(&mut self) -> bool {
        let Some(&(start, len)) = COUNTERS.get() else { return false };
        self.now.resize(len, 0);
        self.seen.resize(len, 0);
        // SAFETY: As above; `now` has `len` bytes of its own.
        unsafe { std::ptr::copy_nonoverlapping(start as *const u8, self.now.as_mut_ptr(), len) };
        let mut new = false;
        for (now, seen) in self.now.chunks(64).zip(self.seen.chunks_mut(64)) {
            if now.iter().all(|&count| count == 0) {
                continue;
            }
            for (&count, seen) in now.iter().zip(seen) {
                let range = match count {
                    0 => 0,
                    1..=3 => 1 << (count - 1),
                    4..=7 => 1 << 3,
                    8..=15 => 1 << 4,
                    16..=31 => 1 << 5,
                    32..=127 => 1 << 6,
                    _ => 1 << 7,
                };
                new |= *seen | range != *seen;
                *seen |= range;
            }
        }
        new
    }
}

//! The files that fuzzer and plugin both map: counts and mailbox.

use std::fs::{self, File};
use std::path::Path;
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use protocol::letterbox::{ANSWER_AT, ANSWER_WORDS, INPUT_MAX, INPUT_OFFSET, NUMBER_AT, SIZE_AT};
use protocol::mailbox::{COPY_AT, GUEST, MAGIC, SIZE, TURN_AT};
use protocol::plugin::{COUNT_AT, HEADER};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::thread::futex;
use xtf_runner::base::exit::{IoContext, Result};

const WORD: usize = size_of::<u64>();

/// A file as words that others change as well.
#[derive(Debug)]
struct Mapped {
    words: *const AtomicU64,
    count: usize,
}

impl Mapped {
    fn open(path: &Path) -> Result<Mapped> {
        let file = File::options().read(true).write(true).open(path).io("open", path)?;
        let size = file.metadata().io("examine", path)?.len();
        let count = usize::try_from(size).unwrap_or(usize::MAX) / WORD;
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: the kernel chooses a free place, so the mapping aliases nothing of Rust's.
        let at = unsafe { mmap(ptr::null_mut(), count * WORD, prot, flags, &file, 0) };
        Ok(Mapped { words: at.io("map", path)?.cast(), count })
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: so many words are mapped until this is dropped. Others change them at any time,
        // which atomics allow for; nobody truncates the file.
        unsafe { slice::from_raw_parts(self.words, self.count) }
    }
}

// SAFETY: the pointer is to a mapping of its own, which any thread may use and unmap.
unsafe impl Send for Mapped {}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped in `open`, and nothing borrows it any more. Should the kernel refuse, it
        // stays mapped.
        let _ = unsafe { munmap(self.words.cast_mut().cast(), self.count * WORD) };
    }
}

/// How often each basic block was executed.
#[derive(Debug)]
pub struct Counts(Mapped);

impl Counts {
    /// Those in the file at `path`.
    pub fn open(path: &Path) -> Result<Counts> {
        Mapped::open(path).map(Counts)
    }

    fn counts(&self) -> &[AtomicU64] {
        let words = self.0.words();
        let count = usize::try_from(words[COUNT_AT].load(Ordering::Relaxed)).unwrap_or(0);
        &words[HEADER + count..]
    }

    /// Begins anew.
    pub fn clear(&self) {
        self.counts().iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }

    /// Into `map`, as far as a byte holds them.
    pub fn read(&self, map: &mut [u8]) {
        for (byte, count) in map.iter_mut().zip(self.counts()) {
            *byte = count.load(Ordering::Relaxed).try_into().unwrap_or(u8::MAX);
        }
    }
}

/// The mailbox.
#[derive(Debug)]
pub struct Mailbox {
    memory: Mapped,
    number: u64,
}

impl Mailbox {
    /// A new one at `path`.
    pub fn create(path: &Path) -> Result<Mailbox> {
        let mut bytes = vec![0; SIZE];
        bytes[..WORD].copy_from_slice(&MAGIC.to_ne_bytes());
        fs::write(path, bytes).io("write", path)?;
        Ok(Mailbox { memory: Mapped::open(path)?, number: 0 })
    }

    fn turn_word(&self) -> &AtomicU32 {
        let word = &self.memory.words()[TURN_AT];
        // SAFETY: half of a mapped word, whose whole nobody uses.
        unsafe { AtomicU32::from_ptr(word.as_ptr().cast()) }
    }

    /// Whose turn it is.
    pub fn turn(&self) -> u32 {
        self.turn_word().load(Ordering::Acquire)
    }

    /// Waits a while for the guest to end its turn. That takes longer than to sleep and to be woken,
    /// and somebody else can use the CPU.
    pub fn wait(&self, time: Duration) {
        let time = time.try_into().ok();
        let flags = futex::Flags::empty();
        // Whatever ends the wait, the caller looks at the turn.
        let _ = futex::wait(self.turn_word(), flags, GUEST, time.as_ref());
    }

    /// Hands an input to the guest, which waits for one.
    pub fn send(&mut self, input: &[u8]) {
        self.number += 1;
        let words = self.memory.words();
        let copy = &words[COPY_AT..];
        let input = &input[..input.len().min(INPUT_MAX)];
        for (word, bytes) in copy[INPUT_OFFSET / WORD..].iter().zip(input.chunks(WORD)) {
            let mut whole = [0; WORD];
            whole[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_ne_bytes(whole), Ordering::Relaxed);
        }
        copy[NUMBER_AT].store(self.number, Ordering::Relaxed);
        copy[SIZE_AT].store(input.len() as u64, Ordering::Relaxed);
        self.turn_word().store(GUEST, Ordering::Release);
        let _ = futex::wake(self.turn_word(), futex::Flags::empty(), u32::MAX);
    }

    /// What the guest answered to the last input.
    pub fn answer(&self) -> [u64; ANSWER_WORDS] {
        let answer = &self.memory.words()[COPY_AT + ANSWER_AT..];
        std::array::from_fn(|index| answer[index].load(Ordering::Relaxed))
    }
}

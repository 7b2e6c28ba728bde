//! Carries inputs and answers between the fuzzer's mailbox and the guest's letterbox.

use std::slice;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use protocol::letterbox::{
    ANSWER_AT, ANSWER_WORDS, CALL, INPUT_MAX, INPUT_OFFSET, LETTERBOX, NOP, NOP_SIZE, NUMBER_AT,
    PAGE, PAIR, SIGN, SIZE_AT,
};
use protocol::mailbox::{self, COPY_AT, GUEST, HOST, LOST, MAGIC, SIZE, TURN_AT};

use crate::shared;

const WORD: usize = size_of::<u64>();
const WORDS: usize = LETTERBOX / WORD;

/// The fuzzer's mailbox.
pub struct Mailbox {
    turn: &'static AtomicU32,
    copy: &'static [AtomicU64],
}

impl Mailbox {
    /// Maps the mailbox at `path`.
    pub fn open(path: &str) -> Result<Mailbox, String> {
        let all = shared::map(path)?;
        if all.len() * WORD != SIZE || all[0].load(Ordering::Relaxed) != MAGIC {
            return Err(format!(
                "{path} is not a mailbox; are plugin and fuzzer of the same build?"
            ));
        }
        // SAFETY: half of a word that is mapped for ever; nobody uses the whole of it.
        let turn = unsafe { AtomicU32::from_ptr(all[TURN_AT].as_ptr().cast()) };
        Ok(Mailbox { turn, copy: &all[COPY_AT..] })
    }

    /// Hands over what is in the letterbox, and puts in what comes back.
    fn exchange(&self, letterbox: &[AtomicU64]) {
        // Where it is not, anything may be.
        let there = match letterbox[NUMBER_AT].load(Ordering::Relaxed) {
            SIGN => signed(letterbox),
            number => number == self.copy[NUMBER_AT].load(Ordering::Relaxed),
        };
        if !there {
            return shared::set_and_wake(self.turn, LOST);
        }
        copy(&letterbox[ANSWER_AT..][..ANSWER_WORDS], &self.copy[ANSWER_AT..]);
        shared::set_and_wake(self.turn, HOST);
        let start = Instant::now();
        mailbox::busy_wait(self.turn, HOST, || start.elapsed());
        shared::wait_while(self.turn, HOST);
        debug_assert_eq!(self.turn.load(Ordering::Relaxed), GUEST);
        let size = self.copy[SIZE_AT].load(Ordering::Relaxed);
        let size = usize::try_from(size).unwrap_or(INPUT_MAX).min(INPUT_MAX);
        let input = INPUT_OFFSET / WORD..(INPUT_OFFSET + size).div_ceil(WORD);
        copy(&self.copy[input.clone()], &letterbox[input]);
        copy(&self.copy[NUMBER_AT..=SIZE_AT], letterbox);
    }
}

fn copy(from: &[AtomicU64], to: &[AtomicU64]) {
    for (from, to) in from.iter().zip(to) {
        to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// Whether each page bears the sign of a guest that calls for the first time.
fn signed(letterbox: &[AtomicU64]) -> bool {
    let pages = letterbox.iter().step_by(PAGE / WORD).enumerate();
    pages.into_iter().all(|(page, word)| word.load(Ordering::Relaxed) == SIGN + page as u64)
}

/// Where in this process the letterbox of the guest is whose call begins at `code`.
///
/// # Safety
/// `code` is where QEMU has an instruction of 8 bytes of the guest's memory.
pub unsafe fn letterbox(code: *const u8) -> Option<*const AtomicU64> {
    // Where QEMU has no memory, it may still add an offset to its null pointer.
    if !code.addr().is_multiple_of(PAIR) || code.addr() < 1 << 16 {
        return None;
    }
    // SAFETY: the caller promises 8 bytes; as many follow them in the same page, since both
    // together are at a multiple of their size.
    let [first, second] = unsafe { code.cast::<[[u8; NOP_SIZE]; 2]>().read_unaligned() };
    let distance = carried(second)?;
    if carried(first)? != CALL {
        return None;
    }
    // The distance counts from the 4 bytes that hold it.
    let place = code.wrapping_add(PAIR - 4).wrapping_offset(distance.cast_signed() as isize);
    place.addr().is_multiple_of(PAGE).then_some(place.cast())
}

/// What a NOP of ours carries.
pub fn carried(nop: [u8; NOP_SIZE]) -> Option<u32> {
    let [a, b, c, d, carried @ ..] = nop;
    ([a, b, c, d] == NOP).then(|| u32::from_le_bytes(carried))
}

/// The guest that owns the letterbox at `place` calls.
///
/// # Safety
/// `place` is from [`letterbox`], for code of a guest of ours.
pub unsafe fn called(mailbox: &Mailbox, place: *const AtomicU64) {
    // SAFETY: the guest's image holds code and letterbox at this distance, and lies in one piece
    // in the memory that QEMU has for the guest, all of it mapped while the guest runs. Should it
    // not lie in one piece, this is other memory of the guest's, where the signs are missing.
    // Others may access it at any time, which atomics allow for.
    mailbox.exchange(unsafe { slice::from_raw_parts(place, WORDS) });
}

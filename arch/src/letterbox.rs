//! Inputs from a host that runs this guest in an emulator with the project's plugin.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::ptr;
use core::slice;

use protocol::letterbox::{
    ANSWER_AT, ANSWER_WORDS, CALL, INPUT_MAX, INPUT_OFFSET, LETTERBOX, NOP, NUMBER_AT, PAGE, PAIR,
    SIGN, SIZE_AT,
};

const WORDS: usize = LETTERBOX / size_of::<u64>();

/// The letterbox. The host finds it by its distance from the call.
#[repr(C, align(4096))]
struct Letterbox(UnsafeCell<[u64; WORDS]>);

// SAFETY: only `Host` touches it, of which there is one at a time.
unsafe impl Sync for Letterbox {}

#[unsafe(link_section = ".bss.letterbox")]
static LETTERBOX_MEMORY: Letterbox = Letterbox(UnsafeCell::new([0; WORDS]));

/// The host, which answered the first call.
pub struct Host {
    number: u64,
}

impl Host {
    /// Calls for the host with nothing to say; `None` where nobody is there.
    ///
    /// # Safety
    /// No other `Host` is in use.
    pub unsafe fn call() -> Option<Host> {
        let words = LETTERBOX_MEMORY.0.get().cast::<u64>();
        for page in 0..LETTERBOX / PAGE {
            // SAFETY: within the letterbox, which is ours alone before the first call.
            unsafe { words.add(page * PAGE / size_of::<u64>()).write(SIGN + page as u64) };
        }
        let mut host = Host { number: SIGN };
        host.exchange().then_some(host)
    }

    /// The input that the host sent.
    pub fn input(&self) -> &[u8] {
        let size = usize::try_from(self.word(SIZE_AT)).unwrap_or(usize::MAX).min(INPUT_MAX);
        let start = LETTERBOX_MEMORY.0.get().cast::<u8>();
        // SAFETY: within the letterbox, which the host leaves alone until the next call: that
        // needs this value exclusively.
        unsafe { slice::from_raw_parts(start.add(INPUT_OFFSET), size) }
    }

    /// Hands back the answer, and waits for the next input; false if the host has gone.
    pub fn answer(&mut self, answer: [u64; ANSWER_WORDS]) -> bool {
        let words = LETTERBOX_MEMORY.0.get().cast::<u64>();
        for (index, word) in answer.into_iter().enumerate() {
            // SAFETY: within the letterbox, and no input is borrowed.
            unsafe { words.add(ANSWER_AT + index).write_volatile(word) };
        }
        self.exchange()
    }

    fn word(&self, index: usize) -> u64 {
        // SAFETY: within the letterbox; the host writes it only during a call.
        unsafe { LETTERBOX_MEMORY.0.get().cast::<u64>().add(index).read_volatile() }
    }

    /// Calls; true if there is a new input. Only here, near the letterbox: see linker.ld.
    #[inline(never)]
    #[unsafe(link_section = ".letterbox.text")]
    fn exchange(&mut self) -> bool {
        // SAFETY: two NOPs, whose bytes the host looks at; it writes to the letterbox before they
        // are over, which the compiler has to expect of this block: it is given the address and
        // may clobber memory. The alignment keeps both in one page.
        unsafe {
            asm!(
                ".balign {pair}",
                ".byte {n0}, {n1}, {n2}, {n3}",
                ".long {call}",
                ".byte {n0}, {n1}, {n2}, {n3}",
                ".long {letterbox} - .",
                pair = const PAIR,
                n0 = const NOP[0],
                n1 = const NOP[1],
                n2 = const NOP[2],
                n3 = const NOP[3],
                call = const CALL,
                letterbox = sym LETTERBOX_MEMORY,
                in("eax") ptr::from_ref(&LETTERBOX_MEMORY),
                options(nostack, preserves_flags),
            );
        }
        let number = self.word(NUMBER_AT);
        let new = number != self.number;
        self.number = number;
        new
    }
}

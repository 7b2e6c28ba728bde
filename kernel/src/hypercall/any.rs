//! Any hypercall with any arguments, for tests that send random ones.
//!
//! No promise is made about the state of this guest afterwards. But no argument, and no aligned
//! word of the memory that arguments may point to, is an address or frame number of memory that
//! Rust code uses.

use alloc::alloc::alloc_zeroed;
use alloc::vec::Vec;
use core::alloc::Layout;

use arch::hypercall::hypercall;
use arch::memory::{NON_CANONICAL, PAGE_SIZE, Protection, Region, XEN_RANGE, protect};
use protocol::hypercalls::MULTICALL;
use protocol::image::BASE;

use crate::Answer;
use crate::outcome::Stop;

const PAGE: usize = PAGE_SIZE as usize;
const WORD: usize = size_of::<u64>();
/// Pages that arguments point at.
const PAGES: usize = 4;
/// Guard, the page to lose, guard, the pages, guard.
const ALL_PAGES: usize = 4 + PAGES;
/// The most entries of a multicall.
pub const ENTRIES_MAX: usize = 4;
/// Words of an entry: the call, its result, and six arguments.
const ENTRY_WORDS: usize = 8;
const RESULT: usize = 1;
/// The result of an entry that Xen did not come to: no answer of Xen's.
const NOT_MADE: u64 = i64::MIN as u64;

/// A call: its number and arguments.
pub type Call = (u32, [u64; 5]);

/// Memory that calls may name. It is never given back: Xen may have been told to write to it.
pub struct Arena {
    whole: Region,
    used: Region,
}

impl Arena {
    /// Takes the memory from the heap.
    ///
    /// # Errors
    /// A [`Stop::Error`] when memory or page tables run out.
    pub fn claim() -> Result<Self, Stop> {
        let layout = Layout::from_size_align(ALL_PAGES * PAGE, PAGE).map_err(Stop::error)?;
        // SAFETY: the layout is not empty.
        let memory = unsafe { alloc_zeroed(layout) };
        if memory.is_null() {
            return Err(Stop::error("out of memory for the arena"));
        }
        let start = memory.expose_provenance() as u64;
        let guards = [0, 2, ALL_PAGES as u64 - 1].map(|guard| start + guard * PAGE_SIZE);
        // What is small passes for a pointer, and a large count would lead from there to the image.
        let small = (PAGE_SIZE..BASE).step_by(PAGE);
        for page in guards.into_iter().chain(small) {
            // SAFETY: the page is the arena's, or nobody's; nobody has a reference into it.
            unsafe { protect(page, Protection::None) }
                .map_err(|error| Stop::error(format_args!("cannot protect a page: {error:?}")))?;
        }
        let whole = Region { start, len: (ALL_PAGES * PAGE) as u64 };
        let used = Region { start: start + 3 * PAGE_SIZE, len: (PAGES * PAGE) as u64 };
        Ok(Self { whole, used })
    }

    /// What arguments may point at.
    pub fn memory(&self) -> Region {
        self.used
    }

    /// A page that may disappear: nothing is ever read or written there.
    pub fn page_to_lose(&self) -> u64 {
        self.whole.start + PAGE_SIZE
    }

    /// Addresses that are wrong, each in its own way.
    pub fn bad_addresses(&self) -> [u64; 6] {
        let after = self.used.end();
        [after, after - 1, self.used.start - 1, NON_CANONICAL, XEN_RANGE, u64::MAX]
    }

    /// Whether Xen may be told this number, as an address or as the number of a frame.
    pub fn may_tell(&self, number: u64) -> bool {
        let end = arch::boot().heap.end();
        let frames = BASE / PAGE_SIZE..end.div_ceil(PAGE_SIZE);
        if self.whole.contains(number) || number == self.page_to_lose() / PAGE_SIZE {
            return true;
        }
        !(BASE..end).contains(&number) && !frames.contains(&number)
    }

    /// Fills the memory, asking `word` again where a number may not be told.
    pub fn fill(&mut self, mut word: impl FnMut() -> u64) {
        for index in 0..self.used.len as usize / WORD {
            let allowed = core::iter::from_fn(|| Some(word())).find(|&word| self.may_tell(word));
            self.put(index, allowed.unwrap_or(0));
        }
    }

    /// Sets one word.
    ///
    /// # Panics
    /// If it lies outside, or may not be told.
    pub fn put(&mut self, index: usize, word: u64) {
        assert!(index < self.used.len as usize / WORD && self.may_tell(word), "internal error");
        let place: *mut u64 =
            core::ptr::with_exposed_provenance_mut(self.used.start as usize + index * WORD);
        // SAFETY: in bounds, and only ever accessed so; Xen may write there at any time, hence
        // volatile.
        unsafe { place.write_volatile(word) };
    }

    /// Performs the call.
    ///
    /// # Panics
    /// If an argument may not be told.
    pub fn perform(&mut self, (number, args): Call) -> Answer {
        assert!(self.may_make(&args), "internal error");
        // SAFETY: Xen writes where it is told to, which is nowhere that Rust code uses. A call
        // that takes this guest's pages away, or has it continue elsewhere, is the end of a domain
        // that is there to be lost; the caller leaves out the calls that are known to.
        Answer(unsafe { hypercall(number, args) })
    }

    /// Performs the calls as the entries of a multicall: its answer, and those to the calls.
    ///
    /// # Panics
    /// If an argument may not be told, or there are more than [`ENTRIES_MAX`].
    pub fn perform_together(&mut self, calls: &[Call]) -> (Answer, Vec<Answer>) {
        assert!(calls.iter().all(|(_, args)| self.may_make(args)), "internal error");
        // Not in the arena: a call would change what the next one is, or what Xen answered to it.
        let mut entries = [[0; ENTRY_WORDS]; ENTRIES_MAX];
        for (entry, (number, args)) in entries[..calls.len()].iter_mut().zip(calls) {
            entry[0] = (*number).into();
            entry[RESULT] = NOT_MADE;
            entry[RESULT + 1..][..args.len()].copy_from_slice(args);
        }
        let place = core::ptr::from_mut(&mut entries).expose_provenance() as u64;
        let arguments = [place, calls.len() as u64, 0, 0, 0];
        // SAFETY: as for a single call; and of the entries Xen writes no more than it is told of.
        let answer = Answer(unsafe { hypercall(MULTICALL, arguments) });
        let answers = entries[..calls.len()].iter().map(|entry| Answer(entry[RESULT] as i64));
        (answer, answers.collect())
    }

    fn may_make(&self, args: &[u64; 5]) -> bool {
        args.iter().all(|&arg| self.may_tell(arg))
    }
}

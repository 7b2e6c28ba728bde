//! How much memory something takes: the tests' allocator counts for each thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Bytes that this thread has taken and not given back, and the most of them so far. What
    /// another thread gives back for it makes it less than it is.
    static TAKEN: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

/// Notes that a thread takes `bytes`, or gives them back.
fn count(bytes: isize) {
    // A thread that ends has no such value any more.
    let _ = TAKEN.try_with(|taken| {
        let (now, most) = taken.get();
        let now = now + bytes;
        taken.set((now, most.max(now)));
    });
}

// SAFETY: All work is done by the system's allocator; to count does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: The caller keeps the same promises to both.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: As above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: As above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.cast_signed() - layout.size().cast_signed());
        // SAFETY: As above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// What `work` makes, and the most bytes that it had at a time.
pub fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = TAKEN.get().0;
    TAKEN.set((before, before));
    let made = work();
    let (_, most) = TAKEN.get();
    (made, (most - before).unsigned_abs())
}

#[test]
fn what_was_given_back_counts_as_well() {
    let (kept, peak) = peak_of(|| {
        drop(std::hint::black_box(vec![0_u8; 10_000]));
        vec![0_u8; 1000]
    });
    assert_eq!(kept.len(), 1000);
    assert!((10_000..11_000).contains(&peak), "{peak}");
}

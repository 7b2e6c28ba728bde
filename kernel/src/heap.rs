//! The global allocator, over the memory that the entry code found.
//!
//! Two layers: small blocks come from lists of blocks of one size each, because the general
//! allocator underneath searches its list of holes for every request, which takes longer than the
//! hypercalls of a test that makes a hundred thousand of them.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

use linked_list_allocator::Heap;
use spin::Mutex;

/// The smallest block that is handed out, and the alignment that every small one has at least.
const SMALLEST: usize = 16;
/// Sizes from [`SMALLEST`] on, each twice the one before.
const CLASSES: usize = 10;
/// The largest small block.
const LARGEST: usize = SMALLEST << (CLASSES - 1);
/// Bytes that are cut into small blocks at a time.
const SLAB: usize = 32 << 10;

/// A small block that nobody uses; it holds the list's next one.
struct Free {
    next: Option<NonNull<Free>>,
}

struct Allocator {
    heap: Heap,
    /// For each size the blocks that nobody uses.
    small: [Option<NonNull<Free>>; CLASSES],
    /// Bytes of all small blocks that nobody uses.
    small_free: usize,
}

// SAFETY: the lists' blocks belong to the allocator alone, wherever it is.
unsafe impl Send for Allocator {}

struct Locked(Mutex<Allocator>);

#[global_allocator]
static HEAP: Locked =
    Locked(Mutex::new(Allocator { heap: Heap::empty(), small: [None; CLASSES], small_free: 0 }));

/// Which list serves a request, and the size of its blocks; `None` for a large one.
const fn class(layout: Layout) -> Option<(usize, usize)> {
    let wanted = if layout.size() > layout.align() { layout.size() } else { layout.align() };
    if wanted > LARGEST {
        return None;
    }
    let size = if wanted < SMALLEST { SMALLEST } else { wanted.next_power_of_two() };
    Some(((size / SMALLEST).trailing_zeros() as usize, size))
}

impl Allocator {
    fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        let Some((class, size)) = class(layout) else {
            return self.heap.allocate_first_fit(layout).ok();
        };
        if self.small[class].is_none() {
            self.cut(class, size);
        }
        let Some(block) = self.small[class] else {
            // No room for so many; maybe for one.
            let layout = Layout::from_size_align(size, size).ok()?;
            return self.heap.allocate_first_fit(layout).ok();
        };
        // SAFETY: blocks in a list hold a `Free` and are used by nobody.
        self.small[class] = unsafe { block.read() }.next;
        self.small_free -= size;
        Some(block.cast())
    }

    /// Cuts more blocks of a size, if there is memory left.
    fn cut(&mut self, class: usize, size: usize) {
        let Ok(layout) = Layout::from_size_align(SLAB, LARGEST) else { return };
        let Ok(slab) = self.heap.allocate_first_fit(layout) else { return };
        for at in (0..SLAB).step_by(size) {
            // SAFETY: inside the slab, of which this block is a part of its own.
            unsafe { self.put(class, size, slab.add(at)) };
        }
    }

    /// Takes a small block back.
    ///
    /// # Safety
    /// It is of that size, aligned to it, and nobody uses it.
    unsafe fn put(&mut self, class: usize, size: usize, block: NonNull<u8>) {
        let block: NonNull<Free> = block.cast();
        // SAFETY: large and aligned enough for a `Free`, and ours by the caller's word.
        unsafe { block.write(Free { next: self.small[class] }) };
        self.small[class] = Some(block);
        self.small_free += size;
    }
}

// SAFETY: the heap hands out disjoint blocks of memory that nobody else uses, under a lock, and
// small ones are disjoint parts of such blocks; traps and panics never return into a holder of
// the lock.
unsafe impl GlobalAlloc for Locked {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.lock().allocate(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(block) = NonNull::new(block) else { return };
        let mut allocator = self.0.lock();
        match class(layout) {
            // SAFETY: the caller returns what `alloc` gave for this layout: a block of the class.
            Some((class, size)) => unsafe { allocator.put(class, size, block) },
            // SAFETY: likewise, from the heap itself.
            None => unsafe { allocator.heap.deallocate(block, layout) },
        }
    }
}

/// Hands the memory that the entry code found to the allocator. Called once, before any
/// allocation.
pub(crate) fn init() {
    let region = arch::boot().heap;
    let start = ptr::with_exposed_provenance_mut(region.start as usize);
    // SAFETY: the region is mapped, writable, and belongs to nobody else from now on.
    unsafe { HEAP.0.lock().heap.init(start, region.len as usize) };
}

/// Bytes that are free, fragmented or not.
pub fn heap_free() -> usize {
    let allocator = HEAP.0.lock();
    allocator.heap.free() + allocator.small_free
}

/// Bytes in all.
pub fn heap_size() -> usize {
    HEAP.0.lock().heap.size()
}

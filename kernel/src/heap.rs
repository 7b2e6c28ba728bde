//! The global allocator, over the memory that the entry code found.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

use linked_list_allocator::Heap;
use spin::Mutex;

struct Locked(Mutex<Heap>);

#[global_allocator]
static HEAP: Locked = Locked(Mutex::new(Heap::empty()));

// SAFETY: the heap hands out disjoint blocks of memory that nobody else uses, under a lock;
// traps and panics never return into a holder of the lock.
unsafe impl GlobalAlloc for Locked {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.lock().allocate_first_fit(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller returns what `alloc` gave for this layout.
            unsafe { self.0.lock().deallocate(block, layout) };
        }
    }
}

/// Hands the memory that the entry code found to the allocator. Called once, before any
/// allocation.
pub(crate) fn init() {
    let region = arch::boot().heap;
    let start = ptr::with_exposed_provenance_mut(region.start as usize);
    // SAFETY: the region is mapped, writable, and belongs to nobody else from now on.
    unsafe { HEAP.0.lock().init(start, region.len as usize) };
}

/// Bytes that are free, fragmented or not.
pub fn heap_free() -> usize {
    HEAP.0.lock().free()
}

/// Bytes in all.
pub fn heap_size() -> usize {
    HEAP.0.lock().size()
}

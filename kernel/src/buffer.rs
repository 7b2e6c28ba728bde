//! Buffers next to an unmapped page, which show exactly what Xen reads and writes.

use alloc::alloc::{alloc, dealloc};
use core::alloc::Layout;
use core::slice;

use arch::memory::{PAGE_SIZE, ProtectError, Protection, protect};
use livepatch::abi::{In, Out};

use crate::outcome::Stop;

const PAGE: usize = PAGE_SIZE as usize;

/// What fresh buffers are filled with, so that untouched bytes can be told.
pub const FILL: u8 = 0xa5;

/// Whole pages of memory between two unmapped ones, in which `len` bytes end at the last byte.
struct Block {
    memory: *mut u8,
    layout: Layout,
    len: usize,
}

impl Block {
    fn new(len: usize) -> Result<Self, Stop> {
        let pages = len.div_ceil(PAGE).max(1) + 2;
        let layout = Layout::from_size_align(pages * PAGE, PAGE)
            .map_err(|_| Stop::error("buffer size overflows"))?;
        // SAFETY: the layout is not empty.
        let memory = unsafe { alloc(layout) };
        if memory.is_null() {
            return Err(Stop::error("out of memory for a guarded buffer"));
        }
        let block = Self { memory, layout, len };
        // SAFETY: the block is ours, all of it.
        unsafe { memory.write_bytes(FILL, layout.size()) };
        for guard in [block.start(), block.end()] {
            block.set(guard, Protection::None)?;
        }
        Ok(block)
    }

    /// The page before the data.
    fn start(&self) -> u64 {
        self.memory.expose_provenance() as u64
    }

    /// The page after the data.
    fn end(&self) -> u64 {
        self.start() + (self.layout.size() - PAGE) as u64
    }

    /// Address of the first of the `len` bytes.
    fn data(&self) -> u64 {
        self.end() - self.len as u64
    }

    fn pointer(&self) -> *mut u8 {
        // SAFETY: the data lies inside the allocation.
        unsafe { self.memory.add(self.layout.size() - PAGE - self.len) }
    }

    fn set(&self, page: u64, protection: Protection) -> Result<(), Stop> {
        // SAFETY: the page is part of this allocation; `Guarded`, `ReadOnly` and `Unmapped`
        // only hand out references that the protection allows.
        unsafe { protect(page, protection) }.map_err(|error| match error {
            ProtectError::NoPaging => Stop::skip("nothing is read-only without paging"),
            error => Stop::error(alloc::format!("cannot protect a page: {error:?}")),
        })
    }

    fn set_data(&self, protection: Protection) -> Result<(), Stop> {
        (self.start() + PAGE_SIZE..self.end())
            .step_by(PAGE)
            .try_for_each(|page| self.set(page, protection))
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: initialised, ours, and readable in the types that offer this.
        unsafe { slice::from_raw_parts(self.pointer(), self.len) }
    }

    fn input(&self) -> In<'_> {
        // SAFETY: from here to the end there is memory of ours, then a page that faults.
        unsafe { In::from_raw(self.data()) }
    }

    fn output(&mut self) -> Out<'_> {
        // SAFETY: as above, and exclusively borrowed.
        unsafe { Out::from_raw(self.data()) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let whole = (self.start()..=self.end()).step_by(PAGE);
        for page in whole {
            self.set(page, Protection::ReadWrite).expect("a page that was protected before");
        }
        // SAFETY: allocated in `new` with this layout, and writable again.
        unsafe { dealloc(self.memory, self.layout) };
    }
}

/// Writable memory whose last byte is the last mapped byte.
pub struct Guarded(Block);

impl Guarded {
    /// `len` bytes of [`FILL`].
    ///
    /// # Errors
    /// A [`Stop::Error`] when memory or page tables run out.
    pub fn new(len: usize) -> Result<Self, Stop> {
        Block::new(len).map(Self)
    }

    /// A copy of `bytes`.
    ///
    /// # Errors
    /// As for [`Guarded::new`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Stop> {
        let mut guarded = Self::new(bytes.len())?;
        guarded.bytes_mut().copy_from_slice(bytes);
        Ok(guarded)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// The bytes.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `Block::bytes`, writable, and exclusively borrowed.
        unsafe { slice::from_raw_parts_mut(self.0.pointer(), self.0.len) }
    }

    /// For Xen to read from: one byte too many faults.
    pub fn input(&self) -> In<'_> {
        self.0.input()
    }

    /// For Xen to write to: one byte too many faults.
    pub fn output(&mut self) -> Out<'_> {
        self.0.output()
    }

    /// As [`Guarded::input`], by an address that has an upper half, which a 32-bit guest's has not.
    pub fn input_with_high_half(&self, high: u32) -> In<'_> {
        // SAFETY: Xen ignores the half and reads this buffer, or reads where this guest has no devices.
        unsafe { In::from_raw(self.0.data() | u64::from(high) << 32) }
    }

    /// As [`Guarded::output`], by an address that has an upper half, which a 32-bit guest's has not.
    pub fn output_with_high_half(&mut self, high: u32) -> Out<'_> {
        // SAFETY: Xen ignores the half and writes to this buffer, or writes beyond 4 GiB, where no
        // memory of ours is.
        unsafe { Out::from_raw(self.0.data() | u64::from(high) << 32) }
    }

    /// Address of the first byte that is not mapped.
    pub fn end(&self) -> u64 {
        self.0.end()
    }

    /// Forbids writing, to Xen as well.
    ///
    /// # Errors
    /// A [`Stop::Error`] when page tables run out.
    pub fn into_read_only(self) -> Result<ReadOnly, Stop> {
        self.0.set_data(Protection::ReadOnly)?;
        Ok(ReadOnly(self.0))
    }

    /// Forbids every access, to Xen as well.
    ///
    /// # Errors
    /// A [`Stop::Error`] when page tables run out.
    pub fn into_unmapped(self) -> Result<Unmapped, Stop> {
        self.0.set_data(Protection::None)?;
        Ok(Unmapped(self.0))
    }
}

/// Memory that can be read but not written.
pub struct ReadOnly(Block);

impl ReadOnly {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// For Xen to read from.
    pub fn input(&self) -> In<'_> {
        self.0.input()
    }

    /// For Xen to fail to write to.
    pub fn output(&mut self) -> Out<'_> {
        self.0.output()
    }

    /// Address of the first byte.
    pub fn start(&self) -> u64 {
        self.0.data()
    }
}

/// Tries to write to memory that cannot be written, as Xen would.
///
/// # Errors
/// The fault, if the protection works.
pub fn try_write(buffer: &ReadOnly) -> Result<(), arch::trap::Fault> {
    // SAFETY: should the write succeed against expectation, it writes what is there already.
    unsafe { arch::trap::write_byte(buffer.start(), buffer.bytes()[0]) }
}

/// Memory that can be neither read nor written.
pub struct Unmapped(Block);

impl Unmapped {
    /// For Xen to fail to read from.
    pub fn input(&self) -> In<'_> {
        self.0.input()
    }

    /// For Xen to fail to write to.
    pub fn output(&mut self) -> Out<'_> {
        self.0.output()
    }

    /// Address of the first byte.
    pub fn start(&self) -> u64 {
        self.0.data()
    }
}

/// An address that Xen can never read from: not one on x86-64 at all.
pub fn non_canonical_input() -> In<'static> {
    // SAFETY: nothing can be mapped there.
    unsafe { In::from_raw(arch::memory::NON_CANONICAL) }
}

/// An address that Xen can never write to: not one on x86-64 at all.
pub fn non_canonical_output() -> Out<'static> {
    // SAFETY: nothing can be mapped there.
    unsafe { Out::from_raw(arch::memory::NON_CANONICAL) }
}

/// The end of what 32 bits can address.
const END: u64 = 1 << 32;

/// The last bytes that 32 bits can address: what begins there and is longer wraps, or ends beyond.
pub fn last_bytes_input(len: usize) -> In<'static> {
    // SAFETY: no device is there whose registers a read would change.
    unsafe { In::from_raw(END - len as u64) }
}

/// As [`last_bytes_input`], for Xen to refuse to write to.
pub(crate) fn last_bytes_output(len: usize) -> Out<'static> {
    // SAFETY: no memory of ours is ever there.
    unsafe { Out::from_raw(END - len as u64) }
}

/// An address in the range that Xen keeps for itself under PV; merely unmapped under PVH, HVM.
pub fn xen_range_input() -> In<'static> {
    // SAFETY: no memory of ours is ever there.
    unsafe { In::from_raw(arch::memory::XEN_RANGE) }
}

/// As [`xen_range_input`], for Xen to refuse to write to.
pub fn xen_range_output() -> Out<'static> {
    // SAFETY: no memory of ours is ever there.
    unsafe { Out::from_raw(arch::memory::XEN_RANGE) }
}

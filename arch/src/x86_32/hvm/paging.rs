//! The paging modes of a 32-bit guest, and its page tables: the first 4 GiB, identity mapped with
//! large pages, of which those that hold a protected page are split.

use core::arch::asm;
use core::ptr;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use protocol::metadata::Environment;

use crate::page::{HEAP_LIMIT, IDENTITY_END, PAGE_SIZE, Page, ProtectError, Protection};

/// How addresses become physical ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Paging {
    /// They are.
    None,
    /// Two levels, entries of 32 bits, large pages of 4 MiB.
    Pse,
    /// Three levels, entries of 64 bits, large pages of 2 MiB.
    Pae,
}

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const LARGE: u64 = 1 << 7;

/// PE; with paging PG and WP (a read-only page is read-only for us too) as well.
const CR0_PE: u32 = 1;
const CR0_PAGING: u32 = 1 << 31 | 1 << 16;
const CR4_PSE: u32 = 1 << 4;
const CR4_PAE: u32 = 1 << 5;

impl Paging {
    const ALL: [Self; 3] = [Self::None, Self::Pse, Self::Pae];

    /// The mode that an environment is about.
    pub const fn of(environment: Environment) -> Self {
        match environment {
            Environment::Hvm32pse => Self::Pse,
            Environment::Hvm32pae => Self::Pae,
            _ => Self::None,
        }
    }

    pub const fn cr0(self) -> u32 {
        match self {
            Self::None => CR0_PE,
            Self::Pse | Self::Pae => CR0_PE | CR0_PAGING,
        }
    }

    pub const fn cr4(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Pse => CR4_PSE,
            Self::Pae => CR4_PAE,
        }
    }

    /// CR3.
    pub fn root(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Pse => DIRECTORIES[0].address() as u32,
            Self::Pae => POINTERS.address() as u32,
        }
    }

    /// Bytes of an entry, and what one of a directory maps.
    const fn entry_size(self) -> u64 {
        if matches!(self, Self::Pae) { 8 } else { 4 }
    }

    const fn large_page(self) -> u64 {
        PAGE_SIZE / self.entry_size() * PAGE_SIZE
    }

    fn read(self, entry: u64) -> u64 {
        // SAFETY: a private helper; the callers pass entries of tables in this image.
        unsafe {
            match self {
                Self::Pae => ptr::with_exposed_provenance::<u64>(entry as usize).read_volatile(),
                _ => ptr::with_exposed_provenance::<u32>(entry as usize).read_volatile().into(),
            }
        }
    }

    fn write(self, entry: u64, value: u64) {
        // SAFETY: as in `read`; what the new value means for others is the caller's concern. The
        // upper half of a wide entry, which is 0, need not be written at the same time.
        unsafe {
            match self {
                Self::Pae => {
                    ptr::with_exposed_provenance_mut::<u64>(entry as usize).write_volatile(value);
                }
                _ => ptr::with_exposed_provenance_mut::<u32>(entry as usize)
                    .write_volatile(value as u32),
            }
        }
    }

    /// The directory entry for `address`: the directories lie one behind the other.
    fn large_entry(self, address: u64) -> u64 {
        DIRECTORIES[0].address() + address / self.large_page() * self.entry_size()
    }
}

/// The address of one of the four entries of PAE's top level, each for a gigabyte.
pub fn top_entry(index: u64) -> u64 {
    POINTERS.address() + index * 8
}

static MODE: AtomicU8 = AtomicU8::new(Paging::None as u8);

/// The mode in use.
pub fn mode() -> Paging {
    Paging::ALL[usize::from(MODE.load(Ordering::Relaxed))]
}

const DIRECTORY_PAGES: usize = 4;
static DIRECTORIES: [Page; DIRECTORY_PAGES] = [const { Page::zeroed() }; DIRECTORY_PAGES];
/// The four entries of PAE's top level.
static POINTERS: Page = Page::zeroed();

/// Tables to split large pages with: enough for a protected page in every 2 MiB of the heap,
/// in page 0 and below the stack.
const SPARE_TABLES: usize = (HEAP_LIMIT >> 21) as usize + 3;
static SPARE: [Page; SPARE_TABLES] = [const { Page::zeroed() }; SPARE_TABLES];
static SPARE_USED: AtomicUsize = AtomicUsize::new(0);

/// Makes the tables of a mode and turns paging on, if it is one with paging.
pub fn enable(mode: Paging) {
    MODE.store(mode as u8, Ordering::Relaxed);
    if mode == Paging::None {
        return;
    }
    for large in (0..IDENTITY_END).step_by(mode.large_page() as usize) {
        mode.write(mode.large_entry(large), large | LARGE | PRESENT | WRITABLE);
    }
    if mode == Paging::Pae {
        for (index, directory) in DIRECTORIES.iter().enumerate() {
            mode.write(top_entry(index as u64), directory.address() | PRESENT);
        }
    }
    // SAFETY: everything stays where it is. The registers are written, never read: what a read of
    // them gives is not certain everywhere (see `trap`).
    unsafe {
        asm!(
            "mov cr4, {cr4}",
            "mov cr3, {cr3}",
            "mov cr0, {cr0}",
            cr3 = in(reg) mode.root(),
            cr4 = in(reg) mode.cr4(),
            cr0 = in(reg) mode.cr0(),
            options(nostack),
        );
    }
}

/// See [`crate::memory::protect`]; with paging only.
pub fn protect(address: u64, protection: Protection) -> Result<(), ProtectError> {
    let mode = mode();
    if address >= IDENTITY_END {
        return Err(ProtectError::NotOurs);
    }
    let large = mode.large_entry(address);
    if mode.read(large) & LARGE != 0 {
        split(mode, large)?;
    }
    let table = mode.read(large) & !(PAGE_SIZE - 1);
    let entry = table + address % mode.large_page() / PAGE_SIZE * mode.entry_size();
    let value = match protection {
        Protection::ReadWrite => address | PRESENT | WRITABLE,
        Protection::ReadOnly => address | PRESENT,
        Protection::None => 0,
    };
    mode.write(entry, value);
    // SAFETY: forgets a translation.
    unsafe { asm!("invlpg [{}]", in(reg) address as u32, options(nostack)) };
    Ok(())
}

/// Replaces a large page by a table that maps the same.
fn split(mode: Paging, large: u64) -> Result<(), ProtectError> {
    let table = SPARE
        .get(SPARE_USED.fetch_add(1, Ordering::Relaxed))
        .ok_or(ProtectError::NoPageTable)?
        .address();
    let base = mode.read(large) & !(mode.large_page() - 1);
    for index in 0..mode.large_page() / PAGE_SIZE {
        let page = (base + index * PAGE_SIZE) | PRESENT | WRITABLE;
        mode.write(table + index * mode.entry_size(), page);
    }
    mode.write(large, table | PRESENT | WRITABLE);
    Ok(())
}

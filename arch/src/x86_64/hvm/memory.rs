//! Hardware page tables: the first 4 GiB, identity mapped with 2 MiB pages, of which those
//! that hold a protected page are split.

use core::arch::global_asm;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use x86_64::VirtAddr;
use x86_64::instructions::tlb;

use crate::page::{HEAP_LIMIT, IDENTITY_END, PAGE_SIZE, Page, ProtectError, Protection};

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const LARGE: u64 = 1 << 7;
const LARGE_PAGE: u64 = 2 << 20;

// Static tables: the entry code only has to load them.
global_asm!(
    ".pushsection .data, \"aw\", @progbits",
    ".balign 4096",
    ".global boot_pml4",
    "boot_pml4: .quad boot_pdpt + 3",
    ".skip 511 * 8",
    "boot_pdpt:",
    ".quad boot_directories + 3, boot_directories + 0x1003",
    ".quad boot_directories + 0x2003, boot_directories + 0x3003",
    ".skip 508 * 8",
    ".global boot_directories",
    "boot_directories:",
    ".set large_page, 0",
    ".rept 4 * 512",
    ".quad large_page + 0x83",
    ".set large_page, large_page + 0x200000",
    ".endr",
    ".popsection",
);

unsafe extern "C" {
    static boot_pml4: [u64; 512];
    static mut boot_directories: [u64; 4 * 512];
}

/// Address of the top-level page table: CR3.
pub fn root() -> u64 {
    (&raw const boot_pml4) as u64
}

/// Tables to split large pages with: enough for a protected page in every 2 MiB of the heap,
/// in page 0 and below the stack.
const SPARE_TABLES: usize = (HEAP_LIMIT / LARGE_PAGE) as usize + 3;
static SPARE: [Page; SPARE_TABLES] = [const { Page::zeroed() }; SPARE_TABLES];
static SPARE_USED: AtomicUsize = AtomicUsize::new(0);

fn read(entry: *mut u64) -> u64 {
    // SAFETY: a private helper; the callers pass entries of tables in this image.
    unsafe { entry.read_volatile() }
}

fn write(entry: *mut u64, value: u64) {
    // SAFETY: as in `read`; what the new value means for others is the caller's concern.
    unsafe { entry.write_volatile(value) }
}

/// See [`crate::memory::protect`].
pub fn protect(address: u64, protection: Protection) -> Result<(), ProtectError> {
    if address >= IDENTITY_END {
        return Err(ProtectError::NotOurs);
    }
    // SAFETY: in bounds by the test above.
    let large =
        unsafe { (&raw mut boot_directories).cast::<u64>().add((address / LARGE_PAGE) as usize) };
    if read(large) & LARGE != 0 {
        split(large)?;
    }
    let table: *mut u64 =
        ptr::with_exposed_provenance_mut((read(large) & !(PAGE_SIZE - 1)) as usize);
    let index = address % LARGE_PAGE / PAGE_SIZE;
    // SAFETY: one of the table's 512 entries.
    let entry = unsafe { table.add(index as usize) };
    write(
        entry,
        match protection {
            Protection::ReadWrite => address | PRESENT | WRITABLE,
            Protection::ReadOnly => address | PRESENT,
            Protection::None => 0,
        },
    );
    tlb::flush(VirtAddr::new(address));
    Ok(())
}

/// Replaces a large page by a table that maps the same.
fn split(large: *mut u64) -> Result<(), ProtectError> {
    let table = SPARE
        .get(SPARE_USED.fetch_add(1, Ordering::Relaxed))
        .ok_or(ProtectError::NoPageTable)?
        .address();
    let base = read(large) & !(LARGE_PAGE - 1);
    for index in 0..LARGE_PAGE / PAGE_SIZE {
        let entry = ptr::with_exposed_provenance_mut((table + index * 8) as usize);
        write(entry, (base + index * PAGE_SIZE) | PRESENT | WRITABLE);
    }
    write(large, table | PRESENT | WRITABLE);
    Ok(())
}

//! Page tables that Xen owns: read through the machine-to-physical table, changed by hypercall. Their
//! entries have 64 bits at both widths, and 512 of them are a table.

use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::hypercall::{DOMID_SELF, GuestWord, hypercall, nr};
use crate::page::{HEAP_LIMIT, PAGE_SIZE, ProtectError, Protection, Region};
use crate::pv::start_info::StartInfo;
use crate::width::pv::tables::{self, M2P, UPPER_LEVELS};

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
/// Accessed and dirty are set beforehand, so that the CPU never has to.
const USED: u64 = 3 << 5;
const FRAME: u64 = 0x000f_ffff_ffff_f000;

const ENTRIES: u64 = 512;
/// What one lowest-level table maps.
const TABLE_SPAN: u64 = ENTRIES * PAGE_SIZE;

/// `UVMF_INVLPG | UVMF_ALL`: flush the one address, on every CPU.
const UVMF_INVLPG_ALL: u64 = 2 | 4;

/// Virtual address of the pseudo-physical to machine list and its length, once known.
static P2M: AtomicU64 = AtomicU64::new(0);
static NR_PAGES: AtomicU64 = AtomicU64::new(0);
/// Virtual address of the top-level page table, once known.
static ROOT: AtomicU64 = AtomicU64::new(0);

/// Machine address of the top-level page table: CR3, in Xen's terms.
pub fn root_frame() -> u64 {
    let root = ROOT.load(Ordering::Relaxed);
    frame_of_address(root).expect("the builder put the page tables into this domain") * PAGE_SIZE
}

/// The domain's own (pseudo-physical) address of a machine frame.
pub fn address_of_frame(mfn: u64) -> u64 {
    let table: *const GuestWord = ptr::with_exposed_provenance(M2P as usize);
    // SAFETY: the frame is one of ours, hence below the table's end.
    unsafe { table.add(mfn as usize).read().get() * PAGE_SIZE }
}

fn frame_of_address(address: u64) -> Option<u64> {
    let pfn = address / PAGE_SIZE;
    if pfn >= NR_PAGES.load(Ordering::Relaxed) {
        return None;
    }
    let list: *const GuestWord = ptr::with_exposed_provenance(P2M.load(Ordering::Relaxed) as usize);
    // SAFETY: the list has one entry per page of the domain and stays where the builder put it.
    Some(unsafe { list.add(pfn as usize).read().get() })
}

fn update_va_mapping(address: u64, entry: u64) -> Result<(), ProtectError> {
    // SAFETY: a private helper; the callers change pages that nobody else uses.
    match unsafe { tables::update_va_mapping(address, entry, UVMF_INVLPG_ALL) } {
        0 => Ok(()),
        error => Err(ProtectError::Xen(error)),
    }
}

/// Maps the machine page at `machine` in place of the one at `address`.
pub fn map_machine_page(address: u64, machine: u64) {
    update_va_mapping(address, machine | PRESENT | WRITABLE | USED)
        .expect("Xen lets a domain map its own shared page");
}

/// See [`crate::memory::protect`].
pub fn protect(address: u64, protection: Protection) -> Result<(), ProtectError> {
    let frame = frame_of_address(address).ok_or(ProtectError::NotOurs)? * PAGE_SIZE;
    let entry = match protection {
        Protection::ReadWrite => frame | PRESENT | WRITABLE | USED,
        Protection::ReadOnly => frame | PRESENT | USED,
        Protection::None => 0,
    };
    update_va_mapping(address, entry)
}

/// Finds memory that the builder mapped and nobody uses, and maps more behind it, up to
/// [`HEAP_LIMIT`] or the domain's size.
pub fn init(info: &StartInfo) -> Region {
    P2M.store(info.mfn_list.get(), Ordering::Relaxed);
    NR_PAGES.store(info.nr_pages.get(), Ordering::Relaxed);
    ROOT.store(info.pt_base.get(), Ordering::Relaxed);

    // The page tables come last in the bootstrap region but for one page of boot stack.
    let mut start = info.pt_base.get() + (info.nr_pt_frames.get() + 1) * PAGE_SIZE;
    let limit = (info.nr_pages.get() * PAGE_SIZE).min(start + HEAP_LIMIT);
    let mut end = start;
    while end < limit {
        let next = (end / TABLE_SPAN + 1) * TABLE_SPAN;
        let mapped = match lowest_table(info.pt_base.get(), end) {
            Lookup::Table(table) => (end..next.min(limit))
                .step_by(PAGE_SIZE as usize)
                .all(|page| entry(table, page / PAGE_SIZE) & PRESENT != 0 || map(page)),
            // The new table is itself a page of the region: the first one.
            Lookup::Missing { slot } => {
                let table = start;
                start += PAGE_SIZE;
                add_table(table, slot, end)
            }
            Lookup::Unreachable => false,
        };
        if !mapped {
            break;
        }
        end = next.min(limit);
    }
    Region { start, len: end - start }
}

fn map(page: u64) -> bool {
    protect(page, Protection::ReadWrite).is_ok()
}

enum Lookup {
    /// The lowest-level table for the address, at this address.
    Table(u64),
    /// There is none; this is the machine address of the entry that would name it.
    Missing { slot: u64 },
    /// A table above it is missing as well: more than a gigabyte past the bootstrap region.
    Unreachable,
}

fn entry(table: u64, index: u64) -> u64 {
    let slot: *const u64 = ptr::with_exposed_provenance((table + index % ENTRIES * 8) as usize);
    // SAFETY: page tables are mapped read-only in the bootstrap region.
    unsafe { slot.read() }
}

fn lowest_table(root: u64, address: u64) -> Lookup {
    let mut table = root;
    for shift in UPPER_LEVELS {
        let next = entry(table, address >> shift);
        if next & PRESENT == 0 {
            return Lookup::Unreachable;
        }
        table = address_of_frame((next & FRAME) / PAGE_SIZE);
    }
    let index = (address >> 21) % ENTRIES;
    let next = entry(table, index);
    if next & PRESENT != 0 {
        return Lookup::Table(address_of_frame((next & FRAME) / PAGE_SIZE));
    }
    match frame_of_address(table) {
        Some(frame) => Lookup::Missing { slot: frame * PAGE_SIZE + index * 8 },
        None => Lookup::Unreachable,
    }
}

/// Makes a page table of the (mapped, unused) page at `table` that maps the span at `address`,
/// and hooks it into `slot`.
fn add_table(table: u64, slot: u64, address: u64) -> bool {
    let base = address / TABLE_SPAN * TABLE_SPAN;
    for index in 0..ENTRIES {
        let entry = match frame_of_address(base + index * PAGE_SIZE) {
            Some(frame) => (frame * PAGE_SIZE) | PRESENT | WRITABLE | USED,
            None => 0,
        };
        let place: *mut u64 = ptr::with_exposed_provenance_mut((table + index * 8) as usize);
        // SAFETY: the caller gave us the page.
        unsafe { place.write(entry) };
    }
    let Some(frame) = frame_of_address(table) else { return false };
    // Xen takes a page as page table only once nothing maps it writable.
    if protect(table, Protection::ReadOnly).is_err() {
        return false;
    }
    let update = [slot, (frame * PAGE_SIZE) | PRESENT | WRITABLE | USER | USED];
    // SAFETY: Xen reads one update (two words) and checks the new table: it maps pages of ours
    // where nothing was mapped.
    let result =
        unsafe { hypercall(nr::MMU_UPDATE, [update.as_ptr() as u64, 1, 0, DOMID_SELF, 0]) };
    result == 0
}

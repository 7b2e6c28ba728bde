//! The exception table: which instructions may fault by intent.

unsafe extern "C" {
    static ex_table_start: ExceptionEntry;
    static ex_table_end: ExceptionEntry;
}

/// One line of `.ex_table`.
#[repr(C)]
struct ExceptionEntry {
    instruction: usize,
    fixup: usize,
}

fn exception_table() -> &'static [ExceptionEntry] {
    let start = &raw const ex_table_start;
    let len = (&raw const ex_table_end as usize - start as usize) / size_of::<ExceptionEntry>();
    // SAFETY: the linker script brackets the section with these two symbols; its entries are
    // pairs of words by construction of `guarded!`.
    unsafe { core::slice::from_raw_parts(start, len) }
}

/// Where to go on after a fault of the instruction at this address, if one was reckoned with.
pub(crate) fn fixup(instruction: usize) -> Option<usize> {
    exception_table().iter().find(|entry| entry.instruction == instruction).map(|entry| entry.fixup)
}

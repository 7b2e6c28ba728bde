//! Instructions that may fault, and the exception table that says so.

use super::fault::Fault;

unsafe extern "C" {
    static ex_table_start: ExceptionEntry;
    static ex_table_end: ExceptionEntry;
}

/// One line of `.ex_table`.
#[repr(C)]
struct ExceptionEntry {
    rip: u64,
    fixup: u64,
}

fn exception_table() -> &'static [ExceptionEntry] {
    let start = &raw const ex_table_start;
    let len = (&raw const ex_table_end as usize - start as usize) / size_of::<ExceptionEntry>();
    // SAFETY: the linker script brackets the section with these two symbols; its entries are
    // pairs of 8-byte words by construction of `guarded!`.
    unsafe { core::slice::from_raw_parts(start, len) }
}

/// Where to go on after a fault of the instruction at `rip`, if one was reckoned with.
pub(crate) fn fixup(rip: u64) -> Option<u64> {
    exception_table().iter().find(|entry| entry.rip == rip).map(|entry| entry.fixup)
}

/// Runs instructions of which the one at local label 2 may fault and 3 is where to go on, and
/// says whether it did. rax and rdx are the dispatcher's, and zero to begin with.
macro_rules! guarded {
    ($($line:literal),+ ; $($operand:tt)*) => {{
        let (rax, rdx): (u64, u64);
        core::arch::asm!(
            "xor eax, eax",
            "xor edx, edx",
            $($line,)+
            ".pushsection .ex_table, \"a\"",
            ".quad 2b, 3b",
            ".popsection",
            out("rax") rax,
            out("rdx") rdx,
            $($operand)*
        );
        $crate::trap::fault::Fault::decode(rax, rdx)
    }};
}
pub(crate) use guarded;

/// Reads a byte from an arbitrary address.
///
/// # Errors
/// The fault, where the address is not readable.
pub fn read_byte(address: u64) -> Result<u8, Fault> {
    let byte: u64;
    // SAFETY: a read changes nothing; if it faults the exception table takes over. The value
    // of a byte that somebody else owns may be stale, which the caller cannot rely on anyway.
    unsafe {
        guarded!("xor ecx, ecx", "2: mov cl, [rsi]", "3:"; in("rsi") address, out("rcx") byte)
    }?;
    Ok(byte as u8)
}

/// Reads an aligned word from an arbitrary address.
///
/// # Errors
/// The fault, where the address is not readable.
pub fn read_word(address: u64) -> Result<u64, Fault> {
    let word: u64;
    // SAFETY: as for `read_byte`.
    unsafe {
        guarded!("xor ecx, ecx", "2: mov rcx, [rsi]", "3:"; in("rsi") address, out("rcx") word)
    }?;
    Ok(word)
}

/// Writes a byte to an arbitrary address.
///
/// # Errors
/// The fault, where the address is not writable.
///
/// # Safety
/// If the address is writable, nobody else may own that byte.
pub unsafe fn write_byte(address: u64, byte: u8) -> Result<(), Fault> {
    // SAFETY: the caller's promise covers success, the exception table failure.
    unsafe { guarded!("2: mov [rsi], cl", "3:"; in("rsi") address, in("rcx") u64::from(byte)) }
}

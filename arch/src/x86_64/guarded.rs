//! Instructions that may fault.

use crate::trap::Fault;

/// Runs instructions of which the one at local label 2 may fault and 3 is where to go on, and
/// says whether it did. rax and rdx are the dispatcher's, and zero to begin with.
macro_rules! guarded {
    ($($line:literal),+ ; $($operand:tt)*) => {{
        let (rax, rdx): (usize, usize);
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
        $crate::trap::Fault::decode([rax, rdx])
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

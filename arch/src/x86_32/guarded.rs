//! Instructions that may fault.

use crate::trap::Fault;

/// Runs instructions of which the one at local label 2 may fault and 3 is where to go on, and
/// says whether it did. eax and edx are the dispatcher's, and zero to begin with.
macro_rules! guarded {
    ($($line:literal),+ ; $($operand:tt)*) => {{
        let (eax, edx): (usize, usize);
        core::arch::asm!(
            "xor eax, eax",
            "xor edx, edx",
            $($line,)+
            ".pushsection .ex_table, \"a\"",
            ".long 2b, 3b",
            ".popsection",
            out("eax") eax,
            out("edx") edx,
            $($operand)*
        );
        $crate::trap::Fault::decode([eax, edx])
    }};
}
pub(crate) use guarded;

/// A 32-bit guest's own instructions reach no higher.
fn reachable(address: u64) -> usize {
    usize::try_from(address).expect("an address below 4 GiB")
}

/// Reads a byte from an arbitrary address.
///
/// # Errors
/// The fault, where the address is not readable.
///
/// # Panics
/// From 4 GiB on.
pub fn read_byte(address: u64) -> Result<u8, Fault> {
    let byte: u32;
    // SAFETY: a read changes nothing; if it faults the exception table takes over. The value
    // of a byte that somebody else owns may be stale, which the caller cannot rely on anyway.
    unsafe {
        guarded!(
            "xor ecx, ecx", "2: mov cl, [edi]", "3:";
            in("edi") reachable(address), out("ecx") byte
        )
    }?;
    Ok(byte as u8)
}

/// Reads an aligned word from an arbitrary address.
///
/// # Errors
/// The fault, where the address is not readable.
///
/// # Panics
/// As for [`read_byte`].
pub fn read_word(address: u64) -> Result<u64, Fault> {
    let word: u32;
    // SAFETY: as for `read_byte`.
    unsafe {
        guarded!(
            "xor ecx, ecx", "2: mov ecx, [edi]", "3:";
            in("edi") reachable(address), out("ecx") word
        )
    }?;
    Ok(word.into())
}

/// Writes a byte to an arbitrary address.
///
/// # Errors
/// The fault, where the address is not writable.
///
/// # Panics
/// As for [`read_byte`].
///
/// # Safety
/// If the address is writable, nobody else may own that byte.
pub unsafe fn write_byte(address: u64, byte: u8) -> Result<(), Fault> {
    // SAFETY: the caller's promise covers success, the exception table failure.
    unsafe {
        guarded!(
            "2: mov [edi], cl", "3:";
            in("edi") reachable(address), in("ecx") u32::from(byte)
        )
    }
}

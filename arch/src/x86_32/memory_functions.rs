//! The functions that compiled code calls and that this target's `core` leaves to a C library, and
//! two of the unwinder's, which nothing ever calls.

use core::arch::asm;

/// `memcpy` of the C standard.
///
/// # Safety
/// Both ranges are the caller's, and do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: words first, then what is left, within the caller's ranges. esi is the compiler's.
    unsafe {
        asm!(
            "xchg esi, eax",
            "mov edx, ecx",
            "shr ecx, 2",
            "rep movsd",
            "mov ecx, edx",
            "and ecx, 3",
            "rep movsb",
            "mov esi, eax",
            inout("eax") from => _,
            inout("edi") to => _,
            inout("ecx") len => _,
            out("edx") _,
            options(nostack)
        );
    }
    to
}

/// `memmove` of the C standard.
///
/// # Safety
/// Both ranges are the caller's.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    if to.addr().wrapping_sub(from.addr()) >= len {
        // SAFETY: forwards nothing is read that was written, whether or not the ranges overlap.
        return unsafe { memcpy(to, from, len) };
    }
    // SAFETY: backwards from the last byte, within the caller's ranges.
    unsafe {
        asm!(
            "xchg esi, eax",
            "std",
            "rep movsb",
            "cld",
            "mov esi, eax",
            inout("eax") from.wrapping_add(len).wrapping_sub(1) => _,
            inout("edi") to.wrapping_add(len).wrapping_sub(1) => _,
            inout("ecx") len => _,
            options(nostack)
        );
    }
    to
}

/// `memset` of the C standard.
///
/// # Safety
/// The range is the caller's.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, len: usize) -> *mut u8 {
    let word = u32::from(value as u8) * 0x0101_0101;
    // SAFETY: words first, then what is left, within the caller's range.
    unsafe {
        asm!(
            "mov edx, ecx",
            "shr ecx, 2",
            "rep stosd",
            "mov ecx, edx",
            "and ecx, 3",
            "rep stosb",
            in("eax") word,
            inout("edi") to => _,
            inout("ecx") len => _,
            out("edx") _,
            options(nostack)
        );
    }
    to
}

/// `memcmp` of the C standard.
///
/// # Safety
/// Both ranges are the caller's.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    for index in 0..len {
        // SAFETY: within the caller's ranges. Volatile, lest the loop become a call to itself.
        let (left, right) =
            unsafe { (left.add(index).read_volatile(), right.add(index).read_volatile()) };
        if left != right {
            return i32::from(left) - i32::from(right);
        }
    }
    0
}

/// `bcmp` of POSIX.
///
/// # Safety
/// As for `memcmp`.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { memcmp(left, right, len) }
}

/// Referred to by the parts of `core` and `alloc` that could unwind.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    unreachable!("nothing unwinds")
}

/// As `_Unwind_Resume`.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {
    unreachable!("nothing unwinds")
}

//! The calling convention of a 32-bit guest's hypercalls: the number by the stub, arguments in ebx,
//! ecx, edx, esi and edi, the result in eax.

use core::arch::asm;

/// The most that Xen's console is given at a time, in bytes: what Xen writes without a break, in which
/// it may have the guest make the hypercall once more, from its last instruction on. With PAE that
/// would be too late (`hvm::accessed`).
pub const CONSOLE_PIECE: usize = 127;

/// Calls the stub of a hypercall and returns Xen's raw result.
///
/// # Safety
/// As for [`crate::hypercall::hypercall`]; `stub` is one of the page.
pub unsafe fn call(stub: u64, args: [u64; 5]) -> i64 {
    // A register holds the lower half, which is all that Xen sees.
    let [ebx, ecx, edx, esi, edi] = args.map(|arg| arg as u32);
    super::hvm::accessed::forget();
    let words = [stub as u32, ebx, esi];
    let result: i32;
    // SAFETY: the stub is Xen's own code, which touches the argument registers and the stack below
    // esp only; ebx and esi, which the compiler keeps for itself, are put back. What the hypercall
    // itself does to memory is the caller's promise.
    unsafe {
        asm!(
            "push ebx",
            "push esi",
            "mov ebx, [eax + 4]",
            "mov esi, [eax + 8]",
            "call [eax]",
            "pop esi",
            "pop ebx",
            inout("eax") words.as_ptr() => result,
            inout("ecx") ecx => _,
            inout("edx") edx => _,
            inout("edi") edi => _,
        );
    }
    result.into()
}

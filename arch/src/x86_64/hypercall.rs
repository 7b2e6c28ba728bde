//! The calling convention of a 64-bit guest's hypercalls: the number by the stub, arguments in rdi,
//! rsi, rdx, r10 and r8, the result in rax.

use core::arch::asm;

/// The most that Xen's console is given at a time, in bytes.
pub const CONSOLE_PIECE: usize = usize::MAX;

/// Calls the stub of a hypercall and returns Xen's raw result.
///
/// # Safety
/// As for [`crate::hypercall::hypercall`]; `stub` is one of the page.
pub unsafe fn call(stub: u64, args: [u64; 5]) -> i64 {
    let result;
    // SAFETY: the stub is Xen's own code, which touches the argument registers, rcx, r11 and
    // the stack below rsp only (the target has no red zone); what the hypercall itself does to
    // memory is the caller's promise.
    unsafe {
        asm!(
            "call rax",
            inout("rax") stub => result,
            inout("rdi") args[0] => _,
            inout("rsi") args[1] => _,
            inout("rdx") args[2] => _,
            inout("r10") args[3] => _,
            inout("r8") args[4] => _,
            out("rcx") _,
            out("r9") _,
            out("r11") _,
        );
    }
    result
}

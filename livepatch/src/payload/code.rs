//! The few pieces of machine code that test payloads need.
//!
//! Pieces are chained with [`Chunk::then`] and end in one that returns or jumps:
//!
//! ```
//! use xtf_livepatch::payload::code;
//!
//! // A pre-apply hook that leaves a mark in its own data and then agrees.
//! let hook = code::store_u32("mark", 1).then(code::return_u32(0));
//! # assert_eq!(hook.bytes.len(), 16);
//! ```
//!
//! All follow the calling convention of Xen on x86-64: the result is in `eax` or `rax`, and only
//! registers that a callee may change are changed. All return with a plain `ret`, which is fine
//! under shadow stacks and under return thunks, as the caller does not see the difference.

use super::chunk::Chunk;
use super::wire::{R_X86_64_PC32, R_X86_64_PLT32};

/// The bytes of `endbr64`.
pub const ENDBR64: [u8; 4] = [0xF3, 0x0F, 0x1E, 0xFA];
/// What Xen overwrites an `endbr64` with at its start, where nothing calls through a pointer:
/// `nopw (%rcx)`.
pub const ENDBR64_POISON: [u8; 4] = [0x66, 0x0F, 0x1F, 0x01];

/// `endbr64`: must come first where Xen calls through a pointer (hooks) and the CPU enforces
/// indirect-branch tracking. A replaced function is reached by a direct jump and needs none.
pub fn endbr64() -> Chunk {
    Chunk::new(ENDBR64)
}

/// `ret`.
pub fn ret() -> Chunk {
    Chunk::new([0xC3])
}

/// `mov eax, value; ret`.
pub fn return_u32(value: u32) -> Chunk {
    let [a, b, c, d] = value.to_le_bytes();
    Chunk::new([0xB8, a, b, c, d, 0xC3])
}

/// `lea rax, [rip+1]; ret`, and the string with a NUL right behind: returns its address without
/// a relocation.
pub fn return_str(text: &str) -> Chunk {
    let mut chunk = Chunk::new([0x48, 0x8D, 0x05, 0x01, 0x00, 0x00, 0x00, 0xC3]);
    chunk.bytes.extend(text.as_bytes());
    chunk.bytes.push(0);
    chunk
}

/// `lea rax, [rip+symbol]; ret`: returns the address of a symbol.
pub fn return_address(symbol: &str) -> Chunk {
    Chunk::new([0x48, 0x8D, 0x05, 0, 0, 0, 0, 0xC3]).reloc(3, R_X86_64_PC32, symbol, -4)
}

/// `mov eax, [rip+symbol]; ret`: returns the 32 bits at a symbol.
pub fn return_u32_at(symbol: &str) -> Chunk {
    Chunk::new([0x8B, 0x05, 0, 0, 0, 0, 0xC3]).reloc(2, R_X86_64_PC32, symbol, -4)
}

/// `mov dword ptr [rip+symbol], value`: stores 32 bits at a symbol, and goes on.
pub fn store_u32(symbol: &str, value: u32) -> Chunk {
    let [a, b, c, d] = value.to_le_bytes();
    // The displacement counts from the end of the instruction: 4 bytes of it and 4 of the value.
    Chunk::new([0xC7, 0x05, 0, 0, 0, 0, a, b, c, d]).reloc(2, R_X86_64_PC32, symbol, -8)
}

/// `inc dword ptr [rip+symbol]`: counts in the 32 bits at a symbol, and goes on.
pub fn count_u32(symbol: &str) -> Chunk {
    Chunk::new([0xFF, 0x05, 0, 0, 0, 0]).reloc(2, R_X86_64_PC32, symbol, -4)
}

/// `shl dword ptr [rip+symbol], 4; or dword ptr [rip+symbol], digit`: appends a hexadecimal
/// digit to the 32 bits at a symbol, and goes on. Several hooks thus leave their order behind.
///
/// # Panics
/// If `digit` is above 15.
pub fn append_digit(symbol: &str, digit: u8) -> Chunk {
    assert!(digit < 16, "{digit} is not one hexadecimal digit");
    // One byte follows the displacement in each of the two instructions.
    Chunk::new([0xC1, 0x25, 0, 0, 0, 0, 4])
        .reloc(2, R_X86_64_PC32, symbol, -5)
        .then(Chunk::new([0x83, 0x0D, 0, 0, 0, 0, digit]).reloc(2, R_X86_64_PC32, symbol, -5))
}

/// `jmp symbol`: goes on in a function of Xen or of another payload.
pub fn jump(symbol: &str) -> Chunk {
    Chunk::new([0xE9, 0, 0, 0, 0]).reloc(1, R_X86_64_PLT32, symbol, -4)
}

/// `call symbol`: a function of the payload, of Xen or of another payload, and goes on.
pub fn call(symbol: &str) -> Chunk {
    Chunk::new([0xE8, 0, 0, 0, 0]).reloc(1, R_X86_64_PLT32, symbol, -4)
}

/// `nop`, so many times, and goes on.
pub fn nops(count: usize) -> Chunk {
    Chunk::new(alloc::vec![0x90; count])
}

/// `mov rax, [rip+symbol]; ret`: returns the 64 bits at a symbol.
pub fn return_u64_at(symbol: &str) -> Chunk {
    Chunk::new([0x48, 0x8B, 0x05, 0, 0, 0, 0, 0xC3]).reloc(3, R_X86_64_PC32, symbol, -4)
}

/// `xor eax, eax; xchg eax, [rip+symbol]; ret`: returns the 32 bits at a symbol, and leaves 0
/// there. A hook made of it fails once.
pub fn take_u32_at(symbol: &str) -> Chunk {
    Chunk::new([0x31, 0xC0, 0x87, 0x05, 0, 0, 0, 0, 0xC3]).reloc(4, R_X86_64_PC32, symbol, -4)
}

/// Returns how the page of a symbol is mapped: [`PRESENT`], [`WRITABLE`], [`NO_EXECUTE`].
///
/// Xen maps its own page tables at a fixed place (`LINEAR_PT_VIRT_START` in
/// xen/arch/x86/include/asm/config.h), where the entry is read. It must be a page of 4 KiB, as those of
/// payloads are.
pub fn return_protection_of(symbol: &str) -> Chunk {
    /// Of the entries for all 256 TiB.
    const OFFSET_MASK: u64 = 0x7f_ffff_fff8;
    const LINEAR_PT_VIRT_START: u64 = 0xffff_8100_0000_0000;
    Chunk::new([0x48, 0x8D, 0x05, 0, 0, 0, 0]) // lea rax, [rip+symbol]
        .reloc(3, R_X86_64_PC32, symbol, -4)
        .then(Chunk::new([0x48, 0xC1, 0xE8, 9])) // shr rax, 9
        .then(set_rcx(OFFSET_MASK))
        .then(Chunk::new([0x48, 0x21, 0xC8])) // and rax, rcx
        .then(set_rcx(LINEAR_PT_VIRT_START))
        .then(Chunk::new([0x48, 0x8B, 0x04, 0x08])) // mov rax, [rax+rcx]
        .then(Chunk::new([0x48, 0x89, 0xC1])) // mov rcx, rax
        .then(Chunk::new([0x48, 0xC1, 0xE9, 32])) // shr rcx, 32
        .then(Chunk::new([0x09, 0xC8])) // or eax, ecx
        .then(Chunk::new([0x25]))
        .then(Chunk::new((PRESENT | WRITABLE | NO_EXECUTE).to_le_bytes())) // and eax, flags
        .then(ret())
}

/// In the result of [`return_protection_of`]: there is such a page.
pub const PRESENT: u32 = 1;
/// In the result of [`return_protection_of`]: it may be written to.
pub const WRITABLE: u32 = 1 << 1;
/// In the result of [`return_protection_of`]: it may not be executed.
pub const NO_EXECUTE: u32 = 1 << 31;

/// `mov rcx, value`
fn set_rcx(value: u64) -> Chunk {
    Chunk::new([0x48, 0xB9]).then(Chunk::new(value.to_le_bytes()))
}

/// Goes on when the time stamp counter has counted so many `ticks`, up to 2 Gi.
///
/// # Panics
/// If `ticks` is above `i32::MAX`.
pub fn wait(ticks: u32) -> Chunk {
    assert!(i32::try_from(ticks).is_ok(), "{ticks} ticks are too many");
    // rdtsc; shl rdx, 32; or rax, rdx
    const READ: [u8; 9] = [0x0F, 0x31, 0x48, 0xC1, 0xE2, 32, 0x48, 0x09, 0xD0];
    Chunk::new(READ)
        .then(Chunk::new([0x48, 0x89, 0xC1])) // mov rcx, rax
        .then(Chunk::new([0xF3, 0x90])) // again: pause
        .then(Chunk::new(READ))
        .then(Chunk::new([0x48, 0x29, 0xC8])) // sub rax, rcx
        .then(Chunk::new([0x48, 0x3D])) // cmp rax, ticks
        .then(Chunk::new(ticks.to_le_bytes()))
        .then(Chunk::new([0x72, 0xEA])) // jb again
}

/// `push rdi; call symbol; pop rdi`: a function of one argument, which is still there afterwards, and
/// goes on.
pub fn call_keeping_argument(symbol: &str) -> Chunk {
    Chunk::new([0x57]).then(call(symbol)).then(Chunk::new([0x5F]))
}

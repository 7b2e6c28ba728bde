//! Functions that look around inside of Xen and answer through its extra version.

use livepatch::payload::wire::R_X86_64_PC32;
use livepatch::payload::{Area, Chunk, Function, Hook, HookBody, Payload};

/// What a probe answers if it found what it looked for.
pub(super) const YES: &str = "-yes";
/// What it answers otherwise.
pub(super) const NO: &str = "-no";

/// Returns [`YES`] if `check` leaves the zero flag set, and [`NO`] otherwise.
pub(super) fn yes_if_zero(check: Chunk) -> Chunk {
    let answer = Chunk::new([
        0x48, 0x8D, 0x05, 10, 0, 0, 0, // lea rax, [rip + yes]
        0x74, 7, // je over the next
        0x48, 0x8D, 0x05, 6, 0, 0, 0,    // lea rax, [rip + no]
        0xC3, // ret
    ]);
    check.then(answer).then(Chunk::new(b"-yes\0-no\0"))
}

/// `lea rax, [rip+symbol]`.
pub(super) fn address_to_rax(symbol: &str) -> Chunk {
    Chunk::new([0x48, 0x8D, 0x05, 0, 0, 0, 0]).reloc(3, R_X86_64_PC32, symbol, -4)
}

/// `lea rdx, [rip+symbol]`.
pub(super) fn address_to_rdx(symbol: &str) -> Chunk {
    Chunk::new([0x48, 0x8D, 0x15, 0, 0, 0, 0]).reloc(3, R_X86_64_PC32, symbol, -4)
}

/// `lea rdi, [rip+symbol]`.
pub(super) fn address_to_rdi(symbol: &str) -> Chunk {
    Chunk::new([0x48, 0x8D, 0x3D, 0, 0, 0, 0]).reloc(3, R_X86_64_PC32, symbol, -4)
}

/// `mov rax, [rip+symbol]; ret`: returns the pointer at a symbol.
pub(super) fn return_pointer_at(symbol: &str) -> Chunk {
    Chunk::new([0x48, 0x8B, 0x05, 0, 0, 0, 0, 0xC3]).reloc(3, R_X86_64_PC32, symbol, -4)
}

/// Whether the `len` bytes at a symbol are all zero.
pub(super) fn is_zero(symbol: &str, len: u32) -> Chunk {
    let [a, b, c, d] = len.to_le_bytes();
    yes_if_zero(address_to_rdi(symbol).then(Chunk::new([
        0xB9, a, b, c, d, // mov ecx, len
        0x31, 0xC0, // xor eax, eax
        0xF3, 0xAE, // repe scasb
    ])))
}

/// Whether the address of a symbol is a multiple of `align`.
pub(super) fn is_aligned(symbol: &str, align: u32) -> Chunk {
    let [a, b, c, d] = (align - 1).to_le_bytes();
    // test eax, align - 1
    yes_if_zero(address_to_rax(symbol).then(Chunk::new([0xA9, a, b, c, d])))
}

/// Whether two symbols are in different pages.
pub(super) fn are_in_different_pages(one: &str, other: &str) -> Chunk {
    yes_if_zero(address_to_rax(one).then(address_to_rdx(other)).then(Chunk::new([
        0x48, 0x31, 0xD0, // xor rax, rdx
        0x48, 0xC1, 0xE8, 12, // shr rax, 12
        0x0F, 0x94, 0xC0, // sete al
        0x84, 0xC0, // test al, al
    ])))
}

/// Whether the second of two symbols is `distance` bytes behind the first one.
pub(super) fn is_behind(first: &str, second: &str, distance: i8) -> Chunk {
    yes_if_zero(address_to_rax(first).then(address_to_rdx(second)).then(Chunk::new([
        0x48,
        0x29,
        0xC2, // sub rdx, rax
        0x48,
        0x83,
        0xFA,
        distance as u8, // cmp rdx, distance
    ])))
}

/// Begins a check that [`add_difference`] goes on with: `xor ecx, ecx`.
pub(super) fn no_difference() -> Chunk {
    Chunk::new([0x31, 0xC9])
}

/// Checks as well that the 32 bits at `offset` behind `field` hold the distance from there to
/// `target`.
pub(super) fn add_difference(field: &str, offset: i64, target: &str) -> Chunk {
    Chunk::new([0x48, 0x8D, 0x3D, 0, 0, 0, 0]) // lea rdi, [rip + field + offset]
        .reloc(3, R_X86_64_PC32, field, offset - 4)
        .then(Chunk::new([
            0x48, 0x63, 0x07, // movsxd rax, [rdi]
            0x48, 0x01, 0xF8, // add rax, rdi
        ]))
        .then(address_to_rdx(target))
        .then(Chunk::new([
            0x48, 0x29, 0xD0, // sub rax, rdx
            0x48, 0x09, 0xC1, // or rcx, rax
        ]))
}

/// What the code below has to be called for its exception table.
const WRITER: &str = "writer";

/// A function that writes to a byte, and goes on even if it must not: answers [`YES`] if the
/// write succeeds.
pub(super) fn writes_to(payload: Payload, symbol: &str) -> Payload {
    let function = Chunk::new([
        0x48, 0x8D, 0x05, 20, 0, 0, 0, // lea rax, [rip + no]
        0xC6, 0x05, 0, 0, 0, 0, b'w', // mov byte ptr [rip + symbol], 'w'
        0x48, 0x8D, 0x05, 1, 0, 0, 0,    // lea rax, [rip + yes]
        0xC3, // ret
    ])
    .reloc(9, R_X86_64_PC32, symbol, -5)
    .then(Chunk::new(b"-yes\0-no\0"));
    let function = Function::named("xen_extra_version", function).label(WRITER);
    may_fault(payload.function(function), 7, 21)
}

/// A hook that does the same: it agrees, with 0, only if the write fails.
pub(super) fn agrees_if_not_written(payload: Payload, hook: Hook, symbol: &str) -> Payload {
    let code = Chunk::new([
        0xF3, 0x0F, 0x1E, 0xFA, // endbr64
        0xC6, 0x05, 0, 0, 0, 0, b'w', // mov byte ptr [rip + symbol], 'w'
        0xB8, 1, 0, 0, 0,    // mov eax, 1
        0xC3, // ret
        0x31, 0xC0, // xor eax, eax
        0xC3, // ret
    ])
    .reloc(6, R_X86_64_PC32, symbol, -5);
    let payload = payload.text(WRITER, code).hook(hook, HookBody::Symbol(WRITER.into()));
    may_fault(payload, 4, 17)
}

/// Adds an exception table: where [`WRITER`] may fault, and where it then goes on.
fn may_fault(payload: Payload, faults: i64, goes_on: i64) -> Payload {
    let entry = Chunk::new([0; 8]).reloc(0, R_X86_64_PC32, WRITER, faults).reloc(
        4,
        R_X86_64_PC32,
        WRITER,
        goes_on,
    );
    payload.section(Area::loaded(".ex_table", 0, 4), "table", entry)
}

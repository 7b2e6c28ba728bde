//! The machine code that payloads carry, disassembled and compared with its documentation.

use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
use xtf_livepatch::payload::wire::{R_X86_64_PC32, R_X86_64_PLT32};
use xtf_livepatch::payload::{Chunk, code};

/// Where the code is put for the disassembler.
const CODE: u64 = 0x10_0000;
/// Where each symbol is.
const SYMBOL: u64 = 0x20_0000;

/// Links `chunk` as Xen would, and disassembles `count` instructions of it.
fn disassemble(chunk: &Chunk, count: usize) -> Vec<String> {
    let mut bytes = chunk.bytes.clone();
    for reloc in &chunk.relocs {
        assert!([R_X86_64_PC32, R_X86_64_PLT32].contains(&reloc.kind));
        let place = CODE + reloc.offset;
        let value = SYMBOL.wrapping_add_signed(reloc.addend).wrapping_sub(place) as u32;
        bytes[reloc.offset as usize..][..4].copy_from_slice(&value.to_le_bytes());
    }
    let mut formatter = IntelFormatter::new();
    formatter.options_mut().set_rip_relative_addresses(false);
    Decoder::with_ip(64, &bytes, CODE, DecoderOptions::NONE)
        .iter()
        .take(count)
        .map(|instruction| {
            assert!(!instruction.is_invalid());
            let mut text = String::new();
            formatter.format(&instruction, &mut text);
            text
        })
        .collect()
}

#[track_caller]
fn assert_code(chunk: Chunk, expected: &[&str]) {
    assert_eq!(disassemble(&chunk, usize::MAX), expected);
}

#[test]
fn plain_instructions() {
    assert_code(code::endbr64(), &["endbr64"]);
    assert_code(code::ret(), &["ret"]);
    assert_code(code::return_u32(0x1234_5678), &["mov eax,12345678h", "ret"]);
    assert_code(code::nops(2), &["nop", "nop"]);
}

#[test]
fn a_returned_string_is_behind_the_code() {
    let chunk = code::return_str("-patched");
    assert_eq!(disassemble(&chunk, 2), ["lea rax,[100008h]", "ret"]);
    assert_eq!(chunk.bytes[8..], *b"-patched\0");
    assert_eq!(chunk.relocs, []);
}

#[test]
fn references_hit_their_symbol_exactly() {
    assert_code(code::return_address("s"), &["lea rax,[200000h]", "ret"]);
    assert_code(code::return_u32_at("s"), &["mov eax,[200000h]", "ret"]);
    assert_code(code::store_u32("s", 0x55), &["mov dword ptr [200000h],55h"]);
    assert_code(code::count_u32("s"), &["inc dword ptr [200000h]"]);
    assert_code(
        code::append_digit("s", 0xF),
        &["shl dword ptr [200000h],4", "or dword ptr [200000h],0Fh"],
    );
    assert_code(code::jump("s"), &["jmp 0000000000200000h"]);
    assert_code(code::call("s"), &["call 0000000000200000h"]);
    assert_code(code::return_u64_at("s"), &["mov rax,[200000h]", "ret"]);
    assert_code(code::take_u32_at("s"), &["xor eax,eax", "xchg [200000h],eax", "ret"]);
}

#[test]
fn the_entry_of_a_page_is_read() {
    assert_code(
        code::return_protection_of("s"),
        &[
            "lea rax,[200000h]",
            "shr rax,9",
            "mov rcx,7FFFFFFFF8h",
            "and rax,rcx",
            "mov rcx,0FFFF810000000000h",
            "mov rax,[rax+rcx]",
            "mov rcx,rax",
            "shr rcx,20h",
            "or eax,ecx",
            "and eax,80000003h",
            "ret",
        ],
    );
}

#[test]
fn waiting_is_a_loop() {
    let again = "000000000010000Ch";
    assert_code(
        code::wait(0x1234),
        &[
            "rdtsc",
            "shl rdx,20h",
            "or rax,rdx",
            "mov rcx,rax",
            "pause",
            "rdtsc",
            "shl rdx,20h",
            "or rax,rdx",
            "sub rax,rcx",
            "cmp rax,1234h",
            &format!("jb short {again}"),
        ],
    );
}

#[test]
fn an_argument_is_kept() {
    let expected = ["push rdi", "call 0000000000200000h", "pop rdi"];
    assert_code(code::call_keeping_argument("s"), &expected);
}

#[test]
fn pieces_chain() {
    assert_code(
        code::endbr64()
            .then(code::count_u32("s"))
            .then(code::store_u32("s", 1))
            .then(code::return_u32_at("s")),
        &[
            "endbr64",
            "inc dword ptr [200000h]",
            "mov dword ptr [200000h],1",
            "mov eax,[200000h]",
            "ret",
        ],
    );
}

#[test]
#[should_panic(expected = "not one hexadecimal digit")]
fn a_digit_has_four_bits() {
    let _ = code::append_digit("s", 16);
}

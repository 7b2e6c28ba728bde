//! # bad-xen-panic
//!
//! Hands Xen a payload whose symbol table names section 0 as its string table, which every
//! release so far dereferences as a null pointer. Expected verdict: CRASH, quoting Xen's panic.

use alloc::vec::Vec;

use kernel::{Answer, Case, Context, Need, Outcome, Test};
use livepatch::abi::{Call, Name, Upload};

/// The test.
pub const TEST: Test = Test {
    name: "bad-xen-panic",
    title: "A guest that takes Xen down with it",
    needs: &[Need::Privileged, Need::Livepatch],
    own_boot: true,
    cases: &[Case::new("xen_survives", xen_survives)],
    ..super::BAD
};

fn xen_survives(context: &Context) -> Outcome {
    let livepatch = context.livepatch();
    let payload = symbols_without_strings();
    let upload = Upload::new(Name::new(b"bad\0"), &payload);
    livepatch.call(&Call::upload(livepatch.version, upload)).must_be(Answer::SUCCESS)
}

/// An ELF header, then the null section and a symbol table with sh_link 0.
fn symbols_without_strings() -> Vec<u8> {
    const HEADER: usize = 64;
    const SYMTAB: u32 = 2;
    let mut elf = alloc::vec![0u8; HEADER];
    let mut put =
        |offset: usize, bytes: &[u8]| elf[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &1u16.to_le_bytes()); // e_type: relocatable
    put(18, &62u16.to_le_bytes()); // e_machine: x86-64
    put(20, &1u32.to_le_bytes()); // e_version
    put(40, &(HEADER as u64).to_le_bytes()); // e_shoff
    put(58, &64u16.to_le_bytes()); // e_shentsize
    put(60, &2u16.to_le_bytes()); // e_shnum
    put(62, &1u16.to_le_bytes()); // e_shstrndx
    elf.extend([0; 64]);
    let mut symtab = [0u8; 64];
    symtab[4..8].copy_from_slice(&SYMTAB.to_le_bytes());
    symtab[24..32].copy_from_slice(&(HEADER as u64).to_le_bytes()); // sh_offset
    symtab[32..40].copy_from_slice(&24u64.to_le_bytes()); // sh_size
    symtab[48..56].copy_from_slice(&1u64.to_le_bytes()); // sh_addralign
    symtab[56..64].copy_from_slice(&24u64.to_le_bytes()); // sh_entsize
    elf.extend(symtab);
    elf
}
